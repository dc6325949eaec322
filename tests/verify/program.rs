//! The program itself: what it prints, how it ends, what it leaves.

use crate::good::{START_MS, direct, make, user};
use millpond_backplane::Position;
use millpond_backplane::row::{MarksRow, MemberMarks};
use millpond_backplane::store::{Batch, Store as _, Write};
use millpond_embedded::{FjallStore, Options};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Exit code, standard output, standard error.
pub(crate) fn run(verb: &str, data: &Path, more: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args([verb, "--data"])
        .arg(data)
        .args(more)
        .env_remove("MILLPOND_DATA")
        .output()
        .expect("the program can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_good_store_is_clean_and_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let (code, out, err) = run("verify", folder.path(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("history    19 rows\n"), "{out}");
    assert!(out.ends_with("clean: every rule holds\n"), "{out}");
    let (code, out, _) = run("verify", folder.path(), &["--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["clean"]), (0, &Value::Bool(true)));
    assert_eq!(report["rows"]["inbox"], "37");
    assert_eq!(report["findings"], Value::Array(Vec::new()));
}

#[test]
fn a_damaged_store_is_told_with_its_code_and_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    damage(folder.path());
    let (code, out, err) = run("verify", folder.path(), &[]);
    assert_eq!(code, 1);
    let wanted = "\nV021 broken 1 times: no mark is beyond the last sequence\n  1-2: user 1 at 77, the last is 10\n";
    assert!(out.ends_with(wanted), "{out}");
    assert!(err.starts_with("millpond: 1 findings"), "{err}");
    let (code, out, _) = run("verify", folder.path(), &["--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["clean"]), (1, &Value::Bool(false)));
    assert_eq!(report["findings"][0]["code"], "V021");
    assert_eq!(report["findings"][0]["count"], "1");
}

/// Through the store's own door, as a router with a bug would.
fn damage(data: &Path) {
    let store = FjallStore::open(data, &Options::default()).unwrap();
    let mark = |id, delivered| MemberMarks {
        user: user(id),
        delivered,
        read: 0,
    };
    let row = MarksRow {
        position: Position {
            epoch: 1,
            offset: 9,
            index: 9,
        },
        version: 9,
        members: vec![mark(1, 77), mark(2, 1)],
    };
    let conversation = direct(1, 2);
    let writes = vec![Write::Marks { conversation, row }];
    store.commit(&Batch { writes }).unwrap();
}

#[test]
fn where_nothing_can_be_judged_it_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = run("verify", folder.path(), &[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("there is no store in"), "{err}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it makes nothing"
    );
    let (code, _, err) = run("verify", &folder.path().join("nowhere"), &[]);
    assert!(code == 2 && err.contains("there is no store in"), "{err}");
    let (code, _, err) = run("verify", folder.path(), &["--fast"]);
    assert!(code == 2 && err.contains("--fast"), "{err}");
}

#[test]
fn while_a_server_runs_it_says_so_and_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let store = FjallStore::open(folder.path(), &Options::default()).unwrap();
    for (verb, more) in [
        ("verify", &[][..]),
        ("why", &["--user", "1", "--conversation", "2", "--seq", "1"]),
    ] {
        let (code, out, err) = run(verb, folder.path(), more);
        assert_eq!((code, out.as_str()), (2, ""), "{verb}");
        assert!(err.contains("stop it first"), "{err}");
    }
    drop(store);
    assert_eq!(run("verify", folder.path(), &[]).0, 0);
}

#[test]
fn the_life_of_a_message_in_words() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let (code, out, err) = run(
        "why",
        folder.path(),
        &["--user", "2", "--conversation", "1", "--seq", "5"],
    );
    assert_eq!((code, err.as_str()), (0, ""));
    for line in [
        "sequence 5 of the conversation 1-2, which ends at 10",
        "  taken    2026-01-01 00:00:03.000 UTC (1767225603000) from user 1, device 11, client message id 3",
        "  position epoch 1, offset 3, index 1",
        "  body     9 bytes of kind 0",
        "  dedup    a resend of this id is answered with this sequence and time",
        "user 2: cursor 5 of an inbox that ends at 10, epoch ",
        "  device 11 has acknowledged up to cursor 12: has it, and wrote it",
        "  device 21 has acknowledged up to cursor 8: has it\n",
        "  device 22 has acknowledged up to cursor 3: does not have it\n",
        "  delivered up to 8 (this one too), read up to 5 (this one too)",
    ] {
        assert!(out.contains(line), "{line} in\n{out}");
    }
    assert!(
        !out.contains("1 to 2: 3"),
        "the body is nobody's business: {out}"
    );
    assert_eq!(START_MS + 3_000, 1_767_225_603_000);
}

#[test]
fn the_life_of_a_message_as_json() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let arguments = ["--user", "5", "--conversation", "6", "--seq", "4", "--json"];
    let (code, out, _) = run("why", folder.path(), &arguments);
    let life: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(
        (&life["seq"], &life["client_msg_id"]),
        (&"4".into(), &"3".into())
    );
    assert_eq!(life["dedup"]["agrees"], true);
    assert_eq!(life["members"][1]["cursor"], "4");
    assert_eq!(life["members"][1]["devices"], Value::Array(Vec::new()));
    assert_eq!(life["members"][0]["delivered"], Value::Null);
}

#[test]
fn no_such_message_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    for (user, conversation, seq, words) in [
        (
            "1",
            "6",
            "1",
            "nothing was ever sent in the conversation 1-6",
        ),
        (
            "1",
            "2",
            "11",
            "the conversation 1-2 ends at sequence 10; 11 was never given out",
        ),
        (
            "3",
            "1-2",
            "1",
            "user 3 is not a member of the conversation 1-2",
        ),
    ] {
        let arguments = ["--user", user, "--conversation", conversation, "--seq", seq];
        let (code, out, err) = run("why", folder.path(), &arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(
            err.starts_with("millpond: no such message: ") && err.contains(words),
            "{err}"
        );
        let (code, out, _) = run(
            "why",
            folder.path(),
            &[&arguments[..], &["--json"]].concat(),
        );
        let answer: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &answer["found"]), (1, &Value::Bool(false)));
        assert!(answer["why"].as_str().unwrap().contains(words));
    }
    let (code, _, err) = run(
        "why",
        folder.path(),
        &["--user", "1", "--conversation", "2", "--seq", "0"],
    );
    assert!(code == 2 && err.contains("--seq"), "{err}");
}
