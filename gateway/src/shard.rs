//! A shard: one thread's share of the clients. Completions, timers and mail come in; operations for the ring, entries for
//! the log and questions for the page readers go out. It owns everything it touches, never waits, and knows no ring: the
//! [`driver`] takes completions from one and hands operations to it.
//!
//! The turn: completions → timers → mail → acknowledgements and outboxes of all that was touched.

mod closing;
mod door;
mod driver;
mod extras;
mod hands;
mod intake;
mod mail;
mod outflow;

pub(crate) use driver::{Driver, Sleep};
pub(crate) use hands::SPARES_BYTES_MAX;

pub(crate) const EXTRAS_BYTES: usize = size_of::<extras::Extras>();

use crate::config::Config;
use crate::counts::Counts;
use crate::pages::Desk;
use crate::partial::Partials;
use crate::session::{Around, Event};
use crate::slab::{Reading, Slab};
use crate::tag::{Kind, Tag};
use crate::wheel::{Wheel, ticks_up};
use door::Door;
use hands::{Failure, Hands};
use mail::Mail;
use millpond_backplane::Handle;
use millpond_backplane::link::Downlink;
use millpond_backplane::log::Appender;
use millpond_backplane::mesh::Receiver;
use millpond_ring::{Op, Slot, Token};
use std::time::Duration;

/// Reads in quick succession that make a connection hot.
const HEAT_MAX: u8 = 8;
/// Silence between two reads that are still in quick succession.
const QUICK_TICKS: u32 = 2;

#[derive(Debug)]
pub(crate) struct Shard {
    index: u16,
    config: Config,
    slab: Slab,
    wheel: Wheel,
    hands: Hands,
    door: Door,
    mail: Mail,
    partials: Partials,
    /// Connections whose read found no buffer, with their generation.
    starved: Vec<(u32, u32)>,
    hot: u32,
    handshakes: u32,
    now: Now,
    counts: Counts,
    draining: Option<Draining>,
    /// All routes were lost: connections from this slot on have not asserted theirs yet.
    reassert: Option<u32>,
}

/// The time of a turn: the only clock of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Now {
    /// Of the wheel, from the start of the shard.
    pub(crate) tick: u32,
    /// Unix milliseconds.
    pub(crate) unix_ms: u64,
}

/// What a shard is told by the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Stop accepting, ask all to leave within `spread`, then close.
    Drain { spread: Duration },
}

#[derive(Clone, Copy, Debug)]
struct Draining {
    /// From here on the rest is closed.
    cut_at: u32,
    /// From here on nothing is waited for.
    end_at: u32,
    cut: bool,
}

/// What a completion brought besides its result.
#[derive(Debug)]
pub(crate) enum Brought<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Sent(Vec<u8>),
}

/// A completion, with its token read.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) tag: Tag,
    pub(crate) result: i32,
    pub(crate) more: bool,
    pub(crate) nonempty: bool,
    pub(crate) brought: Brought<'a>,
}

/// What a shard needs from outside.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) listener: Slot,
    pub(crate) appender: Box<dyn Appender>,
    pub(crate) downlinks: Receiver<Downlink>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) desk: Desk,
}

impl Shard {
    pub(crate) fn new(index: u16, config: Config, inlets: Inlets, now: Now) -> Self {
        let limits = &config.limits;
        Self {
            index,
            slab: Slab::new(limits.connections_max),
            wheel: Wheel::new(now.tick),
            hands: Hands::new(inlets.appender, inlets.desk),
            door: Door::new(inlets.listener, limits.accepts_outstanding),
            mail: Mail::new(inlets.downlinks, inlets.orders),
            partials: Partials::new(limits.partial_bytes_max),
            starved: Vec::new(),
            hot: 0,
            handshakes: 0,
            now,
            counts: Counts::default(),
            draining: None,
            reassert: None,
            config,
        }
    }

