//! What the router does, seen through its seams.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one kind among many"
)]

mod fused;
mod keepers;
mod people;
mod properties;
mod stages;
mod tables;
mod threads;
