//! What other threads send: hints from the routers, answers of the page readers, orders of the gateway. Whatever names a
//! connection is compared with the slab, whole, before a byte leaves.

use super::{Order, Shard};
use crate::pages::{Reply, ReplyBody};
use crate::planted;
use crate::session::{Event, SharedRecord};
use millpond_backplane::Address;
use millpond_backplane::link::{Downlink, DownlinkBody};
use millpond_backplane::mesh::Receiver;
use millpond_wire::{Ack, Mark};

#[derive(Debug)]
pub(super) struct Mail {
    downlinks: Receiver<Downlink>,
    orders: Receiver<Order>,
    /// Those of this turn; empty between turns, kept for their memory.
    taken: Vec<Downlink>,
    together: Together,
}

/// Hints for one connection that leave together.
#[derive(Default, Debug)]
struct Together {
    acks: Vec<Ack>,
    marks: Vec<Mark>,
    /// Cursor of the first record.
    first: u64,
    records: Vec<SharedRecord>,
}

impl Mail {
    pub(super) fn new(downlinks: Receiver<Downlink>, orders: Receiver<Order>) -> Self {
        Self {
            downlinks,
            orders,
            taken: Vec::new(),
            together: Together::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.downlinks.is_empty() && self.orders.is_empty()
    }

    pub(super) fn order(&mut self) -> Option<Order> {
        self.orders.pop()
    }
}

impl Shard {
    pub(super) fn deliver_mail(&mut self) {
        while let Some(reply) = self.hands.desk.reply() {
            self.replied(&reply);
        }
        let mut taken = std::mem::take(&mut self.mail.taken);
        let max = self.config.limits.downlinks_per_turn;
        taken.extend(std::iter::from_fn(|| self.mail.downlinks.pop()).take(max));
        self.counts.numbers.downlinks += taken.len() as u64;
        // Stable: the hints for one connection stay in order, and stand together.
        taken.sort_by_key(|downlink| downlink.to.handle);
        let mut rest = taken.drain(..).peekable();
        while let Some(first) = rest.next() {
            let to = first.to;
            let here = self.is_here(&to);
            self.hint(here, first);
            while let Some(next) = rest.next_if(|next| next.to == to) {
                self.hint(here, next);
            }
            self.hints_end(to.handle.slot);
        }
        drop(rest);
        self.mail.taken = taken;
    }

    /// The connection that is meant lives, and belongs to whom the sender thinks.
    fn is_here(&mut self, to: &Address) -> bool {
        if planted::is(planted::Bug::HandleWithoutUser) {
            return to.handle.slot < self.slab.slots();
        }
        let config = &self.config;
        let ours = (to.gateway, to.gateway_epoch, to.handle.shard)
            == (config.gateway, config.gateway_epoch, self.index);
        let entry = self.slab.find(to.handle.slot, to.handle.generation);
        let who = entry.and_then(|entry| entry.session.who());
        ours && who == Some((to.user, to.device))
    }

    fn hint(&mut self, here: bool, downlink: Downlink) {
        let slot = downlink.to.handle.slot;
        if !here {
            self.counts.numbers.not_here += 1;
            return;
        }
        let together = &mut self.mail.together;
        match downlink.body {
            DownlinkBody::Ack(ack) => together.acks.push(ack),
            DownlinkBody::Mark(mark) => together.marks.push(mark),
            DownlinkBody::Deliver { cursor, record } => {
                let next = together.first + together.records.len() as u64;
                if together.records.is_empty() {
                    together.first = cursor;
                } else if cursor != next {
                    self.records_end(slot);
                    self.mail.together.first = cursor;
                }
                self.mail.together.records.push(record);
            }
            DownlinkBody::Refused {
                client_msg_id,
                code,
                retry_after_ms,
            } => self.step(
                slot,
                Event::Refused {
                    client_msg_id,
                    code,
                    retry_after_ms,
                },
            ),
            DownlinkBody::Kick(code) => {
                self.hints_end(slot);
                self.step(slot, Event::Kick(code));
            }
        }
    }

