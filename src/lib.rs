//! The program `millpond` as a library, so that a test can run a server inside its own process.
//!
//! The only place that knows all rooms: it reads the configuration, puts gateway, router, store and admin address
//! together, and takes them apart again. Decisions about messages are never made here.
#![forbid(unsafe_code)]

pub mod bench;
pub mod chat;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod config;
mod role;
pub mod secret;
pub mod serve;
pub mod server;
pub mod token;
pub mod tune;
pub mod verify;
pub mod why;
