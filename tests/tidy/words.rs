//! Words that are not used, and what to write instead.

use crate::scan::{code, line_of, words};
use crate::tree::{File, Finding, Tree};

/// Parts of names in code, in lower case, with the way out.
const PARTS: &[(&str, &str)] = &[
    (
        "manager",
        "name what it does or holds: registry, pool, table",
    ),
    ("handler", "name the act: `accept`, `answer`, `on_close`"),
    ("helper", "name what it is for, or put it where it is used"),
    ("helpers", "name what it is for, or put it where it is used"),
    ("util", "name the idea: `varint`, `line_of`"),
    ("utils", "name the ideas, a file each"),
    ("misc", "name the ideas, a file each"),
];

/// Macros that stay on a desk.
const MACROS: &[&str] = &["dbg!", "todo!", "unimplemented!"];

/// Marks of unfinished work, as whole words anywhere.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Places of one machine.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/tmp/", "target"),
];

fn banned_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let code = code(&file.text);
        let mut before = "";
        for (at, word) in words(&code) {
            let banned = PARTS
                .iter()
                .find(|(part, _)| parts(word).any(|it| it == *part));
            if let Some((part, instead)) = banned.filter(|_| !OTHERS.contains(&word)) {
                push(
                    &mut findings,
                    file,
                    line_of(&code, at),
                    format!("`{word}`: no `{part}`; {instead}"),
                );
            }
            if before == "fn" && word.starts_with("get_") && !OTHERS_GET.contains(&word) {
                push(
                    &mut findings,
                    file,
                    line_of(&code, at),
                    format!("`{word}`: leave out `get_`"),
                );
            }
            if MACROS
                .iter()
                .any(|it| code[at..].starts_with(it) && it.len() == word.len() + 1)
            {
                push(
                    &mut findings,
                    file,
                    line_of(&code, at),
                    format!("`{word}!` is unfinished work"),
                );
            }
            before = word;
        }
    }
    findings
}

/// Names that outside crates gave.
const OTHERS: &[&str] = &[
    "futures_util",
    "ConnectionManager",
    "ConnectionManagerConfig",
];

/// Names that traits of the standard library prescribe.
const OTHERS_GET: &[&str] = &["get_mut", "get_ref"];

/// The parts of a name, in lower case: `FooBar` and `foo_bar` have two.
fn parts(word: &str) -> impl Iterator<Item = String> {
    let mut split = String::new();
    for letter in word.chars() {
        if letter.is_ascii_uppercase() {
            split.push('_');
        }
        split.push(letter.to_ascii_lowercase());
    }
    split
        .split('_')
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| !file.path.ends_with(".lock")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if let Some((_, mark)) = words(line).find(|(_, word)| MARKS.contains(word)) {
                push(
                    &mut findings,
                    file,
                    number,
                    format!("{mark}: do it, or put it into an issue"),
                );
            }
        }
    }
    findings
}

fn places(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            if let Some(place) = PLACES.iter().find(|place| line.contains(*place)) {
                push(
                    &mut findings,
                    file,
                    number,
                    format!("{place} is a place of one machine"),
                );
            }
        }
    }
    findings
}

fn push(findings: &mut Vec<Finding>, file: &File, line: usize, what: String) {
    findings.push(Finding {
        path: file.path.clone(),
        line,
        what,
    });
}

#[test]
fn words_are_ours() {
    let tree = Tree::real();
    crate::assert_none(&banned_names(&tree));
    crate::assert_none(&unfinished(&tree));
    crate::assert_none(&places(&tree));
}

#[test]
fn each_banned_name_is_found() {
    for text in [
        "struct SocketManager;",
        "fn accept_handler() {}",
        "mod utils;",
        "fn get_name() {}",
        "fn f() { dbg!(1); }",
        "fn f() { todo!() }",
    ] {
        assert_eq!(
            crate::findings_in(banned_names, "a.rs", text).len(),
            1,
            "{text}"
        );
    }
    for text in [
        "// a Manager\nfn handle() { x.get_name() }",
        "fn utility() -> &str { \"helper\" }",
        "fn get_mut() {}",
    ] {
        assert!(
            crate::findings_in(banned_names, "a.rs", text).is_empty(),
            "{text}"
        );
    }
}

#[test]
fn each_mark_and_place_is_found() {
    for mark in MARKS {
        let text = format!("# {mark}: later\n");
        assert_eq!(
            crate::findings_in(unfinished, "a.md", &text).len(),
            1,
            "{mark}"
        );
    }
    assert!(crate::findings_in(unfinished, "a.md", concat!("TO", "DOS are a film")).is_empty());
    for place in PLACES {
        let text = format!("see {place}x");
        assert_eq!(
            crate::findings_in(places, "a.toml", &text).len(),
            1,
            "{place}"
        );
    }
}
