//! A table by number that is dense where the history is, and costs nothing where it is not: conversations and inboxes
//! of a server that was used before begin anywhere.

use rustc_hash::FxHashMap;

/// Numbers that lie together.
const CHUNK: u64 = 1024;

#[derive(Debug)]
pub(super) struct Sparse<T> {
    chunks: FxHashMap<u64, Vec<T>>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self {
            chunks: FxHashMap::default(),
        }
    }
}

impl<T: Copy + Default> Sparse<T> {
    pub(super) fn at(&mut self, number: u64) -> &mut T {
        let chunk = self.chunks.entry(number / CHUNK).or_default();
        let place = usize::try_from(number % CHUNK).expect("below the size of a chunk");
        if chunk.len() <= place {
            chunk.resize(place + 1, T::default());
        }
        &mut chunk[place]
    }

    /// All that was touched and its neighbours, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, T)> {
        let mut keys: Vec<u64> = self.chunks.keys().copied().collect();
        keys.sort_unstable();
        keys.into_iter().flat_map(move |key| {
            let chunk = self.chunks[&key].iter().copied();
            (key * CHUNK..=u64::MAX).zip(chunk)
        })
    }
}
