//! The whole of it in one thread, under virtual time and one seed: real gateway shards over the ring's double, the real
//! routers of both drivers, stores, logs and routes in memory with their faults, real SDK cores, bytes on the wire. It
//! tries to break the promise that nothing acknowledged is ever lost, and has the checker judge.
//!
//! It must never sleep, open a socket or read a clock, except in `real`, which drives a real server with the same
//! clients. Called by its program and its tests.
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what must not be forgotten is matched whole in `operation`; elsewhere the rest is of no interest"
)]

mod audit;
mod chance;
mod cluster;
mod crowd;
mod device;
mod door;
mod embedded;
mod fault;
mod frames;
mod gate;
mod notes;
mod operation;
mod plan;
mod prober;
mod real;
mod server;
mod shelf;
mod shrink;
mod world;

pub use fault::{Fault, Faults};
pub use notes::{Finding, Line, Tally};
pub use operation::{Operation, Operations, RECORDS, by_command, by_frame, by_inbox};
pub use plan::{Bug, Driver, Plan};
pub use real::{Real, RealOutcome, drive};
pub use shrink::shrink;
pub use world::{Outcome, Watch, run};