    /// The turn begins; completions follow.
    pub(crate) fn begin(&mut self, now: Now) {
        self.now = now;
        self.counts.numbers.turns += 1;
    }

    /// One completion.
    pub(crate) fn arrive(&mut self, arrival: Arrival<'_>) {
        let Tag {
            kind,
            slot,
            generation,
        } = arrival.tag;
        match kind {
            Kind::Accept => return self.accepted(slot, arrival.result),
            Kind::Shut => return self.door_shut(),
            Kind::Bell => return,
            Kind::Poll
            | Kind::Recv
            | Kind::RecvMulti
            | Kind::Send
            | Kind::Room
            | Kind::Cancel
            | Kind::Close => {}
        }
        if self.slab.find(slot, generation).is_none() {
            // Only a cancel may outlive its connection: everything else is waited for before a slot is freed.
            assert_eq!(kind, Kind::Cancel, "a completion of an earlier life");
            return;
        }
        match kind {
            Kind::Poll => self.readable(slot, arrival.result),
            Kind::Recv | Kind::RecvMulti => self.received(slot, &arrival),
            Kind::Send => {
                let Brought::Sent(bytes) = arrival.brought else {
                    unreachable!("a send gives its bytes back")
                };
                self.sent(slot, bytes, arrival.result);
            }
            Kind::Room => self.writable(slot),
            Kind::Cancel => self.cancelled(slot, arrival.result),
            Kind::Close => self.closed(slot),
            Kind::Accept | Kind::Shut | Kind::Bell => unreachable!("handled above"),
        }
    }

    /// The turn ends: everything that is not a completion, then what it all led to.
    pub(crate) fn end(&mut self) {
        while let Some(slot) = self.wheel.due(&mut self.slab, self.now.tick) {
            self.timer(slot);
        }
        self.deliver_mail();
        self.reassert();
        self.drain();
        self.feed_starved();
        self.evict();
        self.tell_acks();
        self.flush_outboxes();
        self.accept();
        self.hands.desk.flush();
        self.hands.appender.flush();
    }

