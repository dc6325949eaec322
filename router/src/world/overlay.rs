//! Dedup rows of batches that are not committed yet: one map per batch, dropped as a whole.
//!
//! Bounded by the batches in flight and the commands of one batch.

use millpond_backplane::row::{DedupKey, DedupRow};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Overlay {
    batches: VecDeque<(u64, FxHashMap<DedupKey, DedupRow>)>,
    /// An emptied map, so that its memory is used again.
    spare: FxHashMap<DedupKey, DedupRow>,
}

impl Overlay {
    pub(super) fn insert(&mut self, batch: u64, key: DedupKey, row: DedupRow) {
        if self
            .batches
            .back()
            .is_none_or(|(number, _)| *number != batch)
        {
            self.batches
                .push_back((batch, std::mem::take(&mut self.spare)));
        }
        let (_, rows) = self.batches.back_mut().expect("one was pushed just now");
        rows.insert(key, row);
    }

    pub(super) fn find(&self, key: &DedupKey) -> Option<DedupRow> {
        self.batches
            .iter()
            .rev()
            .find_map(|(_, rows)| rows.get(key).copied())
    }

    pub(super) fn forget_up_to(&mut self, batch: u64) {
        while self
            .batches
            .front()
            .is_some_and(|(number, _)| *number <= batch)
        {
            let (_, mut rows) = self.batches.pop_front().expect("there is a front");
            rows.clear();
            self.spare = rows;
        }
    }
}
