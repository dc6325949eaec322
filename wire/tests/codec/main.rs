//! The codec against its specification: vectors made from the grammar in SPEC.md, round trips, and hostile bytes.
//!
//! `MILLPOND_WRITE=1 cargo test -p millpond-wire regenerating` writes the vectors and the generated parts of SPEC.md anew; without
//! it, a test fails when they would change.
#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests: a panic names the vector"
)]

mod conformance;
mod document;
mod files;
mod grammar;
mod hostile;
mod properties;
mod render;
mod streams;
