//! Who may import whom, and which outside crates must stay unreachable from where.

use crate::scan::{code, line_of, words};
use crate::tree::{Finding, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// Folder of a crate, and those of ours that it may import. The root sees everything.
const IMPORTS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("ring", &[]),
    ("gateway", &["wire", "ring", "backplane"]),
    ("router", &["wire", "backplane"]),
    ("backplane", &["wire"]),
    ("backplane/embedded", &["backplane", "wire"]),
    ("backplane/kafka", &["backplane"]),
    ("backplane/background", &[]),
    (
        "backplane/redis",
        &["backplane", "backplane/background", "wire"],
    ),
    ("backplane/stream", &["backplane", "backplane/background"]),
    (
        "backplane/cassandra",
        &["backplane", "backplane/background", "wire"],
    ),
    ("api", &["wire", "backplane"]),
    ("client", &["wire"]),
    ("checker", &[]),
    ("tuning", &[]),
    ("bench", &["wire", "ring", "client", "checker", "tuning"]),
    (
        "sim",
        &[
            "wire",
            "ring",
            "backplane",
            "gateway",
            "router",
            "client",
            "checker",
            "testbed",
        ],
    ),
    ("testbed", &[]),
];

/// In tests, benchmarks and examples: a real store below the router, say. Never across the wall of gateway and router.
const IMPORTS_OF_TESTS: &[(&str, &[&str])] = &[
    ("gateway", &["client"]),
    ("router", &["backplane/embedded", "testbed"]),
    ("backplane/kafka", &["testbed", "wire"]),
    ("backplane/redis", &["testbed"]),
    ("backplane/stream", &["testbed", "wire"]),
    ("backplane/cassandra", &["testbed"]),
];

/// Folders of crates, and outside crates that nothing they are built from may be.
const UNREACHABLE: &[(&[&str], &[&str])] = &[(
    &["wire", "ring", "gateway", "router", "backplane"],
    &[
        "tokio", "fjall", "axum", "hyper", "rdkafka", "scylla", "redis",
    ],
)];

