//! Writing: once per turn, each touched outbox leaves as one send.

use super::Shard;
use crate::close::Reason;
use crate::outbox::Sent;
use crate::session::Event;
use crate::tag::Kind;
use crate::uplink;
use millpond_ring::{Events, Op};

impl Shard {
    pub(super) fn flush_outboxes(&mut self) {
        let mut listed = std::mem::take(&mut self.hands.listed);
        for slot in listed.drain(..) {
            let index = self.slab.at(slot).extras;
            let outbox = self
                .hands
                .extras
                .find(index)
                .map(|extras| &mut extras.outbox);
            let outbox = outbox.expect("a listed outbox is kept");
            outbox.listed = false;
            if !outbox.in_kernel() {
                outbox.moved = self.now.tick;
            }
            if let Some((bytes, from)) = outbox.start() {
                self.send(slot, bytes, from);
            }
        }
        self.hands.listed = listed;
    }

    fn send(&mut self, slot: u32, bytes: Vec<u8>, from: usize) {
        self.counts.numbers.sends += 1;
        let entry = self.slab.at(slot);
        let (socket, generation) = (entry.socket, entry.generation);
        let op = Op::Send {
            slot: socket,
            bytes,
            from,
        };
        self.hands.push(Kind::Send, slot, generation, op);
    }

    /// A send has come back.
    pub(super) fn sent(&mut self, slot: u32, bytes: Vec<u8>, result: i32) {
        let tick = self.now.tick;
        let index = self.slab.at(slot).extras;
        let extras = self
            .hands
            .extras
            .find(index)
            .expect("a send keeps its outbox");
        let before = extras.outbox.bytes();
        let sent = extras.outbox.sent(bytes, result);
        let after = extras.outbox.bytes();
        if after < before {
            extras.outbox.moved = tick;
        }
        self.hands.outbox_bytes -= before - after;
        match sent {
            Sent::All(buffer) => {
                self.counts.numbers.bytes_out += (before - after) as u64;
                self.hands.spare(buffer);
                self.written(slot);
            }
            Sent::Blocked => {
                self.counts.numbers.bytes_out += (before - after) as u64;
                self.await_room(slot);
            }
            Sent::Failed(buffer) => {
                self.hands.spare(buffer);
                self.broken(slot);
            }
        }
    }

    /// All of a send was written: the next one, or rest.
    fn written(&mut self, slot: u32) {
        let index = self.slab.at(slot).extras;
        let outbox = self
            .hands
            .extras
            .find(index)
            .map(|extras| &mut extras.outbox);
        let outbox = outbox.expect("an outbox lives until it is released");
        if !outbox.is_idle() {
            if !outbox.listed {
                outbox.listed = true;
                self.hands.listed.push(slot);
            }
        } else {
            self.hands.extras.release(&mut self.slab.at(slot).extras);
        }
        if self.is_closing(slot) {
            return self.close_on(slot);
        }
        self.step(slot, Event::Drained);
        self.take_on(slot);
    }

    /// The socket is full: one readiness is waited for, with no send in the kernel.
    fn await_room(&mut self, slot: u32) {
        self.counts.numbers.sends_blocked += 1;
        let entry = self.slab.at(slot);
        let (socket, generation) = (entry.socket, entry.generation);
        let op = Op::Poll {
            slot: socket,
            events: Events::OUT,
            multishot: false,
        };
        self.hands.push(Kind::Room, slot, generation, op);
        if self.is_closing(slot) {
            self.close_on(slot);
        } else {
            self.retime(slot);
        }
    }

    /// The wait for room has ended, with room or without.
    pub(super) fn writable(&mut self, slot: u32) {
        let index = self.slab.at(slot).extras;
        let extras = self
            .hands
            .extras
            .find(index)
            .expect("a wait keeps its outbox");
        if extras.outbox.bytes() == 0 {
            // Discarded meanwhile: nothing is left to write.
            extras.outbox.wait_over();
            return self.written(slot);
        }
        let (bytes, from) = extras.outbox.unblock().expect("it waited for room");
        self.send(slot, bytes, from);
    }

    /// The socket takes nothing more, ever.
    fn broken(&mut self, slot: u32) {
        if self.is_closing(slot) {
            self.discard(slot);
            return self.close_on(slot);
        }
        self.step(slot, Event::End(Reason::SocketFailed));
    }

    /// Drops what waits for a connection.
    pub(super) fn discard(&mut self, slot: u32) {
        let index = self.slab.at(slot).extras;
        if let Some(extras) = self.hands.extras.find(index) {
            self.hands.outbox_bytes -= extras.outbox.discard();
        }
    }

    /// One acknowledgement per connection and turn reaches its inbox: the last.
    pub(super) fn tell_acks(&mut self) {
        let mut acked = std::mem::take(&mut self.hands.acked);
        acked.reverse();
        acked.sort_by_key(|(slot, _)| *slot);
        acked.dedup_by_key(|(slot, _)| *slot);
        acked.retain(|(slot, cursor)| {
            let Some((user, device)) = self.slab.at(*slot).session.who() else {
                return false;
            };
            self.counts.numbers.appends += 1;
            let entry = uplink::acked(user, device, *cursor);
            // Without room it is told again at the end of the next turn.
            self.hands.appender.append(entry).is_err()
        });
        self.hands.acked = acked;
    }
}
