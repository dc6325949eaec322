//! Reading. A cold connection waits on a one-shot poll and owns no buffer; a readable one is read into a provided buffer;
//! a hot one holds a multishot read until it is quiet. Bytes become frames straight from the buffer; only what is no
//! whole frame is kept. A session that takes nothing now is not read from.

use super::extras::Closing;
use super::{Arrival, Brought, HEAT_MAX, QUICK_TICKS, Shard};
use crate::close::Reason;
use crate::partial::{Begun, Partial};
use crate::session::{Event, Expects};
use crate::slab::Reading;
use crate::tag::{Kind, Tag};
use millpond_ring::{Events, Op};
use millpond_wire::{Decoded, PREFACE, decode};

impl Shard {
    /// Reads on, if the session takes something and nothing is in the kernel.
    pub(super) fn rearm(&mut self, slot: u32) {
        if self.slab.at(slot).reading != Reading::Idle || !self.takes_bytes(slot) {
            return;
        }
        let hot = self.hot < self.config.limits.hot_max;
        let entry = self.slab.at(slot);
        let (socket, generation) = (entry.socket, entry.generation);
        if hot && entry.heat >= HEAT_MAX {
            entry.reading = Reading::Streaming;
            self.hot += 1;
            self.counts.numbers.promoted += 1;
            let op = Op::RecvMulti { slot: socket };
            self.hands.push(Kind::RecvMulti, slot, generation, op);
            return self.retime(slot);
        }
        entry.reading = Reading::Polling;
        self.counts.numbers.polls += 1;
        let op = Op::Poll {
            slot: socket,
            events: Events::IN,
            multishot: false,
        };
        self.hands.push(Kind::Poll, slot, generation, op);
    }

    /// The poll of a cold connection has ended.
    pub(super) fn readable(&mut self, slot: u32, result: i32) {
        let entry = self.slab.at(slot);
        let cancelled = entry.reading == Reading::Unpolling;
        assert!(
            cancelled || entry.reading == Reading::Polling,
            "a poll comes back once"
        );
        entry.reading = Reading::Idle;
        if self.is_closing(slot) {
            return self.close_on(slot);
        }
        if result < 0 && result != -libc::ECANCELED {
            self.step(slot, Event::End(Reason::SocketFailed));
            return;
        }
        if result < 0 || !self.takes_bytes(slot) {
            return self.rearm(slot);
        }
        self.read(slot);
    }

    /// One read into a provided buffer.
    pub(super) fn read(&mut self, slot: u32) {
        let entry = self.slab.at(slot);
        entry.reading = Reading::Receiving;
        let op = Op::Recv { slot: entry.socket };
        let generation = entry.generation;
        self.hands.push(Kind::Recv, slot, generation, op);
    }

    /// A read has ended, or a multishot read has brought something.
    pub(super) fn received(&mut self, slot: u32, arrival: &Arrival<'_>) {
        if !arrival.more {
            self.read_ended(slot);
        }
        if self.is_closing(slot) {
            return self.received_closing(slot, arrival);
        }
        match &arrival.brought {
            Brought::Bytes(bytes) if arrival.result > 0 => self.take(slot, bytes),
            Brought::Bytes(_) | Brought::Nothing | Brought::Sent(_) => match arrival.result {
                0 => return self.step(slot, Event::End(Reason::PeerClosed)),
                result if result == -libc::ENOBUFS => return self.starve(slot),
                result if is_harmless(result) => {}
                _ => return self.step(slot, Event::End(Reason::SocketFailed)),
            },
        }
        if self.is_closing(slot) {
            return;
        }
        self.read_next(slot, arrival.nonempty);
    }

    /// Bookkeeping of a read that is no longer in the kernel.
    fn read_ended(&mut self, slot: u32) {
        let entry = self.slab.at(slot);
        if matches!(entry.reading, Reading::Streaming | Reading::Unstreaming) {
            self.hot -= 1;
        }
        entry.reading = Reading::Idle;
    }

    fn read_next(&mut self, slot: u32, nonempty: bool) {
        let takes = self.takes_bytes(slot);
        let entry = self.slab.at(slot);
        match entry.reading {
            Reading::Streaming if !takes => self.end_reading(slot),
            Reading::Idle if takes && nonempty && entry.heat < HEAT_MAX => self.read(slot),
            Reading::Idle => self.rearm(slot),
            Reading::Vacant
            | Reading::Polling
            | Reading::Receiving
            | Reading::Streaming
            | Reading::Unpolling
            | Reading::Unstreaming
            | Reading::Starved => {}
        }
    }

