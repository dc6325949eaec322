//! The house rules that a compiler does not hold: who imports whom, how long a file may be, which words are not used.
//!
//! A rule takes a tree of files and gives what it finds, so that each can be shown to fail on a made-up tree. The real
//! tree must have no findings. An exception stands in the ratchet of its rule, and goes when it is not needed any more.

mod imports;
mod layout;
mod length;
mod map;
mod scan;
mod tree;
mod unsafety;
mod words;

use tree::{Finding, Tree};

fn assert_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// A made-up tree of one file, and the findings of `rule` in it.
fn findings_in(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
    let findings = rule(&Tree::of(&[(path, text)]));
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_tree_is_the_real_one() {
    let tree = Tree::real();
    for path in [
        "README.md",
        "Cargo.toml",
        "wire/src/lib.rs",
        "tests/tidy/main.rs",
        "check",
    ] {
        assert!(tree.file(path).is_some(), "{path} was not read");
    }
    assert!(tree.files().all(|file| !file.path.starts_with("target/")));
}
