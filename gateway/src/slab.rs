//! The connections of a shard. An idle one is one entry of at most 64 bytes; whatever is rare lies in the extras, which
//! exist only while needed. Slots are used again; a generation tells the lives of a slot apart.

use crate::session::Session;
use crate::tag::GENERATIONS;
use crate::wheel::Links;
use millpond_ring::Slot;

/// No entry, no extras.
pub(crate) const NIL: u32 = u32::MAX;
/// Entries allocated together. Few in tests, so that chunks come and go under every one of them.
const CHUNK: u32 = if cfg!(test) { 4 } else { 1_024 };

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

/// Entries in chunks, which are made when the connections need them and go when nobody is left in them. The lowest chunk
/// with a vacant entry takes the next connection, so that the upper ones empty.
#[derive(Debug)]
pub(crate) struct Slab {
    chunks: Vec<Chunk>,
    /// No chunk before this one has a vacant entry.
    roomy: usize,
    used: u32,
    max: u32,
}

#[derive(Debug)]
struct Chunk {
    /// None while nobody is in them.
    entries: Option<Box<[Entry]>>,
    used: u32,
    /// The first vacant entry, by its index in the chunk.
    vacant: u32,
    /// The first generation that no entry here has had.
    fresh: u32,
}

impl Chunk {
    const EMPTY: Self = Self {
        entries: None,
        used: 0,
        vacant: NIL,
        fresh: 0,
    };

    fn fill(&mut self) {
        let generation = self.fresh % GENERATIONS;
        let entry = |index| Entry {
            session: Session::Closed,
            generation,
            socket: Slot(0),
            extras: NIL,
            links: Links::vacant(if index + 1 < CHUNK { index + 1 } else { NIL }),
            heard: 0,
            reading: Reading::Vacant,
            heat: 0,
        };
        self.entries = Some((0..CHUNK).map(entry).collect());
        self.vacant = 0;
    }

    /// Nobody is left: whatever still names one of the entries finds nothing, now and when they are made again.
    fn empty(&mut self) {
        self.entries = None;
        self.vacant = NIL;
    }
}

impl Slab {
    pub(crate) fn new(max: u32) -> Self {
        assert!(max < NIL, "slots are below the mark for none");
        Self {
            chunks: Vec::new(),
            roomy: 0,
            used: 0,
            max,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.used
    }

    /// One more than the highest slot that was ever used, and not after it.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("fewer chunks than slots") * CHUNK
    }

    /// The connection in a slot, if there is one.
    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut Entry> {
        let chunk = self.chunks.get_mut((slot / CHUNK) as usize)?;
        let entry = chunk.entries.as_mut()?.get_mut((slot % CHUNK) as usize)?;
        (entry.reading != Reading::Vacant).then_some(entry)
    }

    /// A new connection's slot; `None` when the slab is full.
    pub(crate) fn insert(&mut self, socket: Slot, tick: u32) -> Option<u32> {
        if self.used == self.max {
            return None;
        }
        self.used += 1;
        let place = self.chunk_with_room();
        let chunk = &mut self.chunks[place];
        if chunk.entries.is_none() {
            chunk.fill();
        }
        chunk.used += 1;
        let index = chunk.vacant;
        let entries = chunk.entries.as_mut().expect("just filled");
        let entry = &mut entries[index as usize];
        chunk.vacant = entry.links.next;
        entry.links = Links::NONE;
        entry.session = Session::new(tick);
        entry.socket = socket;
        entry.reading = Reading::Idle;
        entry.heat = 0;
        entry.hear(tick);
        let first = u32::try_from(place).expect("fewer chunks than slots") * CHUNK;
        Some(first + index)
    }

    fn chunk_with_room(&mut self) -> usize {
        let full = self.chunks[self.roomy..]
            .iter()
            .take_while(|chunk| chunk.used == CHUNK)
            .count();
        self.roomy += full;
        if self.roomy == self.chunks.len() {
            self.chunks.push(Chunk::EMPTY);
        }
        self.roomy
    }

