//! SplitMix64 (Steele, Lea and Flood, 2014): the one source of chance of a run, so that a seed replays it. Called by
//! everything here; forks keep one part's choices from moving another's.

#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A source of its own.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Something in `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "a choice among nothing");
        self.next() % end
    }

    /// Something in `0..end`.
    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("less than `end`")
    }

    /// True this often in a thousand.
    pub(crate) fn per_mille(&mut self, often: u64) -> bool {
        self.below(1_000) < often
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }
}
