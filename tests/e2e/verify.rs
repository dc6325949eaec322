//! What a server leaves behind when it is killed while people talk, judged by `millpond verify`.

use crate::load::{Plan, Talk};
use crate::server::{Server, eventually_within, serve, serve_on};
use millpond_testbed::Disk;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const ALICE: u64 = 7;
const BOB: u64 = 9;
/// Crashes of one run, and messages acknowledged before each.
const ENDS: usize = 3;
const BETWEEN: u64 = 200;

#[test]
fn killed_under_load_the_rows_hold_every_rule() {
    let data = tempfile::tempdir().expect("a folder");
    for durability in ["sync", "os"] {
        ended_under_load(
            &data.path().join(durability),
            durability,
            Server::kill,
            true,
        );
    }
}

#[test]
fn so_they_do_after_power_cuts() {
    let Some(disk) = Disk::create_or_skip(512) else {
        return;
    };
    for (durability, keeps) in [("sync", true), ("os", false)] {
        let cut = |server| disk.cut_under(server);
        ended_under_load(&disk.path().join(durability), durability, cut, keeps);
    }
}

/// `keeps`: everything acknowledged must be there; otherwise only what is there must be whole.
fn ended_under_load(data: &Path, durability: &str, end: impl Fn(Server), keeps: bool) {
    let arguments = ["--durability", durability];
    let mut server = serve(data, &arguments);
    let listen = server.listen.to_string();
    let plan = Plan {
        messages_max: u64::MAX,
        disconnect_one_in: 0,
        seed: 23,
        quiet: Duration::from_secs(3),
    };
    let people = [(ALICE, server.token(ALICE)), (BOB, server.token(BOB))];
    let talk = Talk::start(server.listen, people, &plan);
    for _ in 0..ENDS {
        let goal = talk.acked() + BETWEEN;
        eventually_within(Duration::from_secs(60), "the two talk on", || {
            talk.acked() >= goal
        });
        end(server);
        let acked = talk.acked();
        let messages = clean(data);
        assert!(
            !keeps || messages >= acked,
            "{acked} acknowledged, {messages} there"
        );
        known(data, messages);
        server = serve_on(data, &listen, &arguments);
    }
    talk.enough();
    talk.finish();
    server.kill();
    assert!(clean(data) > 0);
}

/// Verifies, and says how many messages there are.
fn clean(data: &Path) -> u64 {
    let report = answer(&millpond("verify", data, &["--json"]));
    assert_eq!(report["clean"], true, "{report:#}");
    number(&report["rows"]["history"])
}

/// The newest message is in both inboxes, and there is none behind it.
fn known(data: &Path, messages: u64) {
    if messages == 0 {
        return;
    }
    let why = |seq: u64| {
        let (user, peer, seq) = (ALICE.to_string(), BOB.to_string(), seq.to_string());
        let arguments = [
            "--user",
            &user,
            "--conversation",
            &peer,
            "--seq",
            &seq,
            "--json",
        ];
        answer(&millpond("why", data, &arguments))
    };
    let life = why(messages);
    assert_eq!(life["dedup"]["agrees"], true, "{life:#}");
    for member in 0..2 {
        assert_eq!(
            number(&life["members"][member]["cursor"]),
            messages,
            "{life:#}"
        );
    }
    assert_eq!(why(messages + 1)["found"], false);
}

/// Looking at a store must not hide from the next server that the last one did not end well.
#[test]
fn a_look_leaves_the_mark_of_an_unclean_end() {
    let data = tempfile::tempdir().expect("a folder");
    let epoch = || number(&answer(&millpond("verify", data.path(), &["--json"]))["epoch"]);
    serve(data.path(), &["--durability", "os"]).kill();
    let first = epoch();
    assert_eq!(epoch(), first, "a look changes nothing");
    serve(data.path(), &["--durability", "os"]).kill();
    assert_ne!(
        epoch(),
        first,
        "cursors may have been reused: another epoch"
    );
}

#[test]
fn a_running_server_is_left_alone() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = serve(data.path(), &[]);
    let output = millpond("verify", data.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("a server has") && said.contains("stop it first"),
        "{said}"
    );
    assert!(server.lives());
}

fn millpond(verb: &str, data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args([verb, "--data"])
        .arg(data)
        .args(arguments)
        .output()
        .expect("the program can be run")
}

fn answer(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// 64 bits are decimal text.
fn number(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}
