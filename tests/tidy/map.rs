//! The README's code map names every room.

use crate::tree::{Finding, Tree};

fn unnamed_rooms(tree: &Tree) -> Vec<Finding> {
    let readme = tree.file("README.md").map_or("", |file| &file.text);
    let map = readme
        .split("\n## ")
        .find(|section| section.starts_with("Code map"))
        .unwrap_or("");
    let unnamed = tree
        .members()
        .into_iter()
        .filter(|member| !map.contains(&format!("`{member}/`")));
    unnamed
        .map(|member| Finding {
            path: "README.md".to_owned(),
            line: 0,
            what: format!("the code map does not name `{member}/`"),
        })
        .collect()
}

#[test]
fn every_room_is_on_the_map() {
    crate::assert_none(&unnamed_rooms(&Tree::real()));
}

#[test]
fn a_missing_room_is_found() {
    let manifest = (
        "Cargo.toml",
        "[workspace]\nmembers = [\"wire\", \"attic\"]\n",
    );
    let tree = Tree::of(&[
        manifest,
        (
            "README.md",
            "# M\n\n## Code map\n\n- `wire/` frames\n\n## Other\n`attic/`\n",
        ),
    ]);
    let findings: Vec<_> = unnamed_rooms(&tree)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(findings, ["README.md: the code map does not name `attic/`"]);
}
