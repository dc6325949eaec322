//! Which rows of marks and devices lag behind memory, and since when.
//!
//! In the fused driver no log would repeat a change that a crash takes away before its row is written: up to
//! `lazy_ms` of marks and device cursors may be lost. Neither is acknowledged to anybody; a device repeats its cursor
//! with the next HELLO, and marks are cumulative, so the next one makes good for the lost one.

use crate::world::Lagging;
use std::collections::VecDeque;

/// Rows written early or late with one batch, so that they never make one batch much slower than another.
const PER_BATCH_MAX: usize = 2048;

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

    /// The rows to write with the batch at `now_ms`, bounded per batch.
    pub(super) fn due(&mut self, now_ms: u64) -> impl Iterator<Item = Lagging> {
        let overdue = self.queue.partition_point(|(due, _)| *due <= now_ms);
        let excess = self.queue.len().saturating_sub(self.dirty_max);
        let count = overdue.max(excess).min(PER_BATCH_MAX);
        self.queue.drain(..count).map(|(_, key)| key)
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.queue.front().map(|(due, _)| *due)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
