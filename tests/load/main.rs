//! The load generator as a person runs it: each scenario of very many clients, small, against our server or a public one.
//! A test program of its own, and one scenario at a time: what is measured is the whole machine's memory.

mod peers;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The figures of a scenario's report. Nobody else runs meanwhile.
fn figures(scenario: &str, flags: &[&str]) -> Value {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let run = bench(scenario)
        .args(flags)
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{scenario} {flags:?}: {said}");
    let report = std::fs::read(json).expect("it leaves a report");
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    assert_eq!(report["scenario"], scenario);
    report["figures"].clone()
}

fn bench(scenario: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(["bench", scenario]);
    command
}

fn number(figures: &Value, path: &str) -> f64 {
    let found = figures.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{path} in {figures}"))
}

/// Tests run beside other work: how late the generator was is not judged here.
const PATIENT: [&str; 2] = ["--lag-limit-ms", "60000"];

#[test]
fn a_storm_is_weathered_by_those_who_stay() {
    let flags = ["--connections", "500", "--rounds", "2", "--stay", "10"];
    let rate = ["--rate", "100"];
    let figures = figures("storm", &[&flags[..], &rate, &PATIENT].concat());
    assert_eq!(figures["rounds"].as_array().map(Vec::len), Some(2));
    for phase in ["calm", "storm"] {
        let sent = number(&figures, &format!("/{phase}/sent"));
        assert!(sent > 0.0, "{figures}");
        assert_eq!(sent, number(&figures, &format!("/{phase}/delivered")));
    }
    assert!(number(&figures, "/judged/operations") > 1_000.0);
}

#[test]
fn what_idle_clients_cost_our_server_is_counted() {
    let flags = ["--connections", "300", "--hold", "2", "--heartbeat", "1"];
    let messages = ["--messages", "100", "--rate", "100"];
    let figures = figures("idle", &[&flags[..], &messages, &PATIENT].concat());
    assert_eq!(number(&figures, "/connections"), 300.0);
    assert!(number(&figures, "/held/heartbeats") >= 300.0, "{figures}");
    assert_eq!(number(&figures, "/messages/delivered"), 100.0);
    // One for each device, none for a heartbeat, together in fewer batches.
    assert_eq!(number(&figures, "/routes/writes"), 300.0);
    let batches = number(&figures, "/routes/batches");
    assert!((1.0..300.0).contains(&batches), "{figures}");
    assert_eq!(number(&figures, "/storm/connections"), 300.0);
    // Those of the storm before, who were seen to be gone.
    assert!(number(&figures, "/storm/closed_by_the_server") >= 0.0);
    assert!(number(&figures, "/judged/operations") >= 400.0);
}

#[test]
fn whoever_leaves_is_made_anew() {
    let flags = ["--connections", "500", "--lasts", "2", "--rate", "200/s"];
    let figures = figures("churn", &[&flags[..], &PATIENT].concat());
    assert_eq!(number(&figures, "/connections"), 500.0);
    assert!(number(&figures, "/made_anew") > 200.0, "{figures}");
    assert_eq!(number(&figures, "/dropped"), 0.0);
    assert_eq!(number(&figures, "/held_by_the_server"), 500.0, "{figures}");
}

/// Processes that this one started and that run.
fn children(of: u32) -> Vec<u32> {
    let path = format!("/proc/{of}/task/{of}/children");
    let listed = std::fs::read_to_string(path).unwrap_or_default();
    let numbers = listed.split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_server_outlives_a_generator_that_is_killed() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Servers of all kinds that it starts itself: the floor's, ours.
    for flags in [
        &["null", "--connections", "10", "--messages", "100000000"][..],
        &["churn", "--connections", "10", "--lasts", "60"],
    ] {
        let run = bench(flags[0]).args(&flags[1..]).spawn();
        let mut run = run.expect("the program starts");
        let server = until("it starts a server", || children(run.id()).first().copied());
        // It asks to end with its parent when it runs, not when it is made.
        std::thread::sleep(Duration::from_millis(500));
        run.kill().expect("it still runs");
        run.wait().expect("it is a child");
        let there = format!("/proc/{server}");
        until("the server ends", || {
            (!Path::new(&there).exists()).then_some(())
        });
    }
}

#[test]
fn a_message_reaches_all_devices_of_both_sides() {
    let flags = ["--connections", "64", "--width", "8", "--messages", "100"];
    let figures = figures("fanout", &[&flags[..], &PATIENT].concat());
    assert_eq!(number(&figures, "/copies"), 15.0);
    assert_eq!(number(&figures, "/messages/delivered"), 1_500.0);
    assert_eq!(number(&figures, "/messages/whole/count"), 100.0);
}

#[test]
fn the_generator_knows_its_own_ceiling() {
    let figures = figures("null", &["--connections", "200", "--messages", "5000"]);
    assert_eq!(number(&figures, "/messages"), 5_000.0);
    assert!(number(&figures, "/messages_per_second") > 0.0);
}

#[test]
fn what_waits_on_a_socket_costs_memory() {
    let figures = figures("floor", &["--connections", "10000"]);
    let ways = figures["waiting"].as_array().expect("three ways");
    assert_eq!(ways.len(), 3, "{figures}");
    let accepted = number(&figures, "/accepted");
    assert!((3_000.0..6_000.0).contains(&accepted), "{figures}");
}

#[test]
fn flags_that_do_not_go_together_are_refused_in_words() {
    let cases: [(&[&str], &str); 6] = [
        (&["idle", "--protocol", "mqtt"], "--target"),
        (
            &["idle", "--path", "/x", "--target", "127.0.0.1:9"],
            "websocket",
        ),
        (&["idle", "--qos", "1", "--target", "127.0.0.1:9"], "mqtt"),
        (&["idle", "--start", "true"], "--target"),
        (
            &["idle", "--protocol", "raw", "--target", "192.0.2.1:9"],
            "--allow-remote",
        ),
        (&["fanout", "--connections", "10", "--width", "4"], "users"),
    ];
    for (flags, wanted) in cases {
        let run = bench(flags[0]).args(&flags[1..]).output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success(), "{flags:?}");
        assert!(said.contains(wanted), "{flags:?} said {said}");
    }
}
