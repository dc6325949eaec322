//! Holds the sockets: shards, sessions, outboxes. A million clients that say nothing cost a slab entry and an armed poll
//! each; what they say goes up to the log as entries, and hints from the routers come down to them as frames.
//!
//! A message crosses: kernel → `ring` → [`shard`] → [`session`] (with `wire`) → [`uplink`] or [`outbox`] → `ring`. The
//! session is pure: events in, actions out. Whatever may block (rows, routes) is asked of the [`pages`] pool. Imports
//! `wire`, `ring` and `backplane`; knows no driver, no router, no tokio. Called by the program: [`prepare`], then
//! [`Prepared::start`].
#![forbid(unsafe_code)]

mod budget;
mod close;
mod config;
mod counts;
mod outbox;
mod pages;
mod partial;
pub mod planted;
mod resume;
pub mod seat;
mod session;
mod shard;
mod slab;
mod start;
mod tables;
mod tag;
#[cfg(test)]
mod tests;
mod token;
mod uplink;
mod wheel;

pub use budget::Budget;
pub use config::{Config, Limits};
pub use start::{Gateway, Prepared, Seams, StartError, Unfinished, prepare};
pub use token::Keys;
