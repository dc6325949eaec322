//! Accepting: a bounded number of one-shot accepts is the admission. While too many handshakes are under way, or the slab
//! is full, none is queued, and the backlog holds clients back. Those who stand at the door and say nothing are borne for
//! the whole deadline only while nobody has to wait behind them.

use super::Shard;
use crate::close::Reason;
use crate::session::Event;
use crate::slab::NIL;
use crate::tag::{Kind, Tag};
use crate::wheel::ticks_up;
use millpond_ring::{Op, Slot};
use std::collections::VecDeque;

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
    /// Who came in, the oldest first; some of them have said who they are since, or are gone.
    line: VecDeque<Standing>,
}

/// A connection, as it came in.
#[derive(Clone, Copy, Debug)]
struct Standing {
    slot: u32,
    generation: u32,
    since: u32,
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
            line: VecDeque::new(),
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
        self.hurry();
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

    /// While no more can come in, whoever has stood at the door longest, and for long enough, makes room.
    fn hurry(&mut self) {
        let limits = &self.config.limits;
        let (max, patience) = (limits.handshakes_max, ticks_up(limits.handshake_patience));
        while self.handshakes + self.door.outstanding() >= max {
            let Some(first) = self.door.line.front().copied() else {
                return;
            };
            if self.is_standing(first) {
                if self.now.tick - first.since < patience {
                    return;
                }
                self.step(first.slot, Event::End(Reason::HandshakeTimeout));
            }
            self.door.line.pop_front();
        }
    }

    fn is_standing(&mut self, one: Standing) -> bool {
        let entry = self.slab.find(one.slot, one.generation);
        entry.is_some_and(|entry| entry.session.awaits_hello())
    }

    fn stand(&mut self, slot: u32) {
        let standing = Standing {
            slot,
            generation: self.slab.at(slot).generation,
            since: self.now.tick,
        };
        self.door.line.push_back(standing);
        if self.door.line.len() > 2 * self.config.limits.handshakes_max as usize {
            let mut line = std::mem::take(&mut self.door.line);
            line.retain(|one| self.is_standing(*one));
            self.door.line = line;
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
        self.stand(slot);
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
                slot: Some(self.door.listener),
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
