//! The connections of a shard. An idle one is one entry of at most 64 bytes; whatever is rare lies in the extras, which
//! exist only while needed. Slots are used again; a generation tells the lives of a slot apart.

use crate::session::Session;
use crate::tag::GENERATIONS;
use crate::wheel::Links;
use millpond_ring::Slot;

/// No entry, no extras.
pub(crate) const NIL: u32 = u32::MAX;
/// Entries allocated together.
const CHUNK: u32 = 1_024;

pub(crate) const ENTRY_BYTES: usize = size_of::<Entry>();
const _: () = assert!(ENTRY_BYTES <= 64, "an idle connection costs a cache line");

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) session: Session,
    pub(crate) generation: u32,
    /// The socket, in the ring's table.
    pub(crate) socket: Slot,
    /// Index of its extras, or [`NIL`].
    pub(crate) extras: u32,
    /// In the timer wheel; of a vacant entry, `next` is the next vacant one.
    pub(crate) links: Links,
    /// Low bits of the tick at which something was last heard.
    pub(crate) heard: u16,
    pub(crate) reading: Reading,
    /// Reads in quick succession.
    pub(crate) heat: u8,
}

/// What of a connection's reading side is in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// The entry holds no connection.
    Vacant,
    /// Nothing.
    Idle,
    /// A one-shot poll, and no buffer.
    Polling,
    /// One read.
    Receiving,
    /// A multishot read: the connection is hot.
    Streaming,
    /// A one-shot poll that was told to end.
    Unpolling,
    /// A multishot read that was told to end.
    Unstreaming,
    /// Nothing: the kernel had no buffer; tried again at the end of the turn.
    Starved,
}

impl Entry {
    /// Ticks since something was heard.
    pub(crate) fn quiet(&self, tick: u32) -> u32 {
        u32::from(low(tick).wrapping_sub(self.heard))
    }

    pub(crate) fn hear(&mut self, tick: u32) {
        self.heard = low(tick);
    }
}

/// A timer asks for every connection's silence long before 2^16 ticks are over.
fn low(tick: u32) -> u16 {
    let [_, _, high, low] = tick.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[derive(Debug)]
pub(crate) struct Slab {
    chunks: Vec<Box<[Entry]>>,
    vacant: u32,
    used: u32,
    max: u32,
}

impl Slab {
    pub(crate) fn new(max: u32) -> Self {
        assert!(max < NIL, "slots are below the mark for none");
        Self {
            chunks: Vec::new(),
            vacant: NIL,
            used: 0,
            max,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.used
    }

    /// Slots that were ever used.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("fewer chunks than slots") * CHUNK
    }

    /// A new connection's slot; `None` when the slab is full.
    pub(crate) fn insert(&mut self, socket: Slot, tick: u32) -> Option<u32> {
        if self.used == self.max {
            return None;
        }
        if self.vacant == NIL {
            self.grow();
        }
        let slot = self.vacant;
        self.used += 1;
        let entry = self.at(slot);
        let next = entry.links.next;
        entry.links = Links::NONE;
        entry.session = Session::new(tick);
        entry.socket = socket;
        entry.reading = Reading::Idle;
        entry.heat = 0;
        entry.hear(tick);
        self.vacant = next;
        Some(slot)
    }

    /// Ends a life: whatever still names it finds nothing.
    pub(crate) fn remove(&mut self, slot: u32) {
        let vacant = self.vacant;
        let entry = self.at(slot);
        assert_ne!(entry.reading, Reading::Vacant, "a slot is freed once");
        assert_eq!(entry.extras, NIL, "extras go first");
        assert!(!entry.links.is_linked(), "timers go first");
        entry.session = Session::Closed;
        entry.reading = Reading::Vacant;
        entry.generation = (entry.generation + 1) % GENERATIONS;
        entry.links.next = vacant;
        self.vacant = slot;
        self.used -= 1;
    }

    /// # Panics
    /// When the slot was never made.
    pub(crate) fn at(&mut self, slot: u32) -> &mut Entry {
        &mut self.chunks[(slot / CHUNK) as usize][(slot % CHUNK) as usize]
    }

    /// The connection that is meant, if it still lives.
    pub(crate) fn find(&mut self, slot: u32, generation: u32) -> Option<&mut Entry> {
        let entry = self
            .chunks
            .get_mut((slot / CHUNK) as usize)?
            .get_mut((slot % CHUNK) as usize)?;
        let same = entry.generation == generation && entry.reading != Reading::Vacant;
        same.then_some(entry)
    }

    fn grow(&mut self) {
        let first = self.slots();
        let chunk = (first..first + CHUNK).map(|slot| Entry {
            session: Session::Closed,
            generation: 0,
            socket: Slot(0),
            extras: NIL,
            links: Links::vacant(if slot + 1 < first + CHUNK {
                slot + 1
            } else {
                NIL
            }),
            heard: 0,
            reading: Reading::Vacant,
            heat: 0,
        });
        self.chunks.push(chunk.collect());
        self.vacant = first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_lives_again_under_another_generation() {
        let mut slab = Slab::new(2);
        let first = slab.insert(Slot(9), 0).unwrap();
        let generation = slab.at(first).generation;
        assert!(slab.find(first, generation).is_some());
        slab.remove(first);
        assert!(slab.find(first, generation).is_none());
        assert!(slab.find(first, generation + 1).is_none());
        let again = slab.insert(Slot(9), 0).unwrap();
        assert_eq!((again, slab.at(again).generation), (first, generation + 1));
        assert!(slab.find(first, generation).is_none());
    }

    #[test]
    fn it_holds_its_maximum_and_no_more_and_no_slot_twice() {
        let mut slab = Slab::new(CHUNK + 1);
        let mut slots: Vec<_> = (0..=CHUNK)
            .map(|n| slab.insert(Slot(n), 0).unwrap())
            .collect();
        assert_eq!(slab.insert(Slot(0), 0), None);
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), (CHUNK + 1) as usize);
        slab.remove(slots[7]);
        assert_eq!(slab.insert(Slot(0), 0), Some(slots[7]));
        assert_eq!(slab.len(), CHUNK + 1);
    }

    #[test]
    fn silence_is_counted_across_the_wrap() {
        let mut slab = Slab::new(1);
        let slot = slab.insert(Slot(0), 0xFFFF).unwrap();
        assert_eq!(slab.at(slot).quiet(0x1_0004), 5);
    }
}