    fn hints_end(&mut self, slot: u32) {
        self.records_end(slot);
        let mut acks = std::mem::take(&mut self.mail.together.acks);
        if !acks.is_empty() {
            self.step(slot, Event::Acks(&acks));
            acks.clear();
        }
        self.mail.together.acks = acks;
        let mut marks = std::mem::take(&mut self.mail.together.marks);
        if !marks.is_empty() {
            self.mark(slot, &marks);
            marks.clear();
        }
        self.mail.together.marks = marks;
    }

    /// Marks are only hints: without room for them they are lost, and the next ones make them good.
    fn mark(&mut self, slot: u32, marks: &[Mark]) {
        let extras = self.slab.at(slot).extras;
        if self.hands.room_bytes(extras, &self.config.limits) > 0 {
            self.step(slot, Event::Marks(marks));
        } else {
            self.counts.numbers.marks_withheld += marks.len() as u64;
        }
    }

    fn records_end(&mut self, slot: u32) {
        let mut records = std::mem::take(&mut self.mail.together.records);
        if !records.is_empty() {
            let first = self.mail.together.first;
            self.step(
                slot,
                Event::Hints {
                    first,
                    records: &records,
                },
            );
            records.clear();
        }
        self.mail.together.records = records;
    }

    /// Lets a few of the connections assert their routes, as many as the readers have places for: a million take as long as
    /// that many heartbeats.
    pub(super) fn reassert(&mut self) {
        const LOOKS: u32 = 4_096;
        let Some(from) = self.reassert else {
            return;
        };
        let to = from.saturating_add(LOOKS).min(self.slab.slots());
        let mut free = self.hands.desk.heads_free();
        for slot in from..to {
            if free == 0 {
                self.reassert = Some(slot);
                return;
            }
            if self.slab.get(slot).is_some() && !self.is_closing(slot) {
                self.step(slot, Event::RoutesLost);
                free -= 1;
            }
        }
        self.reassert = (to < self.slab.slots()).then_some(to);
    }

    fn replied(&mut self, reply: &Reply) {
        if matches!(reply.body, ReplyBody::Closed) {
            return;
        }
        if matches!(reply.body, ReplyBody::RoutesLost) {
            self.reassert = Some(0);
            return;
        }
        if !self.is_here(&reply.to) {
            self.counts.numbers.not_here += 1;
            return;
        }
        let slot = reply.to.handle.slot;
        self.step(slot, event(&reply.body));
        if matches!(reply.body, ReplyBody::Opened(_)) {
            self.take_on(slot);
        }
    }
}

/// An answer as its session sees it.
pub(super) fn event(body: &ReplyBody) -> Event<'_> {
    match body {
        ReplyBody::Opened(opened) => Event::Opened(opened),
        ReplyBody::OpenFailed => Event::OpenFailed,
        ReplyBody::OpenRefused => Event::OpenRefused,
        ReplyBody::Page(page) => Event::Page(page),
        ReplyBody::PageFailed { stamp, rid } => Event::PageFailed {
            stamp: *stamp,
            rid: *rid,
        },
        ReplyBody::History { rid, end, records } => Event::History {
            rid: *rid,
            end: *end,
            records,
        },
        ReplyBody::HistoryFailed { rid, code } => Event::HistoryFailed {
            rid: *rid,
            code: *code,
        },
        ReplyBody::Head { epoch, head } => Event::Head {
            epoch: *epoch,
            head: *head,
        },
        ReplyBody::HeadFailed => Event::HeadFailed,
        ReplyBody::Displaced => Event::End(Reply::DISPLACED),
        ReplyBody::Closed => unreachable!("nobody waits for it"),
        ReplyBody::RoutesLost => unreachable!("no connection is meant"),
    }
}
