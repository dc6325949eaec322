//! Files: `foo.rs` beside `foo/`, each opens with what it is, and each is part of something.

use crate::scan::{code, words};
use crate::tree::{File, Finding, Tree};

const HEADER_LINES_MAX: usize = 15;

fn finding(file: &File, what: &str) -> Finding {
    Finding {
        path: file.path.clone(),
        line: 0,
        what: what.to_owned(),
    }
}

fn module_files(tree: &Tree) -> Vec<Finding> {
    let named = tree.rust().filter(|file| file.name() == "mod.rs");
    named
        .map(|file| finding(file, "call it like its folder, beside it"))
        .collect()
}

fn headers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        match header_lines(&file.text) {
            0 => findings.push(finding(
                file,
                "begin with `//!`: what it is, what it must never do, who calls it",
            )),
            1..=HEADER_LINES_MAX => {}
            lines => findings.push(finding(
                file,
                &format!("a header of {lines} lines; {HEADER_LINES_MAX} are enough"),
            )),
        }
    }
    findings
}

/// Lines of words; an example or a drawing between fences is free.
fn header_lines(text: &str) -> usize {
    let header = text.lines().take_while(|line| line.starts_with("//!"));
    let parts: Vec<Vec<&str>> = header.fold(vec![Vec::new()], |mut parts, line| {
        match line.contains("```") {
            true => parts.push(Vec::new()),
            false => parts.last_mut().expect("never empty").push(line),
        }
        parts
    });
    parts.iter().step_by(2).map(Vec::len).sum()
}

/// Files that no `mod` names and no build target is made of.
fn orphans(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !is_target(&file.path)) {
        let module = file.name().trim_end_matches(".rs");
        let named = parents(file)
            .iter()
            .any(|parent| declares(tree, parent, module));
        if !named {
            findings.push(finding(file, "nobody imports this file"));
        }
    }
    findings
}

/// What Cargo builds by itself.
fn is_target(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        [.., "src", "main.rs" | "lib.rs"]
            | ["build.rs"]
            | [_, "build.rs"]
            | [
                ..,
                "tests" | "benches" | "examples" | "bin" | "fuzz_targets",
                _
            ]
            | [.., "tests" | "benches" | "examples" | "bin", _, "main.rs"]
    )
}

/// The files that could hold the `mod` line of this one.
fn parents(file: &File) -> Vec<String> {
    let folder = file.folder();
    vec![
        format!("{folder}.rs"),
        format!("{folder}/main.rs"),
        format!("{folder}/lib.rs"),
    ]
}

fn declares(tree: &Tree, parent: &str, module: &str) -> bool {
    let Some(file) = tree.file(parent) else {
        return false;
    };
    let code = code(&file.text);
    let words: Vec<&str> = words(&code).map(|(_, word)| word).collect();
    words.windows(2).any(|pair| pair == ["mod", module])
}

#[test]
fn files_are_in_their_places() {
    let tree = Tree::real();
    crate::assert_none(&module_files(&tree));
    crate::assert_none(&headers(&tree));
    crate::assert_none(&orphans(&tree));
}

#[test]
fn each_misplaced_file_is_found() {
    assert_eq!(
        crate::findings_in(module_files, "a/src/b/mod.rs", "").len(),
        1
    );
    assert_eq!(
        crate::findings_in(headers, "a.rs", "// A file.\nfn f() {}\n").len(),
        1
    );
    let long = "//! More.\n".repeat(HEADER_LINES_MAX + 1);
    assert_eq!(crate::findings_in(headers, "a.rs", &long).len(), 1);
    assert!(crate::findings_in(headers, "a.rs", "//! A file.\n").is_empty());
    let drawn = format!("//! A file.\n//! ```text\n{long}//! ```\n");
    assert!(crate::findings_in(headers, "a.rs", &drawn).is_empty());
    let declared = ("a/src/lib.rs", "mod b;\n// mod c;\n");
    let tree = Tree::of(&[
        declared,
        ("a/src/b.rs", "mod d;"),
        ("a/src/b/d.rs", ""),
        ("a/src/c.rs", ""),
    ]);
    let findings: Vec<_> = orphans(&tree).iter().map(ToString::to_string).collect();
    assert_eq!(findings, ["a/src/c.rs: nobody imports this file"]);
}
