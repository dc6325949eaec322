//! The load generator, its scenarios and reports.
//!
//! One thread drives all connections of a run, on one ring or several, and speaks their protocol directly. Servers run as processes of their
//! own, so that their CPU time can be told apart. Called by `millpond bench`; nothing here is on a server's data path.
#![forbid(unsafe_code)]

pub mod args;
mod bare;
pub mod churn;
mod clock;
pub mod compare;
mod course;
mod cpu;
mod crowd;
pub mod diff;
pub mod echo;
pub mod fanout;
mod files;
pub mod floor;
mod generator;
pub mod idle;
mod latency;
mod look;
mod machine;
mod memory;
pub mod messages;
mod metrics;
pub mod null;
mod outbox;
mod perf;
mod preflight;
pub mod program;
mod progress;
mod protocol;
pub mod raw_echo;
pub mod report;
mod schedule;
mod sockets;
pub mod storm;
mod talk;
mod target;
mod traffic;

pub use clock::{Clock, SECOND_NS};
pub use cpu::{Cores, own_cpu_ns, pin};
pub use latency::{Latency, Origin, Summary, microseconds};
pub use machine::Machine;
pub use program::{Program, Stop, Tokens};
pub use schedule::{Arrivals, Random, Schedule};
pub use target::{file_system, temporary_folder};

use args::Bench;
use report::Verdict;

/// Runs one scenario to its report.
pub fn run(bench: &Bench, program: &Program) -> anyhow::Result<Verdict> {
    match bench {
        Bench::Echo(args) => echo::run(args, program),
        Bench::Messages(args) => messages::run(args, program),
        Bench::Idle(args) => idle::run(args, program),
        Bench::Storm(args) => storm::run(args, program),
        Bench::Churn(args) => churn::run(args, program),
        Bench::Fanout(args) => fanout::run(args, program),
        Bench::Floor(args) => floor::run(args, program),
        Bench::Null(args) => null::run(args, program),
        Bench::BareServer(args) => bare::run(args).map(|()| Verdict::Good),
        Bench::Compare(args) => compare::run(args, program),
        Bench::Diff(args) => diff::run(args).map(|outcome| match outcome {
            diff::Outcome::NoRegression => Verdict::Good,
            diff::Outcome::Regression => Verdict::Violated,
            diff::Outcome::NotComparable => Verdict::Void,
        }),
        Bench::RawEchoServer(args) => raw_echo::run(args).map(|()| Verdict::Good),
    }
}
