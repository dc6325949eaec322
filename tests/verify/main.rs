//! `millpond verify` and `millpond why` over stores that the real router wrote: whole ones, and ones damaged in exactly
//! one way each.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests: a panic names the row"
)]

mod damage;
mod document;
mod good;
mod hashes;
mod large;
mod pile;
mod program;
mod rules;
