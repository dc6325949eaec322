//! Whole comparisons of files, good ones and garbage.

use super::*;
use crate::args::Threshold;
use serde_json::json;

fn report() -> Value {
    json!({
        "schema": "millpond-bench", "schema_version": 1, "scenario": "echo", "parameters": {"connections": 3},
        "interrupted": false, "void": [], "violations": [],
        "figures": {"gateway": {
            "messages_per_second": {"median": 100.0, "min": 1.0, "max": 200.0},
            "latency": {"p99_us": 50.0, "max_us": 70.0, "lost": 0},
            "connections": 5,
        }},
        "bars": [{"name": "memory", "better": "lower", "bars": [{"name": "ours", "value": 4000.0}]}],
    })
}

fn outcome(before: &str, after: &str) -> Result<(Outcome, String), String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let args = Diff {
        before: write("a.json", before),
        after: write("b.json", after),
        threshold: Threshold(0.05),
    };
    compared(&args).map_err(|error| format!("{error:#}"))
}

fn changed(pointer: &str, value: Value) -> Result<(Outcome, String), String> {
    let mut after = report();
    *after.pointer_mut(pointer).unwrap() = value;
    outcome(&report().to_string(), &after.to_string())
}

#[test]
fn each_figure_has_its_direction_and_its_threshold() {
    for (pointer, value, expected) in [
        (
            "/figures/gateway/messages_per_second/median",
            json!(94.0),
            Outcome::Regression,
        ),
        (
            "/figures/gateway/messages_per_second/median",
            json!(96.0),
            Outcome::NoRegression,
        ),
        (
            "/figures/gateway/messages_per_second/median",
            json!(500.0),
            Outcome::NoRegression,
        ),
        (
            "/figures/gateway/latency/p99_us",
            json!(60.0),
            Outcome::Regression,
        ),
        (
            "/figures/gateway/latency/p99_us",
            json!(40.0),
            Outcome::NoRegression,
        ),
        (
            "/figures/gateway/latency/p99_us",
            json!(null),
            Outcome::Regression,
        ),
        (
            "/figures/gateway/latency/lost",
            json!(1),
            Outcome::Regression,
        ),
        (
            "/figures/gateway/latency/max_us",
            json!(900.0),
            Outcome::NoRegression,
        ),
        (
            "/figures/gateway/connections",
            json!(900),
            Outcome::NoRegression,
        ),
        ("/bars/0/bars/0/value", json!(5000.0), Outcome::Regression),
        ("/bars/0/bars/0/value", json!(3000.0), Outcome::NoRegression),
        ("/void", json!(["late"]), Outcome::NotComparable),
        ("/interrupted", json!(true), Outcome::NotComparable),
    ] {
        let (outcome, text) = changed(pointer, value).unwrap();
        assert_eq!(outcome, expected, "{pointer}\n{text}");
    }
}

#[test]
fn a_void_run_says_why_and_other_parameters_are_told() {
    let (_, text) = changed("/void", json!(["the generator was late"])).unwrap();
    assert!(text.contains("b.json: the generator was late"), "{text}");
    let (outcome, text) = changed("/parameters/connections", json!(4)).unwrap();
    assert_eq!(outcome, Outcome::NoRegression);
    assert!(text.contains("parameters of the two runs differ"), "{text}");
}

#[test]
fn what_is_no_report_is_refused_in_words() {
    let good = report().to_string();
    let error = changed("/scenario", json!("messages")).unwrap_err();
    assert!(
        error.contains("`echo`") && error.contains("`messages`"),
        "{error}"
    );
    assert!(
        changed("/schema_version", json!(2))
            .unwrap_err()
            .contains("version 2")
    );
    for garbage in [
        "",
        "{",
        "[]",
        "null",
        "{\"schema\":\"millpond-bench\"}",
        &good[..good.len() / 2],
    ] {
        assert!(outcome(&good, garbage).is_err(), "{garbage}");
        assert!(outcome(garbage, &good).is_err(), "{garbage}");
    }
}