fn allowed(
    table: &[(&'static str, &'static [&'static str])],
    member: &str,
) -> &'static [&'static str] {
    table
        .iter()
        .find(|(name, _)| *name == member)
        .map_or(&[], |(_, imports)| imports)
}

fn manifest_imports(tree: &Tree) -> Vec<Finding> {
    let names = package_names(tree);
    let mut findings = Vec::new();
    for member in tree.members() {
        if !IMPORTS.iter().any(|(name, _)| *name == member) {
            findings.push(finding(
                &member,
                0,
                "say in tests/tidy/imports.rs what it may import".to_owned(),
            ));
        }
        for (section, package) in our_dependencies(tree, &member, &names) {
            let imported = names[&package].as_str();
            let in_tests = section == "dev-dependencies"
                && allowed(IMPORTS_OF_TESTS, &member).contains(&imported);
            if !allowed(IMPORTS, &member).contains(&imported) && !in_tests {
                findings.push(finding(
                    &member,
                    0,
                    format!("{member} must not import {imported} ({section})"),
                ));
            }
        }
    }
    findings
}

fn source_imports(tree: &Tree) -> Vec<Finding> {
    let names = package_names(tree);
    let members = tree.members();
    let mut findings = Vec::new();
    for file in tree.rust() {
        let Some(member) = members
            .iter()
            .filter(|member| within(&file.path, member))
            .max_by_key(|it| it.len())
        else {
            continue;
        };
        let product = file.path[member.len()..].starts_with("/src/");
        let code = code(&file.text);
        for (at, word) in words(&code) {
            let Some(imported) = names
                .get(&word.replace('_', "-"))
                .filter(|_| word.contains('_'))
            else {
                continue;
            };
            let fits = imported == member
                || allowed(IMPORTS, member).contains(&imported.as_str())
                || (!product && allowed(IMPORTS_OF_TESTS, member).contains(&imported.as_str()));
            if !fits {
                let what = format!("{member} must not import {imported}");
                findings.push(Finding {
                    path: file.path.clone(),
                    line: line_of(&code, at),
                    what,
                });
            }
        }
    }
    findings
}

fn within(path: &str, member: &str) -> bool {
    path.strip_prefix(member)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn finding(member: &str, line: usize, what: String) -> Finding {
    Finding {
        path: format!("{member}/Cargo.toml"),
        line,
        what,
    }
}

/// Package name of each member, to its folder.
fn package_names(tree: &Tree) -> BTreeMap<String, String> {
    let name = |member: &String| {
        Some((
            manifest(tree, member)?["package"]["name"]
                .as_str()?
                .to_owned(),
            member.clone(),
        ))
    };
    tree.members().iter().filter_map(name).collect()
}

fn manifest(tree: &Tree, member: &str) -> Option<toml::Table> {
    let file = tree.file(&format!("{member}/Cargo.toml"))?;
    Some(file.text.parse().expect("a manifest is TOML"))
}

/// Section and package of each dependency that is a member.
fn our_dependencies(
    tree: &Tree,
    member: &str,
    names: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (section, value) in manifest(tree, member).unwrap_or_default() {
        if let (true, Some(table)) = (section.ends_with("dependencies"), value.as_table()) {
            let ours = table.keys().filter(|name| names.contains_key(*name));
            found.extend(ours.map(|name| (section.clone(), name.clone())));
        }
    }
    found
}

/// Crates that must stay out, by the lock file: whatever features are on, tests included.
fn reachable(tree: &Tree) -> Vec<Finding> {
    let names = package_names(tree);
    let graph = locked(tree);
    let mut findings = Vec::new();
    for (members, banned) in UNREACHABLE {
        let ours = names
            .iter()
            .filter(|(_, member)| members.contains(&member.as_str()));
        for (package, member) in ours {
            for found in closure(&graph, package)
                .iter()
                .filter(|name| banned.contains(&name.as_str()))
            {
                findings.push(finding(
                    member,
                    0,
                    format!("{found} is reachable from {member}"),
                ));
            }
        }
    }
    findings
}

/// Package to what it depends on, without versions.
fn locked(tree: &Tree) -> BTreeMap<String, BTreeSet<String>> {
    let text = tree.file("Cargo.lock").map_or("", |file| &file.text);
    let lock: toml::Table = text.parse().expect("the lock file is TOML");
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages.into_iter().flatten() {
        let name = package["name"].as_str().expect("a name").to_owned();
        let dependencies = package.get("dependencies").and_then(toml::Value::as_array);
        let names = dependencies
            .into_iter()
            .flatten()
            .filter_map(|it| it.as_str()?.split(' ').next());
        graph
            .entry(name)
            .or_default()
            .extend(names.map(str::to_owned));
    }
    graph
}

fn closure(graph: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(name) = open.pop() {
        if let (true, Some(next)) = (seen.insert(name.clone()), graph.get(&name)) {
            open.extend(next.iter().cloned());
        }
    }
    seen
}

#[test]
fn imports_go_one_way() {
    let tree = Tree::real();
    crate::assert_none(&manifest_imports(&tree));
    crate::assert_none(&source_imports(&tree));
    crate::assert_none(&reachable(&tree));
    assert!(
        closure(&locked(&tree), "millpond").contains("fjall"),
        "the lock file was not read"
    );
}

/// A workspace of two members that import each other as wished.
fn made_up<'a>(gateway: &'a str, source: &'a str, lock: &'a str) -> Tree {
    Tree::of(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"gateway\", \"router\"]\n",
        ),
        ("gateway/Cargo.toml", gateway),
        ("router/Cargo.toml", "[package]\nname = \"m-router\"\n"),
        ("gateway/src/lib.rs", source),
        ("Cargo.lock", lock),
    ])
}

#[test]
fn each_wrong_import_is_found() {
    let plain = "[package]\nname = \"m-gateway\"\n";
    for section in ["dependencies", "dev-dependencies"] {
        let importing = format!("{plain}[{section}]\nm-router = \"1\"\n");
        assert_eq!(
            manifest_imports(&made_up(&importing, "", "")).len(),
            1,
            "{section}"
        );
    }
    let tree = made_up(plain, "// m_router\nuse m_router::Fused;\n", "");
    assert_eq!(
        source_imports(&tree)[0].to_string(),
        "gateway/src/lib.rs:2: gateway must not import router"
    );
    let lock = "[[package]]\nname = \"m-gateway\"\ndependencies = [\"a 1.0\"]\n[[package]]\nname = \"a\"\ndependencies = [\"tokio\"]\n";
    assert_eq!(reachable(&made_up(plain, "", lock)).len(), 1);
    assert!(reachable(&made_up(plain, "", "")).is_empty());
    let unknown = Tree::of(&[("Cargo.toml", "[workspace]\nmembers = [\"attic\"]\n")]);
    assert_eq!(manifest_imports(&unknown).len(), 1);
}
