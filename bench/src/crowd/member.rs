//! One client of a crowd: where it is, and when it last asked whether the server is there.

use millpond_ring::Slot;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum State {
    #[default]
    Gone,
    /// Connecting, or proving who it is.
    Coming,
    Established,
    /// Ended here; what waits on its socket has not ended yet.
    Leaving,
}

/// Times are in ticks of 2^14 ns, about 16 µs, of the run's clock; they wrap after 19 hours.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Member {
    slot: u32,
    /// When the connection was to be made.
    at: u32,
    /// Intended time of a heartbeat that has no answer yet; 0: none.
    asked: u32,
    every: u32,
    pub(super) life: u8,
    pub(super) state: State,
    /// Whether the wheel has its next heartbeat.
    pub(super) beats: bool,
}

const TICK_BITS: u32 = 14;
/// With everything else that a crowd keeps for each: see [`crate::protocol`] and the wheel.
const _: () = assert!(size_of::<Member>() <= 24, "an idle client is small");

#[expect(clippy::cast_possible_truncation, reason = "ticks wrap")]
const fn ticks(ns: u64) -> u32 {
    (ns >> TICK_BITS) as u32
}

/// The time that so many ticks stand for, not after `now_ns`.
fn before(tick: u32, now_ns: u64) -> u64 {
    let ago = ticks(now_ns).wrapping_sub(tick);
    now_ns.saturating_sub(u64::from(ago) << TICK_BITS)
}

impl Member {
    pub(super) fn slot(&self) -> Slot {
        Slot(self.slot)
    }

    pub(super) fn begin(&mut self, slot: Slot, intended_ns: u64) {
        self.slot = slot.0;
        self.at = ticks(intended_ns);
        self.asked = 0;
        self.life = self.life.wrapping_add(1);
        self.state = State::Coming;
    }

    /// When the connection was to be made.
    pub(super) fn begun_ns(&self, now_ns: u64) -> u64 {
        before(self.at, now_ns)
    }

    pub(super) fn establish(&mut self, every_ns: u64) {
        self.state = State::Established;
        self.every = ticks(every_ns);
        self.asked = 0;
    }

    /// Whether the heartbeat before has had no answer.
    pub(super) fn awaits_answer(&self) -> bool {
        self.asked != 0
    }

    /// A heartbeat leaves; gives the time of the next.
    pub(super) fn beat(&mut self, due_ns: u64) -> u64 {
        self.asked = ticks(due_ns).max(1);
        due_ns + (u64::from(self.every) << TICK_BITS)
    }

    /// The intended time of the heartbeat that is answered now.
    pub(super) fn answered(&mut self, now_ns: u64) -> Option<u64> {
        let asked = std::mem::take(&mut self.asked);
        (asked != 0).then(|| before(asked, now_ns))
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone | State::Leaving)
    }

    /// Gone by its own will, to come back at once.
    pub(super) fn leave(&mut self, intended_ns: u64) {
        self.state = State::Leaving;
        self.asked = 0;
        self.at = ticks(intended_ns);
    }

    /// Completions that are still to come are those of an earlier life.
    pub(super) fn end(&mut self) {
        self.life = self.life.wrapping_add(1);
        self.state = State::Gone;
        self.asked = 0;
    }
}
