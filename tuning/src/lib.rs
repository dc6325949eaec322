//! The kernel profile of a box that holds very many sockets: what it can hold ([`headroom`]), what so many would need, what
//! stands in the way, and how to change it and back.
//!
//! Facts are read from /proc and /sys below an injectable [`Root`]; what they mean is decided by pure functions. A fact
//! that cannot be read is [`Unknown`] with its reason, never taken for a good one. Nothing is written unless asked for.
//! Imports nothing of ours. Called by the program (`millpond tune`, the server's start and metrics) and by `bench`.
#![forbid(unsafe_code)]

pub mod constants;
mod headroom;
mod limits;
mod root;

pub use headroom::{Clients, Headroom, Limit, Wanted, headroom};
pub use limits::{ControlGroup, Limits, UNLIMITED};
pub use root::{Reading, Root, Unknown, Why};
