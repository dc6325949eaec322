//! SplitMix64 (Steele, Lea and Flood, 2014): the one source of chance of the double, so that a seed replays a run.
//! Called by the double and its faults. Never for anything that must not be guessed.

#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Something in `0..end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "a choice among nothing");
        usize::try_from(self.next() % end as u64).expect("less than `end`")
    }

    /// True this often in a thousand; chances of nothing take nothing from the sequence.
    pub(super) fn chance(&mut self, in_a_thousand: u16) -> bool {
        in_a_thousand > 0 && self.below(1_000) < usize::from(in_a_thousand)
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end + 1);
            items.swap(end, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_a_seed_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn chances_are_about_as_frequent_as_they_say() {
        let mut random = Random::new(1);
        let hits = (0..100_000).filter(|_| random.chance(100)).count();
        assert!((9_500..10_500).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| !random.chance(0)));
    }
}