    /// Operations for the ring.
    pub(crate) fn operations(&mut self) -> std::vec::Drain<'_, (Token, Op)> {
        self.hands.ops.drain(..)
    }

    /// Something waits in a queue that no completion announces.
    pub(crate) fn has_mail(&self) -> bool {
        let asserts = self.reassert.is_some() && self.hands.desk.heads_free() > 0;
        !self.mail.is_empty() || self.hands.desk.has_replies() || asserts
    }

    pub(crate) fn counts(&mut self) -> &mut Counts {
        let numbers = &mut self.counts.numbers;
        numbers.connections = u64::from(self.slab.len());
        numbers.handshakes = u64::from(self.handshakes);
        numbers.hot = u64::from(self.hot);
        numbers.partial_bytes = self.partials.bytes() as u64;
        numbers.outbox_bytes = self.hands.outbox_bytes as u64;
        &mut self.counts
    }

    /// Drained: nothing is left, or its time is over.
    pub(crate) fn is_done(&self) -> bool {
        self.draining.is_some_and(|draining| {
            let empty = self.slab.len() == 0 && self.door.is_shut();
            (empty && self.hands.desk.open() == 0) || self.now.tick >= draining.end_at
        })
    }

    /// Nothing is left of any connection.
    #[cfg(test)]
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.slab.len(), 0, "connections");
        assert_eq!(self.hands.extras.used(), 0, "extras");
        assert_eq!(self.hands.outbox_bytes, 0, "bytes in outboxes");
        assert_eq!(self.partials.bytes(), 0, "bytes of unfinished frames");
        assert_eq!((self.hot, self.handshakes), (0, 0), "hot, handshakes");
        assert_eq!(self.hands.desk.open(), 0, "questions");
    }

    /// One event for one session, and all that follows from it at once.
    fn step(&mut self, slot: u32, event: Event<'_>) {
        self.step_once(slot, event);
        while let Some(failure) = self.hands.failures.pop() {
            match failure {
                Failure::Append(client_msg_id) => {
                    self.step_once(slot, hands::refusal(client_msg_id))
                }
                Failure::Marks => self.step_once(slot, hands::MARKS_REFUSED),
                Failure::Ask(reply) => self.step_once(slot, mail::event(&reply.body)),
            }
        }
        if self
            .hands
            .overfull(self.slab.at(slot).extras, &self.config.limits)
        {
            self.step_once(slot, Event::End(crate::close::Reason::Lagging));
        }
        if let Some(reason) = self.hands.closed.take() {
            self.close(slot, reason);
        } else if std::mem::take(&mut self.hands.retime) {
            self.retime(slot);
        }
    }

    fn step_once(&mut self, slot: u32, event: Event<'_>) {
        let draining = self.draining.is_some();
        let entry = self.slab.at(slot);
        let room_bytes = self.hands.room_bytes(entry.extras, &self.config.limits);
        let world = World {
            config: &self.config,
            index: self.index,
            now: self.now,
            draining,
        };
        let around = world.around(slot, entry.generation, room_bytes);
        let shaking = entry.session.in_handshake();
        let (hands, counts) = (&mut self.hands, &mut self.counts);
        let extras = &mut entry.extras;
        let mut act = |action: crate::session::Action<'_>| hands.act(slot, extras, action, counts);
        entry.session.step(event, &around, &mut act);
        if shaking && !entry.session.in_handshake() {
            self.handshakes -= 1;
        }
    }

    /// A deadline has come: of the session, or of something rare about its connection.
    fn timer(&mut self, slot: u32) {
        let tick = self.now.tick;
        if self.is_closing(slot) {
            return self.cut_off(slot);
        }
        let entry = self.slab.at(slot);
        if entry.reading == Reading::Idle {
            // It is we who do not listen, for want of room for answers: the outbox has its own deadline.
            entry.hear(tick);
        }
        let quiet = entry.quiet(tick);
        if let Some(reason) = self.overdue(slot) {
            self.step(slot, Event::End(reason));
            return;
        }
        self.step(slot, Event::Timer { quiet });
        if !self.is_closing(slot) {
            self.cool(slot, quiet);
            self.retime(slot);
        }
    }

    /// Sets the nearest of a connection's deadlines.
    fn retime(&mut self, slot: u32) {
        let tick = self.now.tick;
        let draining = self.draining.is_some();
        let entry = self.slab.at(slot);
        let heard = tick.saturating_sub(entry.quiet(tick));
        let streaming = entry.reading == Reading::Streaming;
        let world = World {
            config: &self.config,
            index: self.index,
            now: self.now,
            draining,
        };
        let around = world.around(slot, entry.generation, usize::MAX);
        let session = entry.session.deadline(heard, &around);
        let limits = &self.config.limits;
        let cool = streaming.then(|| heard + ticks_up(limits.hot_quiet));
        let rare = self.rare_deadline(slot);
        let nearest = [session, cool, rare].into_iter().flatten().min();
        if let Some(at) = nearest {
            self.wheel.set(&mut self.slab, slot, at.max(tick + 1));
        }
    }
}

/// What all sessions of a shard see alike.
struct World<'a> {
    config: &'a Config,
    index: u16,
    now: Now,
    draining: bool,
}

impl<'a> World<'a> {
    fn around(&self, slot: u32, generation: u32, room_bytes: usize) -> Around<'a> {
        Around {
            limits: &self.config.limits,
            keys: &self.config.keys,
            gateway: self.config.gateway,
            gateway_epoch: self.config.gateway_epoch,
            handle: Handle {
                shard: self.index,
                slot,
                generation,
            },
            now_ms: self.now.unix_ms,
            tick: self.now.tick,
            room_bytes,
            draining: self.draining,
        }
    }
}
