//! Deadlines: one per connection, in a wheel of ticks whose links lie in the slab's entries. A connection has many
//! reasons to be looked at; the wheel holds the nearest, and whoever is woken says when it wants to be woken next.

use crate::slab::{NIL, Slab};
use std::time::Duration;

/// The resolution of all deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// A power of two. With the tick, later than every deadline that a default limit makes; a later one is looked at early.
const SPAN: u32 = 2_048;

/// Whole ticks in a duration.
pub(crate) fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

/// Ticks after which a duration has certainly passed.
pub(crate) fn ticks_up(duration: Duration) -> u32 {
    ticks(duration).saturating_add(1)
}

/// A place in a list of the wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Links {
    /// The entry before, or [`HEAD`] and the place in the wheel where the list begins; [`NIL`] when not linked.
    prev: u32,
    pub(crate) next: u32,
}

/// Marks a `prev` that is a place in the wheel.
const HEAD: u32 = 1 << 31;

impl Links {
    pub(crate) const NONE: Self = Self {
        prev: NIL,
        next: NIL,
    };

    /// Of a vacant entry.
    pub(crate) fn vacant(next: u32) -> Self {
        Self { prev: NIL, next }
    }

    pub(crate) fn is_linked(self) -> bool {
        self.prev != NIL
    }
}

#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    /// Everything due before this tick has been taken.
    swept: u32,
}

pub(crate) const WHEEL_BYTES: usize = SPAN as usize * size_of::<u32>();

impl Wheel {
    pub(crate) fn new(tick: u32) -> Self {
        Self {
            heads: vec![NIL; SPAN as usize].into(),
            swept: tick,
        }
    }

    /// Sets the one deadline of an entry; instead of the one it had.
    pub(crate) fn set(&mut self, slab: &mut Slab, slot: u32, at: u32) {
        self.clear(slab, slot);
        let at = at.clamp(self.swept, self.swept.saturating_add(SPAN - 1));
        let place = at % SPAN;
        let next = std::mem::replace(&mut self.heads[place as usize], slot);
        slab.at(slot).links = Links {
            prev: HEAD | place,
            next,
        };
        if next != NIL {
            slab.at(next).links.prev = slot;
        }
    }

    pub(crate) fn clear(&mut self, slab: &mut Slab, slot: u32) {
        let links = std::mem::replace(&mut slab.at(slot).links, Links::NONE);
        if !links.is_linked() {
            return;
        }
        if links.prev & HEAD != 0 {
            self.heads[(links.prev & !HEAD) as usize] = links.next;
        } else {
            slab.at(links.prev).links.next = links.next;
        }
        if links.next != NIL {
            slab.at(links.next).links.prev = links.prev;
        }
    }

    /// An entry whose deadline is `now` or before, and no longer in the wheel; `None` when there is none left.
    pub(crate) fn due(&mut self, slab: &mut Slab, now: u32) -> Option<u32> {
        while self.swept <= now {
            let slot = self.heads[(self.swept % SPAN) as usize];
            if slot != NIL {
                self.clear(slab, slot);
                return Some(slot);
            }
            self.swept += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_ring::Slot;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn due(wheel: &mut Wheel, slab: &mut Slab, now: u32) -> Vec<u32> {
        let mut slots: Vec<_> = std::iter::from_fn(|| wheel.due(slab, now)).collect();
        slots.sort_unstable();
        slots
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u32),
        Clear(u32),
        Pass(u32),
    }

    #[expect(clippy::disallowed_types, reason = "proptest's own")]
    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..8u32, 0..SPAN).prop_map(|(slot, after)| Step::Set(slot, after)),
            (0..8u32).prop_map(Step::Clear),
            (0..3_000u32).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Against a sorted map of deadlines.
        #[test]
        fn every_deadline_comes_once_and_in_its_tick(steps in prop::collection::vec(step(), 1..60)) {
            let mut slab = Slab::new(8);
            let slots: Vec<_> = (0..8).map(|n| slab.insert(Slot(n), 0).unwrap()).collect();
            let mut wheel = Wheel::new(0);
            let mut model = BTreeMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Set(slot, after) => {
                        // The current tick was swept: what is due now comes with the next.
                        wheel.set(&mut slab, slots[slot as usize], now + 1 + after.min(SPAN - 2));
                        model.insert(slots[slot as usize], now + 1 + after.min(SPAN - 2));
                    }
                    Step::Clear(slot) => {
                        wheel.clear(&mut slab, slots[slot as usize]);
                        model.remove(&slots[slot as usize]);
                    }
                    Step::Pass(by) => {
                        now += by;
                        let came = due(&mut wheel, &mut slab, now);
                        let expected: Vec<_> =
                            model.extract_if(.., |_, at| *at <= now).map(|(slot, _)| slot).collect();
                        prop_assert_eq!(came, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn a_deadline_beyond_the_span_comes_early_never_late() {
        let mut slab = Slab::new(1);
        let slot = slab.insert(Slot(0), 0).unwrap();
        let mut wheel = Wheel::new(0);
        wheel.set(&mut slab, slot, 10 * SPAN);
        assert!(due(&mut wheel, &mut slab, SPAN - 2).is_empty());
        assert_eq!(due(&mut wheel, &mut slab, SPAN - 1), [slot]);
    }
}
