//! The gate on bytes: what an idle connection costs, by the slope between two sizes, so that what a server takes once does
//! not count. A test program of its own, because the kernel's part is read from the whole machine: nothing else may run.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Half of them stand first, then all.
const CONNECTIONS: &str = "36000";
/// Server side, kernel and process together, by a bare accepted socket of the same run: a poll and the session are 0.10; a
/// receive armed in place of the poll would be 0.25. The rest is what a machine's other memory moves meanwhile.
const RATIO_MAX: f64 = 1.17;
/// The process's own bytes: a slab entry of 64, a route of 53 and the free places of its index, a share of a ring's buffers.
const USER_MAX: f64 = 190.0;
/// Other memory of the machine moves both ways, a cost that is there shows in every run.
const RUNS_MAX: u32 = 5;

#[test]
fn an_idle_connection_costs_what_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for run in 0..RUNS_MAX {
        let (ratio, user) = measure(&folder.path().join(format!("{run}.json")));
        println!(
            "an idle connection: {ratio:.3} of a bare accepted socket, {user:.0} bytes of the process"
        );
        if (1.0..=RATIO_MAX).contains(&ratio) && user <= USER_MAX {
            return;
        }
        seen.push((ratio, user));
    }
    panic!(
        "wanted a ratio from 1 to {RATIO_MAX} and at most {USER_MAX} bytes of the process, found {seen:?}"
    );
}

/// The ratio to a bare socket, and the process's own bytes.
fn measure(report: &Path) -> (f64, f64) {
    let run = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["bench", "idle", "--connections", CONNECTIONS])
        .args(["--hold", "1", "--messages", "200", "--no-storm"])
        .args(["--lag-limit-ms", "60000", "--json"])
        .arg(report)
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{:?}: {said}", run.status);
    let report = std::fs::read(report).expect("it leaves a report");
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    let memory = &report["figures"]["memory"];
    let number = |name: &str| memory[name].as_f64().unwrap_or_else(|| panic!("{memory}"));
    (number("slope_ratio"), number("user_slope"))
}
