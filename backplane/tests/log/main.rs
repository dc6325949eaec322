//! The codec against its document: vectors made from the grammar in LOG.md, and records of every version there was.
//!
//! `MILLPOND_WRITE=1 cargo test -p millpond-backplane --test log regenerating` writes what new vectors lack, and the
//! examples of LOG.md; without it, a test fails when they would change.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests: a panic names the vector"
)]

mod conformance;
mod document;
mod files;
mod functions;
mod grammar;
mod render;
