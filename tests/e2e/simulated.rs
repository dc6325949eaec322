//! The simulation's clients and checker against a real server, for some seconds; `sim --real` goes on for longer.

use crate::server::PROGRAM;
use millpond_sim::{Fault, Real, drive};
use std::time::Duration;

#[test]
fn a_real_server_keeps_its_promises_to_the_simulation_s_clients() {
    let real = Real {
        program: PROGRAM.into(),
        seed: 4,
        lasts: Duration::from_secs(5),
    };
    let outcome = drive(&real).expect("the server starts");
    println!("{:?}, {:?}", outcome.counts, outcome.tally.faults);
    assert!(outcome.is_clean(), "{:#?}", outcome.findings);
    let ends = [Fault::Crash, Fault::PowerCut].map(|fault| outcome.tally.faults.get(&fault));
    assert!(
        ends.into_iter().flatten().sum::<u64>() > 0,
        "it never ended"
    );
    assert!(outcome.counts.acked > 100, "{:?}", outcome.counts);
}
