//! Two people, ten thousand messages each way, and everything that happens to connections and servers meanwhile.

use crate::judge::verdict;
use crate::load::{Plan, Talk};
use crate::server::{Server, eventually_within, serve, serve_on};
use millpond_checker::Report;
use millpond_testbed::Disk;
use std::path::Path;
use std::time::Duration;

const ALICE: u64 = 7;
const BOB: u64 = 9;
/// Crashes of one run, and messages acknowledged between two of them.
const CRASHES: usize = 10;
const BETWEEN: u64 = 1_000;

#[test]
fn nothing_is_lost_or_doubled_while_connections_drop() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let plan = Plan {
        messages_max: 10_000,
        disconnect_one_in: 1_000,
        ..plan()
    };
    let talk = Talk::start(server.listen, people(&server), &plan);
    let seen = talk.finish();
    let report = verdict(&server, &seen);
    report.assert_clean();
    assert_eq!(report.counts.acked, 20_000);
}

#[test]
fn nothing_is_lost_over_ten_kills() {
    let data = tempfile::tempdir().expect("a folder");
    let report = crash(data.path(), "sync", Server::kill);
    report.assert_clean();
}

/// The operating system keeps what a dead process has written; inboxes take a new epoch all the same.
#[test]
fn nothing_is_lost_over_ten_kills_in_the_weaker_modes() {
    for durability in ["interval", "os"] {
        let data = tempfile::tempdir().expect("a folder");
        let report = crash(data.path(), durability, Server::kill);
        report.assert_clean();
        assert!(
            report.counts.resets > 0,
            "an unclean end in {durability} changes the epoch"
        );
    }
}

#[test]
fn nothing_is_lost_over_ten_power_cuts() {
    let Some(disk) = Disk::create_or_skip(512) else {
        return;
    };
    power_cuts(&disk, "sync").assert_clean();
}

/// The proof that the test above can fail.
#[test]
fn power_cuts_lose_what_was_not_synced() {
    let Some(disk) = Disk::create_or_skip(512) else {
        return;
    };
    let report = power_cuts(&disk, "os");
    assert!(
        !report.is_clean(),
        "a mode that does not sync lost nothing in {CRASHES} power cuts"
    );
}

fn power_cuts(disk: &Disk, durability: &str) -> Report {
    crash(&disk.path().join("data"), durability, |server| {
        disk.cut_under(server)
    })
}

/// Two people talk while the server ends `CRASHES` times by `end`, and what they and the server know afterwards.
fn crash(data: &Path, durability: &str, end: impl Fn(Server)) -> Report {
    let arguments = ["--durability", durability];
    let mut server = serve(data, &arguments);
    let listen = server.listen.to_string();
    let plan = Plan {
        messages_max: u64::MAX,
        ..plan()
    };
    let talk = Talk::start(server.listen, people(&server), &plan);
    for round in 1..=CRASHES {
        let goal = talk.acked() + BETWEEN;
        eventually_within(Duration::from_secs(60), "the two talk on", || {
            talk.acked() >= goal
        });
        end(server);
        server = serve_on(data, &listen, &arguments);
        eprintln!("round {round}: {} acknowledged", talk.acked());
    }
    talk.enough();
    let seen = talk.finish();
    verdict(&server, &seen)
}

fn plan() -> Plan {
    Plan {
        messages_max: 0,
        disconnect_one_in: 0,
        seed: 11,
        quiet: Duration::from_secs(3),
    }
}

fn people(server: &Server) -> [(u64, Vec<u8>); 2] {
    [(ALICE, server.token(ALICE)), (BOB, server.token(BOB))]
}
