//! Accepting: a bounded number of one-shot accepts is the admission. While too many handshakes are under way, or the slab
//! is full, none is queued, and the backlog holds clients back.

use super::Shard;
use crate::slab::NIL;
use crate::tag::{Kind, Tag};
use millpond_ring::{Op, Slot};

/// Ticks without accepts behind one that failed: what refuses it (memory, the table) will not change at once.
const PAUSE_TICKS: u32 = 2;

#[derive(Debug)]
pub(super) struct Door {
    listener: Slot,
    /// Names of accepts that are not in the kernel.
    idle: Vec<u32>,
    max: u32,
    paused_until: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// No accept is queued any more; those in the kernel end.
    Leaving,
    /// The listener closes.
    Shutting,
    Shut,
}

impl Door {
    pub(super) fn new(listener: Slot, max: u16) -> Self {
        Self {
            listener,
            idle: (0..u32::from(max)).rev().collect(),
            max: u32::from(max),
            paused_until: 0,
            state: State::Open,
        }
    }

    /// Accepts that are in the kernel.
    fn outstanding(&self) -> u32 {
        self.max - u32::try_from(self.idle.len()).expect("made from a u32")
    }

    pub(super) fn is_shut(&self) -> bool {
        self.state == State::Shut
    }
}

impl Shard {
    /// Queues as many accepts as there is room for.
    pub(super) fn accept(&mut self) {
        if self.door.state == State::Leaving && self.door.outstanding() == 0 {
            return self.close_listener();
        }
        if self.door.state != State::Open || self.now.tick < self.door.paused_until {
            return;
        }
        let limits = &self.config.limits;
        while !self.door.idle.is_empty() {
            let coming = self.door.outstanding();
            let shaking = self.handshakes + coming < limits.handshakes_max;
            let held = self.slab.len() + coming < limits.connections_max;
            if !shaking || !held {
                return;
            }
            let name = self.door.idle.pop().expect("it is not empty");
            let listener = self.door.listener;
            self.hands
                .push(Kind::Accept, name, 0, Op::Accept { listener });
        }
    }

    pub(super) fn accepted(&mut self, name: u32, result: i32) {
        self.door.idle.push(name);
        let Ok(socket) = u32::try_from(result) else {
            if result != -libc::ECANCELED {
                self.counts.numbers.accepts_failed += 1;
                self.door.paused_until = self.now.tick + PAUSE_TICKS;
            }
            return;
        };
        self.counts.numbers.accepted += 1;
        let slot = self.slab.insert(Slot(socket), self.now.tick);
        let slot = slot.expect("no more accepts are queued than the slab has room for");
        assert_eq!(
            self.slab.at(slot).extras,
            NIL,
            "a new life begins without extras"
        );
        self.handshakes += 1;
        self.retime(slot);
        self.rearm(slot);
    }

    /// Ends the accepts that wait; the listener closes behind them, so that new clients are refused at once.
    pub(super) fn shut_door(&mut self) {
        if self.door.state != State::Open {
            return;
        }
        self.door.state = State::Leaving;
        let waiting = (0..self.door.max).filter(|name| !self.door.idle.contains(name));
        for name in waiting {
            let target = Tag {
                slot: name,
                ..Tag::of_shard(Kind::Accept)
            };
            let cancel = Op::Cancel {
                target: target.token(),
            };
            // No connection has this slot, so nobody waits for the cancel itself.
            self.hands.push(Kind::Cancel, NIL, 0, cancel);
        }
    }

    fn close_listener(&mut self) {
        self.door.state = State::Shutting;
        let op = Op::Close {
            slot: self.door.listener,
        };
        self.hands.push(Kind::Shut, NIL, 0, op);
    }

    pub(super) fn door_shut(&mut self) {
        self.door.state = State::Shut;
    }
}
