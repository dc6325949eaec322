//! The load generator, its scenarios and reports.
//!
//! One thread drives all connections of a run on one ring and speaks `wire` directly. Servers run as processes of their
//! own, so that their CPU time can be told apart. Called by `millpond bench`; nothing here is on a server's data path.
#![forbid(unsafe_code)]

pub mod args;
mod clock;
mod cpu;
mod latency;
mod outbox;
pub mod raw_echo;
mod schedule;
mod sockets;
