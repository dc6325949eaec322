//! States kept in memory, bounded by count.
//!
//! How the bound is made: a hand goes round the slots, as in the clock algorithm, a few per batch, so that there is
//! never a pause in which a whole generation is dropped. It passes by what was used since its last visit, and must pass
//! by what the store does not hold yet: states touched by a batch that is not committed, and dirty ones. Those are
//! themselves bounded (batches in flight × commands per batch × states per command; the flush bound of dirty rows), so
//! the cache holds at most its limit plus that.

use rustc_hash::FxSeededState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    index: HashMap<K, usize, FxSeededState>,
    slots: Vec<Slot<K, V>>,
    hand: usize,
    limit: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    /// The newest batch that used it.
    touched: u64,
    used: bool,
}

/// Slots that the hand looks at per state above the limit, so that it finds one even among many in use.
const STEPS_PER_EXCESS: usize = 4;

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            index: HashMap::with_hasher(seeded()),
            slots: Vec::new(),
            hand: 0,
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn has(&self, key: &K) -> bool {
        self.index.contains_key(key)
    }

    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.index.get(key).map(|index| &self.slots[*index].value)
    }

    /// The state, for a batch that may change it.
    pub(crate) fn touch(&mut self, key: &K, batch: u64) -> Option<&mut V> {
        let slot = &mut self.slots[*self.index.get(key)?];
        slot.touched = batch;
        slot.used = true;
        Some(&mut slot.value)
    }

    /// Puts a state in that was just loaded for `batch`.
    pub(crate) fn insert(&mut self, key: K, value: V, batch: u64) {
        let before = self.index.insert(key, self.slots.len());
        assert!(before.is_none(), "a state is loaded once");
        self.slots.push(Slot {
            key,
            value,
            touched: batch,
            used: true,
        });
    }

    /// Drops what is above the limit, as far as it may be dropped.
    pub(crate) fn shrink(&mut self, committed: u64, is_dirty: impl Fn(&V) -> bool) {
        let excess = self.slots.len().saturating_sub(self.limit);
        for _ in 0..excess * STEPS_PER_EXCESS {
            if self.slots.len() <= self.limit {
                return;
            }
            self.visit(committed, &is_dirty);
        }
    }

    fn visit(&mut self, committed: u64, is_dirty: impl Fn(&V) -> bool) {
        self.hand = if self.hand < self.slots.len() {
            self.hand
        } else {
            0
        };
        let slot = &mut self.slots[self.hand];
        let must_stay = slot.touched > committed || is_dirty(&slot.value);
        if std::mem::take(&mut slot.used) || must_stay {
            self.hand += 1;
        } else {
            self.drop_at(self.hand);
        }
    }

    fn drop_at(&mut self, place: usize) {
        let gone = self.slots.swap_remove(place);
        self.index.remove(&gone.key);
        if let Some(moved) = self.slots.get(place) {
            self.index.insert(moved.key, place);
        }
    }
}

/// Users choose whom they write to, hence keys: a seed keeps them from choosing collisions. No iteration order of these
/// maps is ever seen, so the machines stay deterministic.
fn seeded() -> FxSeededState {
    let random = RandomState::new().hash_one(0_u8);
    FxSeededState::with_seed(usize::try_from(random).unwrap_or(usize::MAX))
}
