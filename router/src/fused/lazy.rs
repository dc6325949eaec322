//! Which rows of marks and devices lag behind memory, and since when.
//!
//! In the fused driver no log would repeat a change that a crash takes away before its row is written: the marks and
//! device cursors of about the last second may be lost. Neither is acknowledged to anybody; a device repeats its cursor
//! with the next HELLO, and marks are cumulative, so the next one makes good for the lost one.

use crate::world::Lagging;
use std::collections::VecDeque;

/// Rows written with a batch that has no others, so that no batch is much slower than another.
const PER_BATCH_MAX: usize = 2048;
/// Under load one lagging row is written with so many others: a message costs four rows and never more than one
/// besides. When more is due, it lags longer instead, up to `dirty_max`.
const OTHERS_PER_ROW: usize = 4;

#[derive(Debug)]
pub(super) struct Lazy {
    delay_ms: u64,
    dirty_max: usize,
    /// By due time, since every row gets the same delay.
    queue: VecDeque<(u64, Lagging)>,
}

impl Lazy {
    pub(super) fn new(delay_ms: u64, dirty_max: usize) -> Self {
        Self {
            delay_ms,
            dirty_max,
            queue: VecDeque::new(),
        }
    }

    /// A row that was up to date lags from now on.
    pub(super) fn push(&mut self, now_ms: u64, key: Lagging) {
        self.queue.push_back((now_ms + self.delay_ms, key));
    }

    /// The rows to write at `now_ms` with a batch of so many others.
    pub(super) fn due(&mut self, now_ms: u64, others: usize) -> impl Iterator<Item = Lagging> {
        let share = match others {
            0 => PER_BATCH_MAX,
            others => others.div_ceil(OTHERS_PER_ROW),
        };
        let overdue = self
            .queue
            .iter()
            .take(share)
            .take_while(|(due, _)| *due <= now_ms)
            .count();
        let excess = self.queue.len().saturating_sub(self.dirty_max);
        let count = overdue.max(excess.min(PER_BATCH_MAX));
        self.queue.drain(..count).map(|(_, key)| key)
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.queue.front().map(|(due, _)| *due)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
