//! The kernel profile of a box that holds very many sockets: what it can hold ([`headroom`]), what so many would need, what
//! stands in the way, and how to change it and back.
//!
//! Facts are read from /proc and /sys below an injectable [`Root`]; what they mean is decided by pure functions. A fact
//! that cannot be read is [`Unknown`] with its reason, never taken for a good one. Nothing is written unless asked for.
//! Imports nothing of ours. Called by the program (`millpond tune`, the server's start and metrics) and by `bench`.
#![forbid(unsafe_code)]

pub mod apply;
pub mod check;
pub mod constants;
mod headroom;
mod limits;
pub mod plan;
mod root;
pub mod unit;

use serde::Serialize;

pub use headroom::{Clients, Headroom, Limit, Wanted, headroom};
pub use limits::{ControlGroup, Limits, UNLIMITED};
pub use root::{Reading, Root, Unknown, Why};

/// How far a figure or an advice can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sure {
    /// By us, on the kernel that `constants` names.
    Measured,
    /// By the kernel's documentation or its source.
    Documented,
    RuleOfThumb,
}

impl std::fmt::Display for Sure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured",
            Self::Documented => "documented",
            Self::RuleOfThumb => "rule of thumb",
        })
    }
}

#[cfg(test)]
mod made_up;
