//! The checker has to be right twice: silent about what is good, and loud about everything else.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names the operation that it is about"
)]

mod good;
mod mutations;
mod rules;
