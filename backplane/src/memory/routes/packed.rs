//! A hash map whose entries lie packed in a vector, found by an index of four bytes each.
//!
//! A table of whole entries is between 7/16 and 7/8 full, so a million entries of 48 bytes take up to 110 MB. Here only the
//! index has empty places; the vector's spare room was never written, so that no page stands behind it.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxBuildHasher;
use std::hash::{BuildHasher, Hash};

#[derive(Debug)]
pub(super) struct Packed<K, V> {
    index: HashTable<u32>,
    entries: Vec<(K, V)>,
}

/// Room that is never given back.
const KEPT: usize = 1_024;
/// Room is given back when only one in so many places is taken.
const SPARSE: usize = 4;

impl<K, V> Default for Packed<K, V> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            entries: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, V> Packed<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.place(key).map(|place| &self.entries[place].1)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.place(key).map(|place| &mut self.entries[place].1)
    }

    /// Puts the value in, instead of the one that was there.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let entries = &mut self.entries;
        let place = u32::try_from(entries.len()).expect("fewer users than 2^32");
        let same = |place: &u32| entries[*place as usize].0 == key;
        let rehash = |place: &u32| hash(entries[*place as usize].0);
        match self.index.entry(hash(key), same, rehash) {
            Entry::Occupied(there) => entries[*there.get() as usize].1 = value,
            Entry::Vacant(free) => {
                free.insert(place);
                entries.push((key, value));
            }
        }
    }

    pub(super) fn remove(&mut self, key: K) {
        let same = |place: &u32| self.entries[*place as usize].0 == key;
        if let Ok(there) = self.index.find_entry(hash(key), same) {
            let (place, _) = there.remove();
            self.close(place);
            self.give_back();
        }
    }

    /// Drops the entries of which `stays` says no.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&mut V) -> bool) {
        self.entries.retain_mut(|(_, value)| stays(value));
        self.index.clear();
        let entries = &self.entries;
        for (place, (key, _)) in (0_u32..).zip(entries) {
            let rehash = |place: &u32| hash(entries[*place as usize].0);
            self.index.insert_unique(hash(*key), place, rehash);
        }
        self.give_back();
    }

    fn place(&self, key: K) -> Option<usize> {
        let same = |place: &u32| self.entries[*place as usize].0 == key;
        let place = self.index.find(hash(key), same)?;
        Some(*place as usize)
    }

    /// The last entry takes the place of one that the index has forgotten.
    fn close(&mut self, place: u32) {
        self.entries.swap_remove(place as usize);
        if let Some((moved, _)) = self.entries.get(place as usize) {
            let last = u32::try_from(self.entries.len()).expect("fewer users than 2^32");
            let there = self.index.find_mut(hash(*moved), |other| *other == last);
            *there.expect("every entry is in the index") = place;
        }
    }

    fn give_back(&mut self) {
        let len = self.entries.len();
        if self.entries.capacity() > KEPT && len < self.entries.capacity() / SPARSE {
            let room = (2 * len).max(KEPT);
            self.entries.shrink_to(room);
            let entries = &self.entries;
            let rehash = |place: &u32| hash(entries[*place as usize].0);
            self.index.shrink_to(room, rehash);
        }
    }
}

fn hash<K: Hash>(key: K) -> u64 {
    FxBuildHasher.hash_one(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Insert(u16, u8),
        Remove(u16),
        RetainBelow(u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            8 => (0..600_u16, any::<u8>()).prop_map(|(key, value)| Act::Insert(key, value)),
            6 => (0..600_u16).prop_map(Act::Remove),
            1 => (128..=255_u8).prop_map(Act::RetainBelow),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(acts in prop::collection::vec(act(), 0..800)) {
            let (mut packed, mut model) = (Packed::default(), BTreeMap::new());
            for act in acts {
                match act {
                    Act::Insert(key, value) => {
                        packed.insert(key, value);
                        model.insert(key, value);
                    }
                    Act::Remove(key) => {
                        packed.remove(key);
                        model.remove(&key);
                    }
                    Act::RetainBelow(bound) => {
                        packed.retain(|value| *value < bound);
                        model.retain(|_, value| *value < bound);
                    }
                }
            }
            prop_assert_eq!(packed.len(), model.len());
            for key in 0..600 {
                prop_assert_eq!(packed.get(key), model.get(&key));
                prop_assert_eq!(packed.get_mut(key).map(|value| *value), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn room_comes_back() {
        let mut packed = Packed::default();
        (0..100_000_u32).for_each(|key| packed.insert(key, key));
        (50..100_000).for_each(|key| packed.remove(key));
        assert!(packed.entries.capacity() <= 2 * KEPT);
        assert!(packed.index.capacity() <= 4 * KEPT);
        assert!((0..50).all(|key| packed.get(key) == Some(&key)));
        packed.retain(|_| false);
        assert_eq!((packed.len(), packed.get(3)), (0, None));
    }
}