    fn received_closing(&mut self, slot: u32, arrival: &Arrival<'_>) {
        let bytes = usize::try_from(arrival.result).unwrap_or(0);
        let extras = self.hands.extras.of(&mut self.slab.at(slot).extras);
        if let Some(Closing::Lingering { bytes: read }) = &mut extras.closing {
            *read += bytes;
            let over = *read > self.config.limits.linger_bytes_max;
            let waiting = self.slab.at(slot).reading == Reading::Idle;
            if bytes > 0 && !over && waiting {
                return self.read(slot);
            }
        }
        self.close_on(slot);
    }

    /// Ends what waits for bytes; its completion follows.
    pub(super) fn end_reading(&mut self, slot: u32) {
        let entry = self.slab.at(slot);
        let (kind, next) = match entry.reading {
            Reading::Polling | Reading::Unpolling => (Kind::Poll, Reading::Unpolling),
            Reading::Streaming | Reading::Unstreaming => (Kind::RecvMulti, Reading::Unstreaming),
            Reading::Vacant | Reading::Idle | Reading::Receiving | Reading::Starved => return,
        };
        entry.reading = next;
        let generation = entry.generation;
        self.cancel(kind, slot, generation);
    }

    pub(super) fn cancel(&mut self, kind: Kind, slot: u32, generation: u32) {
        let target = Tag {
            kind,
            generation,
            slot,
        };
        let op = Op::Cancel {
            target: target.token(),
            slot: Some(self.slab.at(slot).socket),
        };
        self.hands.push(Kind::Cancel, slot, generation, op);
    }

    /// No buffer was free: others give theirs back in this turn, so it is tried again at the end.
    fn starve(&mut self, slot: u32) {
        self.counts.numbers.no_buffers += 1;
        let entry = self.slab.at(slot);
        if entry.reading == Reading::Idle {
            entry.reading = Reading::Starved;
            self.starved.push((slot, entry.generation));
        }
    }

    pub(super) fn feed_starved(&mut self) {
        let starved = std::mem::take(&mut self.starved);
        for (slot, generation) in starved {
            let found = self.slab.find(slot, generation);
            let Some(entry) = found.filter(|entry| entry.reading == Reading::Starved) else {
                continue;
            };
            entry.reading = Reading::Idle;
            self.rearm(slot);
        }
    }

    /// A quiet hot connection becomes cold.
    pub(super) fn cool(&mut self, slot: u32, quiet: u32) {
        let quiet_max = crate::wheel::ticks_up(self.config.limits.hot_quiet);
        let entry = self.slab.at(slot);
        if entry.reading == Reading::Streaming && quiet >= quiet_max {
            entry.heat = 0;
            self.end_reading(slot);
        }
    }

    /// The session takes bytes, and its answers have room. One answer has room even where other clients take all of
    /// it: whoever takes his answers is always heard.
    fn takes_bytes(&mut self, slot: u32) -> bool {
        let limits = &self.config.limits;
        let entry = self.slab.at(slot);
        entry.session.expects(limits) != Expects::Nothing
            && (self.hands.waiting(entry.extras) == 0
                || self.hands.room_bytes(entry.extras, limits) > 0)
    }

    /// Bytes have come.
    fn take(&mut self, slot: u32, bytes: &[u8]) {
        let numbers = &mut self.counts.numbers;
        numbers.recvs += 1;
        numbers.bytes_in += bytes.len() as u64;
        self.warm(slot);
        match self.partial(slot).and_then(Option::take) {
            Some(mut partial) => {
                self.partials.extend(&mut partial, bytes);
                self.take_partial(slot, partial);
            }
            None => {
                let consumed = self.frames(slot, bytes);
                if consumed < bytes.len() && !self.is_closing(slot) {
                    let who = self.begun(slot);
                    let rest = self.partials.begin(who, &bytes[consumed..]);
                    self.keep(slot, rest);
                }
            }
        }
    }

    /// Goes on with bytes that were kept, now that more came or the session takes them.
    fn take_partial(&mut self, slot: u32, partial: Partial) {
        let consumed = self.frames(slot, &partial.bytes);
        if self.is_closing(slot) {
            return self.partials.end(&partial);
        }
        let who = self.begun(slot);
        match self.partials.consume(partial, consumed, who) {
            Some(rest) => self.keep(slot, rest),
            None => self.hands.extras.release(&mut self.slab.at(slot).extras),
        }
    }

