//! Unsafe code lives in `ring`. Elsewhere it needs a reason that stands beside it.

use crate::scan::{code, line_of, words};
use crate::tree::{Finding, Tree};

const HOME: &str = "ring/";
/// Lines above the word in which the reason must stand.
const REASON_LINES: usize = 4;

fn unsafe_outside(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.path.starts_with(HOME)) {
        let code = code(&file.text);
        for (at, _) in words(&code).filter(|(_, word)| *word == "unsafe") {
            let line = line_of(&code, at);
            let above = line.saturating_sub(REASON_LINES + 1);
            let near: Vec<&str> = file.text.lines().skip(above).take(line - above).collect();
            if !near.join(" ").contains("#[expect(unsafe_code, reason") {
                findings.push(Finding {
                    path: file.path.clone(),
                    line,
                    what: "unsafe belongs into `ring`, or needs #[expect(unsafe_code, reason = …)]"
                        .to_owned(),
                });
            }
        }
    }
    findings
}

#[test]
fn unsafe_code_is_at_home() {
    let tree = Tree::real();
    crate::assert_none(&unsafe_outside(&tree));
    let at_home = tree.rust().filter(|file| file.path.starts_with(HOME));
    let uses = at_home.map(|file| {
        words(&code(&file.text))
            .filter(|(_, word)| *word == "unsafe")
            .count()
    });
    assert!(uses.sum::<usize>() > 0, "the rule looks for the wrong word");
}

#[test]
fn unsafe_code_elsewhere_is_found() {
    let bare = "fn f() {\n    unsafe { g() }\n}\n";
    assert_eq!(
        crate::findings_in(unsafe_outside, "wire/src/a.rs", bare).len(),
        1
    );
    assert!(crate::findings_in(unsafe_outside, "ring/src/a.rs", bare).is_empty());
    let reasoned = format!("#[expect(unsafe_code, reason = \"a call of the kernel\")]\n{bare}");
    assert!(crate::findings_in(unsafe_outside, "wire/src/a.rs", &reasoned).is_empty());
    assert!(
        crate::findings_in(unsafe_outside, "a.rs", "// unsafe\n#![forbid(unsafe_code)]").is_empty()
    );
}
