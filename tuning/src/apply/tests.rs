//! Whole or not at all, there and back, on a machine of files.

use super::*;
use crate::made_up::machine;
use std::fs;

const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";
const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const BACKLOG: &str = "/proc/sys/net/ipv4/tcp_max_syn_backlog";

const FILES: &[(&str, &[u8])] = &[
    (SOMAXCONN, b"4096\n"),
    (THP, b"always\n"),
    (BACKLOG, b"128\n"),
];

fn change(file: &str, from: &str, to: &str) -> Change {
    Change {
        file: file.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

fn three() -> Vec<Change> {
    vec![
        change(SOMAXCONN, "4096", "65535"),
        change(THP, "always", "madvise"),
        change(BACKLOG, "128", "65536"),
    ]
}

fn value(root: &Root, file: &str) -> String {
    root.text(file).unwrap()
}

#[test]
fn there_and_back() {
    let (_folder, root) = machine(FILES);
    apply(&root, STATE_FILE, &three(), true).unwrap();
    assert_eq!(value(&root, SOMAXCONN), "65535");
    assert_eq!(value(&root, THP), "madvise");
    assert_eq!(applied(&root, STATE_FILE).unwrap(), three());
    let persisted = value(&root, SYSCTL_FILE);
    assert!(persisted.contains("net.core.somaxconn = 65535\nnet.ipv4.tcp_max_syn_backlog = 65536"));
    assert!(!persisted.contains("madvise"));
    let reverted = revert(&root, STATE_FILE).unwrap();
    assert_eq!((reverted.restored.len(), reverted.left.len()), (3, 0));
    assert_eq!(value(&root, SOMAXCONN), "4096");
    assert_eq!(value(&root, THP), "always");
    assert!(!root.path(SYSCTL_FILE).exists() && !root.path(STATE_FILE).exists());
    assert!(matches!(
        revert(&root, STATE_FILE),
        Err(ApplyError::Nothing(_))
    ));
}

#[test]
fn a_second_apply_keeps_the_first_old_values() {
    let (_folder, root) = machine(FILES);
    apply(&root, STATE_FILE, &three()[..1], false).unwrap();
    apply(
        &root,
        STATE_FILE,
        &[change(SOMAXCONN, "65535", "70000")],
        false,
    )
    .unwrap();
    revert(&root, STATE_FILE).unwrap();
    assert_eq!(value(&root, SOMAXCONN), "4096");
}

#[test]
fn a_failed_write_puts_the_earlier_ones_back() {
    let (_folder, root) = machine(FILES);
    let mut changes = three();
    changes.push(change("/proc/sys/fs/none", "1", "2"));
    let error = apply(&root, STATE_FILE, &changes, true).unwrap_err();
    assert!(matches!(error, ApplyError::Refused { .. }), "{error}");
    assert!(!root.path(STATE_FILE).exists());
    assert_eq!(value(&root, SOMAXCONN), "4096");
    assert_eq!(value(&root, BACKLOG), "128");
    assert!(!root.path(SYSCTL_FILE).exists());
}

/// The folder of sysctls is in the way: everything before it is put back, and the state with it.
#[test]
fn a_failure_at_the_very_end_puts_everything_back() {
    let (_folder, root) = machine(FILES);
    fs::create_dir_all(root.path("/etc")).unwrap();
    fs::write(root.path("/etc/sysctl.d"), "a file").unwrap();
    let before = apply(&root, STATE_FILE, &three(), true).unwrap_err();
    assert!(matches!(before, ApplyError::State { .. }), "{before}");
    fs::remove_file(root.path("/etc/sysctl.d")).unwrap();
    fs::create_dir_all(root.path("/etc/sysctl.d/90-millpond.new")).unwrap();
    let error = apply(&root, STATE_FILE, &three(), true).unwrap_err();
    assert!(matches!(error, ApplyError::Refused { .. }), "{error}");
    for (file, bytes) in FILES {
        assert_eq!(value(&root, file).as_bytes(), bytes.trim_ascii());
    }
    assert!(!root.path(STATE_FILE).exists());
}

#[test]
fn what_others_changed_or_wrote_is_left_alone() {
    let (_folder, root) = machine(FILES);
    apply(&root, STATE_FILE, &three(), false).unwrap();
    fs::write(root.path(SOMAXCONN), "9000").unwrap();
    let reverted = revert(&root, STATE_FILE).unwrap();
    assert_eq!((reverted.restored.len(), reverted.left.len()), (2, 1));
    assert_eq!(value(&root, SOMAXCONN), "9000");
    let (_folder, root) = machine(&[(SYSCTL_FILE, b"net.core.somaxconn = 1"), (SOMAXCONN, b"1")]);
    let changes = [change(SOMAXCONN, "1", "2")];
    let error = apply(&root, STATE_FILE, &changes, true).unwrap_err();
    assert!(matches!(error, ApplyError::Foreign { .. }), "{error}");
    assert_eq!(value(&root, SOMAXCONN), "1");
}

#[test]
fn a_state_that_is_not_understood_stops_everything() {
    for bad in [
        &b""[..],
        b"{",
        b"\xff",
        b"{\"version\":2,\"persisted\":false,\"changes\":[]}",
        b"{\"version\":1,\"persisted\":false,\"changes\":[{\"file\":\"/etc/passwd\",\"from\":\"\",\"to\":\"\"}]}",
        b"{\"version\":1,\"persisted\":false,\"changes\":[{\"file\":\"/sys/../etc/passwd\",\"from\":\"\",\"to\":\"\"}]}",
        b"[]",
    ] {
        let (_folder, root) = machine(&[(STATE_FILE, bad), (SOMAXCONN, b"4096")]);
        let error = apply(&root, STATE_FILE, &three()[..1], false).unwrap_err();
        assert!(matches!(error, ApplyError::State { .. }), "{error}");
        assert!(revert(&root, STATE_FILE).is_err());
        assert_eq!(value(&root, SOMAXCONN), "4096");
        assert_eq!(fs::read(root.path(STATE_FILE)).unwrap(), bad);
    }
}

#[test]
fn two_at_a_time_are_one_too_many() {
    let (_folder, root) = machine(FILES);
    let held = Held::take(&root, STATE_FILE).unwrap();
    assert!(matches!(
        apply(&root, STATE_FILE, &three(), false),
        Err(ApplyError::Busy(_))
    ));
    drop(held);
    apply(&root, STATE_FILE, &three(), false).unwrap();
}

/// The state is there before the first write: what a crash in between leaves can be taken back.
#[test]
fn a_crash_between_state_and_writes_can_be_reverted() {
    let (_folder, root) = machine(FILES);
    let held = Held::take(&root, STATE_FILE).unwrap();
    let mut state = State::default();
    state.add(&three(), true);
    held.write(&state).unwrap();
    drop(held);
    fs::write(root.path(SOMAXCONN), "65535\n").unwrap();
    let reverted = revert(&root, STATE_FILE).unwrap();
    assert_eq!(reverted.restored.len(), 3);
    assert_eq!(value(&root, SOMAXCONN), "4096");
}

#[test]
fn one_value_has_many_texts() {
    assert_eq!(normal("4096\t87380  6291456\n"), "4096 87380 6291456");
    assert_eq!(normal("always [madvise] never"), "madvise");
    assert_eq!(normal("00000000,00000003"), "3");
    assert_eq!(normal("0"), "0");
}