    /// Ends a life: whatever still names it finds nothing.
    pub(crate) fn remove(&mut self, slot: u32) {
        let place = (slot / CHUNK) as usize;
        let chunk = &mut self.chunks[place];
        let entries = chunk.entries.as_mut().expect("a slot is freed once");
        let entry = &mut entries[(slot % CHUNK) as usize];
        assert_ne!(entry.reading, Reading::Vacant, "a slot is freed once");
        assert_eq!(entry.extras, NIL, "extras go first");
        assert!(!entry.links.is_linked(), "timers go first");
        entry.session = Session::Closed;
        entry.reading = Reading::Vacant;
        entry.generation = (entry.generation + 1) % GENERATIONS;
        entry.links.next = chunk.vacant;
        chunk.vacant = slot % CHUNK;
        chunk.fresh = chunk.fresh.max(entry.generation);
        chunk.used -= 1;
        self.used -= 1;
        self.roomy = self.roomy.min(place);
        // The lowest stays: somebody will come again.
        if chunk.used == 0 && place > 0 {
            chunk.empty();
        }
    }

    /// # Panics
    /// When nobody is in the chunk of this slot.
    pub(crate) fn at(&mut self, slot: u32) -> &mut Entry {
        let entries = self.chunks[(slot / CHUNK) as usize].entries.as_mut();
        &mut entries.expect("a connection's chunk stays")[(slot % CHUNK) as usize]
    }

    /// The connection that is meant, if it still lives.
    pub(crate) fn find(&mut self, slot: u32, generation: u32) -> Option<&mut Entry> {
        self.get(slot)
            .filter(|entry| entry.generation == generation)
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
        slab.remove(slots[3]);
        assert_eq!(slab.insert(Slot(0), 0), Some(slots[3]));
        assert_eq!(slab.len(), CHUNK + 1);
    }

    #[test]
    fn chunks_come_and_go_and_no_life_is_taken_for_another() {
        let mut slab = Slab::new(3 * CHUNK);
        let mut first_lives = Vec::new();
        for n in 0..3 * CHUNK {
            let slot = slab.insert(Slot(n), 0).unwrap();
            first_lives.push((slot, slab.at(slot).generation));
        }
        // The uppermost has its second life in one place.
        let (slot, _) = first_lives[first_lives.len() - 1];
        slab.remove(slot);
        assert_eq!(slab.insert(Slot(0), 0), Some(slot));
        for (slot, _) in &first_lives {
            slab.remove(*slot);
        }
        let filled = |slab: &Slab| slab.chunks.iter().filter(|it| it.entries.is_some()).count();
        assert_eq!((slab.len(), filled(&slab)), (0, 1));
        assert!(slab.get(slot).is_none());
        for n in 0..3 * CHUNK {
            slab.insert(Slot(n), 0).unwrap();
        }
        assert_eq!(filled(&slab), 3);
        for (slot, generation) in first_lives {
            assert!(slab.find(slot, generation).is_none(), "{slot} twice");
            assert!(slab.get(slot).is_some());
        }
    }

    #[test]
    fn the_lower_chunks_fill_first() {
        let mut slab = Slab::new(2 * CHUNK);
        for n in 0..2 * CHUNK {
            slab.insert(Slot(n), 0).unwrap();
        }
        slab.remove(1);
        slab.remove(CHUNK + 3);
        assert_eq!(slab.insert(Slot(0), 0), Some(1));
        assert_eq!(slab.insert(Slot(0), 0), Some(CHUNK + 3));
    }

    #[test]
    fn silence_is_counted_across_the_wrap() {
        let mut slab = Slab::new(1);
        let slot = slab.insert(Slot(0), 0xFFFF).unwrap();
        assert_eq!(slab.at(slot).quiet(0x1_0004), 5);
    }
}
