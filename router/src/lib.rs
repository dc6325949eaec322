//! Decides: the conversation machine, the inbox machine, and the drivers that feed them.
//!
//! The machines ([`conversation`], [`inbox`]) are pure: a record in, an outcome out; no clock, no randomness, no I/O.
//! Two drivers feed the same machines: [`fused`] (one process, rows are the truth) and [`two_stage`] (partitions of a
//! log). What a machine must know before it can step is fetched by `world`, in batches, for both drivers.
#![forbid(unsafe_code)]

mod cache;
pub mod conversation;
pub mod digest;
mod effects;
pub mod fused;
pub mod inbox;
mod release;
pub mod two_stage;
mod world;

pub use effects::Effects;
pub use release::Releaser;
pub use world::CacheLimits;
