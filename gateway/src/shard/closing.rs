//! The end of a connection is a join: what was said leaves, what waits in the kernel ends, the socket closes, and only
//! then is the slot free for another life.

use super::extras::Closing;
use super::{Draining, Order, Shard};
use crate::close::Reason;
use crate::session::Event;
use crate::slab::{NIL, Reading};
use crate::tag::Kind;
use crate::wheel::{ticks, ticks_up};
use millpond_ring::Op;
use std::time::Duration;

/// How long a client may take to read why it is closed.
const FLUSH_MAX: Duration = Duration::from_secs(5);

impl Shard {
    pub(super) fn is_closing(&mut self, slot: u32) -> bool {
        self.slab.at(slot).session.is_closed()
    }

    /// The session has ended: the way out begins.
    pub(super) fn close(&mut self, slot: u32, reason: Reason) {
        self.counts.closed(reason);
        log(reason, self.index, slot);
        let extras = self.hands.extras.of(&mut self.slab.at(slot).extras);
        if let Some(partial) = extras.partial.take() {
            self.partials.end(&partial);
        }
        let linger = reason.code().is_some() || reason == Reason::Kicked;
        extras.closing = Some(Closing::Flushing { linger });
        let at = self.now.tick + ticks_up(FLUSH_MAX);
        self.wheel.set(&mut self.slab, slot, at);
        if matches!(reason, Reason::SocketFailed | Reason::Lagging) {
            self.cut_off(slot);
        } else {
            self.close_on(slot);
        }
    }

    /// Nothing more is written; what waits for room ends.
    pub(super) fn cut_off(&mut self, slot: u32) {
        self.discard(slot);
        let entry = self.slab.at(slot);
        let generation = entry.generation;
        let extras = self.hands.extras.of(&mut entry.extras);
        if extras.outbox.is_blocked() {
            self.cancel(Kind::Room, slot, generation);
        }
        self.close_on(slot);
        if self.closing(slot).is_some() {
            let at = self.now.tick + ticks_up(FLUSH_MAX);
            self.wheel.set(&mut self.slab, slot, at);
        }
    }

    fn closing(&mut self, slot: u32) -> Option<Closing> {
        let index = self.slab.at(slot).extras;
        self.hands
            .extras
            .see(index)
            .and_then(|extras| extras.closing)
    }

    fn set_closing(&mut self, slot: u32, closing: Closing) {
        let extras = self.hands.extras.of(&mut self.slab.at(slot).extras);
        extras.closing = Some(closing);
    }

    /// The next step of the way out, as soon as the one before is done.
    pub(super) fn close_on(&mut self, slot: u32) {
        let index = self.slab.at(slot).extras;
        let extras = self
            .hands
            .extras
            .see(index)
            .expect("closing keeps its extras");
        let closing = extras.closing.expect("the way out has begun");
        if closing == Closing::Shutting || !extras.outbox.is_idle() {
            return;
        }
        match self.slab.at(slot).reading {
            Reading::Polling | Reading::Streaming => return self.end_reading(slot),
            Reading::Unpolling | Reading::Unstreaming | Reading::Receiving => return,
            Reading::Idle | Reading::Starved | Reading::Vacant => {}
        }
        if closing == (Closing::Flushing { linger: true }) {
            self.set_closing(slot, Closing::Lingering { bytes: 0 });
            return self.read(slot);
        }
        self.set_closing(slot, Closing::Shutting);
        let entry = self.slab.at(slot);
        let op = Op::Close { slot: entry.socket };
        let generation = entry.generation;
        self.hands.push(Kind::Close, slot, generation, op);
    }

    /// The socket is closed: the join is complete.
    pub(super) fn closed(&mut self, slot: u32) {
        self.wheel.clear(&mut self.slab, slot);
        let mut index = std::mem::replace(&mut self.slab.at(slot).extras, NIL);
        let extras = self.hands.extras.of(&mut index);
        assert_eq!(extras.closing, Some(Closing::Shutting), "it was asked for");
        extras.closing = None;
        // A frame that came too late left the outbox in the list of this turn.
        if std::mem::take(&mut extras.outbox.listed) {
            self.hands.listed.retain(|listed| *listed != slot);
        }
        self.hands.extras.release(&mut index);
        assert_eq!(index, NIL, "a closed connection holds nothing");
        self.hands.acked.retain(|(acked, _)| *acked != slot);
        self.slab.remove(slot);
    }

