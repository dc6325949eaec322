//! `millpond tune` on machines of files, and in a network namespace of its own.

use crate::process::{millpond, run};
use std::fs;
use std::path::Path;
use std::process::Command;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn put(root: &Path, file: &str, value: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, value).expect("written");
}

#[test]
fn a_plan_shows_its_arithmetic_and_the_way_back() {
    let (code, out, error) = run(&[
        "tune",
        "plan",
        "--connections",
        "1000000",
        "--memory",
        "64G",
    ]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("= 1000000 × 4117 B (measured)"), "{out}");
    assert!(out.contains("the plan fits"), "{out}");
    let (_, out, _) = run(&["tune", "plan", "--memory", "64G", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["plan"]["connections"], json["fitting_connections"]);
    let memory = json["plan"]["memory_bytes"].as_u64().expect("bytes");
    assert!(
        memory <= 64 << 30 && memory > (64 << 30) - (2 << 20),
        "{memory}"
    );
}

#[test]
fn wrong_sizes_and_numbers_end_with_2() {
    for arguments in [
        ["--memory", "64Q"],
        ["--memory", "0"],
        ["--connections", "0"],
        ["--connections", "99999999999999"],
        ["--rate", "-1"],
    ] {
        let (code, _, error) = run(&["tune", "plan", arguments[0], arguments[1]]);
        assert_eq!(code, 2, "{error}");
    }
}

#[test]
fn the_exit_code_of_check_tells_blockers_from_warnings() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let arguments = [
        "tune",
        "check",
        "--connections",
        "1000",
        "--json",
        "--root",
        text(root),
    ];
    let (code, out, error) = run(&arguments);
    assert_eq!(code, 4, "all unknown: {out} {error}");
    put(root, "proc/sys/fs/file-max", "10");
    let (code, out, _) = run(&arguments);
    assert_eq!(code, 5, "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["worst"], "blocker");
}

#[test]
fn nothing_is_written_without_a_yes_and_everything_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    put(root, "proc/sys/net/core/somaxconn", "128");
    let with = |rest: &[&str]| {
        let mut arguments = vec!["tune", rest[0], "--root", text(root)];
        arguments.extend(&rest[1..]);
        run(&arguments)
    };
    let value = || fs::read_to_string(root.join("proc/sys/net/core/somaxconn")).expect("there");
    let (code, out, error) = with(&["apply"]);
    assert!(out.contains("- 128\n+ 65535\n"), "{out}");
    assert_eq!((code, value().as_str()), (1, "128"));
    assert!(error.contains("--yes"), "{error}");
    let (code, _, error) = with(&["apply", "--yes", "--only", "net.core.somaxcon"]);
    assert!(code == 1 && error.contains("no parameter"), "{error}");
    let (code, _, error) = with(&["apply", "--yes", "--persist"]);
    assert_eq!((code, value().as_str()), (0, "65535"), "{error}");
    assert!(root.join("etc/sysctl.d/90-millpond.conf").exists());
    let (code, out, _) = with(&["apply", "--yes"]);
    assert_eq!((code, out.as_str()), (0, "nothing to write\n"));
    let (code, _, error) = with(&["revert", "--yes"]);
    assert_eq!((code, value().as_str()), (0, "128"), "{error}");
    let (code, _, error) = with(&["revert", "--yes"]);
    assert!(code == 1 && error.contains("T006"), "{error}");
}

/// Real sysctls, which belong to the namespace: nothing of the machine is touched.
#[test]
fn sysctls_of_a_network_namespace_are_written_and_put_back() {
    let permitted = Command::new("unshare").args(["--net", "true"]).output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        println!("skipped: this user may not make a network namespace");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = millpond(&[]).get_program().to_owned();
    let script = "set -e
        cd /proc/sys/net; before=$(cat core/somaxconn)
        echo 1 > ipv4/tcp_slow_start_after_idle
        \"$1\" tune apply --yes --state \"$2\" --only net.core.somaxconn --only net.ipv4.tcp_slow_start_after_idle > /dev/null
        cat core/somaxconn ipv4/tcp_slow_start_after_idle
        \"$1\" tune revert --yes --state \"$2\" > /dev/null
        cat ipv4/tcp_slow_start_after_idle; after=$(cat core/somaxconn)
        test $before = $after && echo back";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", script, "sh"])
        .arg(program)
        .arg(folder.path().join("state.json"))
        .output()
        .expect("it ran a moment ago");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "65535\n0\n1\nback\n", "{error}");
}

#[test]
fn the_unit_has_the_plans_limits() {
    let (code, out, _) = run(&["tune", "unit", "--connections", "200000"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("LimitNOFILE=201024") && out.contains("io_uring_setup"),
        "{out}"
    );
}