    /// The session takes bytes again: those that were kept come first.
    pub(super) fn take_on(&mut self, slot: u32) {
        if !self.is_closing(slot) && self.takes_bytes(slot) {
            let who = self.begun(slot);
            let withheld = self.is_withheld(slot);
            if let Some(mut partial) = self.partial(slot).and_then(Option::take) {
                if withheld {
                    self.partials.excuse(&mut partial, who);
                }
                self.take_partial(slot, partial);
            }
            if !self.is_closing(slot) {
                self.rearm(slot);
            }
        }
    }

    /// Nothing was being read: whatever is unfinished waited for us.
    fn is_withheld(&mut self, slot: u32) -> bool {
        match self.slab.at(slot).reading {
            Reading::Idle | Reading::Unpolling | Reading::Unstreaming => true,
            Reading::Vacant
            | Reading::Polling
            | Reading::Receiving
            | Reading::Streaming
            | Reading::Starved => false,
        }
    }

    fn partial(&mut self, slot: u32) -> Option<&mut Option<Partial>> {
        let extras = self.slab.at(slot).extras;
        self.hands
            .extras
            .find(extras)
            .map(|extras| &mut extras.partial)
    }

    fn keep(&mut self, slot: u32, partial: Partial) {
        let extras = self.hands.extras.of(&mut self.slab.at(slot).extras);
        extras.partial = Some(partial);
        self.retime(slot);
    }

    fn begun(&mut self, slot: u32) -> Begun {
        Begun {
            slot,
            generation: self.slab.at(slot).generation,
            tick: self.now.tick,
        }
    }

    fn warm(&mut self, slot: u32) {
        let tick = self.now.tick;
        let entry = self.slab.at(slot);
        let quick = entry.quiet(tick) <= QUICK_TICKS;
        entry.heat = if quick {
            entry.heat.saturating_add(1)
        } else {
            1
        };
        entry.hear(tick);
    }

    /// Hands whole frames to the session, as long as it takes them; says how many bytes they had.
    fn frames(&mut self, slot: u32, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.takes_bytes(slot) {
            let rest = &bytes[at..];
            let expects = self.slab.at(slot).session.expects(&self.config.limits);
            let consumed = match expects {
                Expects::Nothing => 0,
                Expects::Preface => self.preface(slot, rest),
                Expects::Frame { body_bytes_max } => self.frame(slot, rest, body_bytes_max),
            };
            if consumed == 0 {
                break;
            }
            at += consumed;
        }
        at
    }

    fn frame(&mut self, slot: u32, bytes: &[u8], body_bytes_max: usize) -> usize {
        match decode(bytes, body_bytes_max) {
            Ok(Decoded::Frame(frame, consumed)) => {
                self.counts.frame_in(frame.tag());
                self.step(slot, Event::Frame(frame));
                consumed
            }
            Ok(Decoded::Need(_)) => 0,
            Err(malformed) => {
                self.step(slot, Event::Malformed(malformed));
                0
            }
        }
    }

    fn preface(&mut self, slot: u32, bytes: &[u8]) -> usize {
        let there = bytes.len().min(PREFACE.len());
        if bytes[..there] != PREFACE[..there] {
            self.step(slot, Event::BadPreface);
            return 0;
        }
        if there < PREFACE.len() {
            return 0;
        }
        self.step(slot, Event::Preface);
        there
    }

    /// Closes the oldest unfinished frames until the budget holds.
    pub(super) fn evict(&mut self) {
        while self.partials.is_over() {
            let Some(begun) = self.partials.oldest() else {
                return;
            };
            if self.stands(&begun) {
                self.step(begun.slot, Event::End(Reason::Evicted));
            }
        }
        let Self {
            partials,
            slab,
            hands,
            ..
        } = self;
        partials.tidy(|begun| {
            let entry = slab.find(begun.slot, begun.generation);
            let extras = entry.and_then(|entry| hands.extras.see(entry.extras));
            extras.is_some_and(|extras| extras.partial.as_ref().is_some_and(|it| it.is(begun)))
        });
    }

    fn stands(&mut self, begun: &Begun) -> bool {
        let Some(entry) = self.slab.find(begun.slot, begun.generation) else {
            return false;
        };
        let extras = self.hands.extras.see(entry.extras);
        let partial = extras.and_then(|extras| extras.partial.as_ref());
        partial.is_some_and(|partial| partial.is(begun))
    }
}

/// Errors after which a read is simply tried again.
fn is_harmless(result: i32) -> bool {
    [libc::EAGAIN, libc::EINTR, libc::ECANCELED].contains(&-result)
}
