//! Time of a run: nanoseconds since it began, monotonic.

use std::time::{Duration, Instant};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// One origin for all times of a run, so that they travel in payloads as plain numbers.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(
        clippy::new_without_default,
        reason = "a default clock would hide that it reads the time"
    )]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub fn now_ns(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }
}

/// Saturates after 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