    /// A cancel has come back. One that did not even look for its target is repeated.
    pub(super) fn cancelled(&mut self, slot: u32, result: i32) {
        let done = [0, -libc::ENOENT, -libc::EALREADY];
        if done.contains(&result) {
            return;
        }
        self.end_reading_again(slot);
        if self.is_closing(slot) {
            self.cancel_room_again(slot);
        }
    }

    fn end_reading_again(&mut self, slot: u32) {
        if matches!(
            self.slab.at(slot).reading,
            Reading::Unpolling | Reading::Unstreaming
        ) {
            self.end_reading(slot);
        }
    }

    fn cancel_room_again(&mut self, slot: u32) {
        let entry = self.slab.at(slot);
        let generation = entry.generation;
        let extras = self.hands.extras.see(entry.extras);
        let outbox = extras.map(|extras| &extras.outbox);
        if outbox.is_some_and(|outbox| outbox.is_blocked() && outbox.bytes() == 0) {
            self.cancel(Kind::Room, slot, generation);
        }
    }

    /// What is wrong with a connection that its session does not see.
    pub(super) fn overdue(&mut self, slot: u32) -> Option<Reason> {
        let tick = self.now.tick;
        let limits = &self.config.limits;
        let entry = self.slab.at(slot);
        let extras = self.hands.extras.see(entry.extras)?;
        if extras.outbox.is_blocked()
            && tick >= extras.outbox.moved + ticks_up(limits.outbox_age_max)
        {
            return Some(Reason::Lagging);
        }
        let waits_for_client = entry.reading != Reading::Idle;
        let partial = extras.partial.as_ref()?;
        (waits_for_client && tick >= partial.deadline(limits)).then_some(Reason::Trickling)
    }

    /// The nearest deadline of what its session does not see.
    pub(super) fn rare_deadline(&mut self, slot: u32) -> Option<u32> {
        let limits = &self.config.limits;
        let index = self.slab.at(slot).extras;
        let extras = self.hands.extras.see(index)?;
        let outbox = &extras.outbox;
        let stuck = outbox
            .is_blocked()
            .then(|| outbox.moved + ticks_up(limits.outbox_age_max));
        let slow = extras
            .partial
            .as_ref()
            .map(|partial| partial.deadline(limits));
        [stuck, slow].into_iter().flatten().min()
    }

    /// Orders of the gateway, and the steps of a drain.
    pub(super) fn drain(&mut self) {
        while let Some(Order::Drain { spread }) = self.mail.order() {
            self.drain_begin(spread);
        }
        let tick = self.now.tick;
        if let Some(draining) = &mut self.draining
            && !draining.cut
            && tick >= draining.cut_at
        {
            draining.cut = true;
            self.tell_all(|| Event::End(Reason::Draining));
        }
    }

    fn drain_begin(&mut self, spread: Duration) {
        let cut_at = self.now.tick + ticks_up(spread);
        self.draining = Some(Draining {
            cut_at,
            end_at: cut_at + ticks(self.config.limits.drain_flush).max(1),
            cut: false,
        });
        self.shut_door();
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        self.tell_all(|| Event::Drain { spread_ms });
    }

    fn tell_all(&mut self, event: impl Fn() -> Event<'static>) {
        for slot in 0..self.slab.slots() {
            if self.slab.get(slot).is_some() && !self.is_closing(slot) {
                self.step(slot, event());
            }
        }
    }
}

fn log(reason: Reason, shard: u16, slot: u32) {
    let name = reason.name();
    match reason.level() {
        tracing::Level::TRACE => tracing::trace!(shard, slot, reason = name, "closed"),
        tracing::Level::DEBUG => tracing::debug!(shard, slot, reason = name, "closed"),
        tracing::Level::INFO => tracing::info!(shard, slot, reason = name, "closed"),
        tracing::Level::WARN => tracing::warn!(shard, slot, reason = name, "closed"),
        _ => tracing::error!(shard, slot, reason = name, "closed"),
    }
}
