//! Bytes of a client that are no whole frame yet, or wait because its session takes nothing now. Held in right-sized
//! memory, bounded per shard; the oldest goes when the bound is reached. A frame that has begun must make progress.

use crate::config::Limits;
use crate::wheel::ticks_up;
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) bytes: Vec<u8>,
    /// The tick in which it began.
    begun: u32,
    /// Bytes that came since then.
    came: usize,
}

impl Partial {
    /// Whether it is the one that began then.
    pub(crate) fn is(&self, begun: &Begun) -> bool {
        self.begun == begun.tick
    }

    /// The tick at which it is too slow, if nothing more comes.
    pub(crate) fn deadline(&self, limits: &Limits) -> u32 {
        let earned = self.came / limits.partial_bytes_per_second_min.max(1);
        let earned = Duration::from_secs(u64::try_from(earned).unwrap_or(u64::MAX));
        let allowed = limits.partial_grace.saturating_add(earned);
        self.begun.saturating_add(ticks_up(allowed))
    }
}

/// The unfinished frames of a shard.
#[derive(Debug)]
pub(crate) struct Partials {
    bytes: usize,
    bytes_max: usize,
    unfinished: usize,
    /// Who began one, oldest first; some of them have finished since.
    order: VecDeque<Begun>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Begun {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) tick: u32,
}

/// Marks of finished frames that may stand in the order before it is tidied, beside the unfinished ones.
const STALE_MAX: usize = 1_024;

impl Partials {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: 0,
            bytes_max,
            unfinished: 0,
            order: VecDeque::new(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_over(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Keeps the rest of what came, as the beginning of something.
    pub(crate) fn begin(&mut self, who: Begun, rest: &[u8]) -> Partial {
        let bytes = rest.to_vec();
        self.bytes += bytes.capacity();
        self.unfinished += 1;
        self.order.push_back(who);
        Partial {
            bytes,
            begun: who.tick,
            came: rest.len(),
        }
    }

    /// It did not wait for its client but for us, until now: it begins anew.
    pub(crate) fn excuse(&mut self, partial: &mut Partial, who: Begun) {
        if partial.begun < who.tick {
            partial.begun = who.tick;
            partial.came = 0;
            self.order.push_back(who);
        }
    }

    /// Adds what came to what was there.
    pub(crate) fn extend(&mut self, partial: &mut Partial, more: &[u8]) {
        let before = partial.bytes.capacity();
        partial.bytes.extend_from_slice(more);
        partial.came += more.len();
        self.bytes += partial.bytes.capacity() - before;
    }

    /// Drops what has become frames. `None` when nothing is left; what is left behind a frame begins anew.
    pub(crate) fn consume(
        &mut self,
        partial: Partial,
        consumed: usize,
        who: Begun,
    ) -> Option<Partial> {
        if consumed == 0 {
            return Some(partial);
        }
        self.end(&partial);
        let rest = &partial.bytes[consumed..];
        (!rest.is_empty()).then(|| self.begin(who, rest))
    }

    pub(crate) fn end(&mut self, partial: &Partial) {
        self.bytes -= partial.bytes.capacity();
        self.unfinished -= 1;
    }

    /// Who began first, whether or not it still stands.
    pub(crate) fn oldest(&mut self) -> Option<Begun> {
        self.order.pop_front()
    }

    /// Forgets finished ones when there are many; `stands` tells.
    pub(crate) fn tidy(&mut self, stands: impl FnMut(&Begun) -> bool) {
        if self.order.len() > 2 * self.unfinished + STALE_MAX {
            self.order.retain(stands);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(slot: u32, tick: u32) -> Begun {
        Begun {
            slot,
            generation: 0,
            tick,
        }
    }

    #[test]
    fn the_budget_counts_what_is_held_and_ends_at_nothing() {
        let mut partials = Partials::new(100);
        let mut one = partials.begin(begun(1, 0), &[1; 60]);
        let two = partials.begin(begun(2, 1), &[2; 30]);
        assert!(!partials.is_over());
        partials.extend(&mut one, &[1; 30]);
        assert!(partials.is_over());
        assert_eq!(partials.oldest(), Some(begun(1, 0)));
        partials.end(&one);
        assert_eq!(partials.bytes(), 30);
        let two = partials.consume(two, 20, begun(2, 5)).unwrap();
        assert_eq!((two.bytes.as_slice(), two.begun), (&[2; 10][..], 5));
        assert!(partials.consume(two, 10, begun(2, 6)).is_none());
        assert_eq!(partials.bytes(), 0);
    }

    #[test]
    fn an_excused_frame_begins_anew_and_can_still_be_evicted() {
        let mut partials = Partials::new(100);
        let mut partial = partials.begin(begun(1, 0), &[1; 600]);
        partials.excuse(&mut partial, begun(1, 0));
        partials.excuse(&mut partial, begun(1, 40));
        let grace = ticks_up(Limits::default().partial_grace);
        assert_eq!(partial.deadline(&Limits::default()), 40 + grace);
        let marks: Vec<_> = std::iter::from_fn(|| partials.oldest()).collect();
        let stands: Vec<_> = marks.iter().map(|mark| partial.is(mark)).collect();
        assert_eq!(stands, [false, true]);
    }

    #[test]
    fn progress_buys_time_and_silence_does_not() {
        let limits = Limits::default();
        let mut partials = Partials::new(1 << 20);
        let mut partial = partials.begin(begun(0, 0), &[0; 100]);
        let at_first = partial.deadline(&limits);
        assert_eq!(at_first, ticks_up(limits.partial_grace));
        partials.extend(&mut partial, &[0; 924]);
        let later = partial.deadline(&limits);
        assert_eq!(
            later,
            ticks_up(limits.partial_grace + Duration::from_secs(2))
        );
    }
}
