//! What a shard does for its sessions: their actions become bytes, entries, questions and operations.

use super::extras::Pool;
use crate::close::Reason;
use crate::config::Limits;
use crate::counts::Counts;
use crate::pages::{Ask, Desk, Reply};
use crate::session::{Action, Event};
use crate::tag::{Kind, Tag};
use millpond_backplane::log::{Appender, Full};
use millpond_backplane::routes::Route;
use millpond_backplane::{CommandBody, Entry};
use millpond_ring::{Op, Token};
use millpond_wire::{Code, Mode, Tag as FrameTag, encode, encode_deliver_head};

/// Advice to a client whose SEND the log has no room for.
const LOG_RETRY_MS: u64 = 100;
/// Buffers kept for the next outbox, and the largest that is worth keeping.
const SPARES_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 16 * 1024;
pub(crate) const SPARES_BYTES_MAX: usize = SPARES_MAX * SPARE_BYTES_MAX;

#[derive(Debug)]
pub(super) struct Hands {
    pub(super) appender: Box<dyn Appender>,
    pub(super) desk: Desk,
    pub(super) extras: Pool,
    /// For the ring, at the end of the turn.
    pub(super) ops: Vec<(Token, Op)>,
    /// Connections whose outbox has something new.
    pub(super) listed: Vec<u32>,
    /// What was acknowledged in this turn, by connection and cursor; some connections more than once.
    pub(super) acked: Vec<(u32, u64)>,
    /// Bytes that wait in all outboxes.
    pub(super) outbox_bytes: usize,
    spares: Vec<Vec<u8>>,
    /// Actions of the step under way that were refused.
    pub(super) failures: Vec<Failure>,
    /// The step under way ended its session.
    pub(super) closed: Option<Reason>,
    /// The step under way may have brought a deadline nearer.
    pub(super) retime: bool,
}

/// A refused action, which comes back to its session as an event.
#[derive(Debug)]
pub(super) enum Failure {
    Append(u64),
    /// Some marks of one RECEIPT.
    Marks,
    Ask(Reply),
}

/// The event of a SEND that the log refused.
pub(super) fn refusal(client_msg_id: u64) -> Event<'static> {
    Event::Refused {
        client_msg_id,
        code: Code::BUSY,
        retry_after_ms: LOG_RETRY_MS,
    }
}

/// The event of a RECEIPT that the log refused in part.
pub(super) const MARKS_REFUSED: Event<'static> = Event::MarksRefused {
    retry_after_ms: LOG_RETRY_MS,
};

impl Hands {
    pub(super) fn new(appender: Box<dyn Appender>, desk: Desk) -> Self {
        Self {
            appender,
            desk,
            extras: Pool::default(),
            ops: Vec::new(),
            listed: Vec::new(),
            acked: Vec::new(),
            outbox_bytes: 0,
            spares: Vec::new(),
            failures: Vec::new(),
            closed: None,
            retime: false,
        }
    }

    /// Queues an operation on a connection.
    pub(super) fn push(&mut self, kind: Kind, slot: u32, generation: u32, op: Op) {
        let tag = Tag {
            kind,
            generation,
            slot,
        };
        self.ops.push((tag.token(), op));
    }

    /// Bytes of deliveries that a connection's outbox takes.
    pub(super) fn room_bytes(&self, extras: u32, limits: &Limits) -> usize {
        let own = limits
            .outbox_room_bytes
            .saturating_sub(self.waiting(extras));
        own.min(limits.outboxes_bytes_max.saturating_sub(self.outbox_bytes))
    }

    /// Whether more waits for a connection than may.
    pub(super) fn overfull(&self, extras: u32, limits: &Limits) -> bool {
        self.waiting(extras) > limits.outbox_bytes_max
    }

    /// Bytes that wait for a connection.
    pub(super) fn waiting(&self, extras: u32) -> usize {
        let extras = self.extras.see(extras);
        extras.map_or(0, |extras| extras.outbox.bytes())
    }

    pub(super) fn act(
        &mut self,
        slot: u32,
        extras: &mut u32,
        action: Action<'_>,
        counts: &mut Counts,
    ) {
        match action {
            Action::Frame(frame) => {
                if let Some(tag) = frame.tag() {
                    counts.frame_out(tag);
                }
                self.write(slot, extras, |out| encode(&frame, out));
            }
            Action::Deliver { first, records } => {
                counts.frame_out(FrameTag::Deliver);
                let bytes = records.iter().map(|record| record.len()).sum();
                self.write(slot, extras, |out| {
                    encode_deliver_head(Mode::Live, first, bytes, out);
                    records
                        .iter()
                        .for_each(|record| out.extend_from_slice(record));
                });
            }
            Action::Append(entry) => self.append(entry, counts),
            Action::Acked(cursor) => self.acked.push((slot, cursor)),
            Action::Ask(ask) => self.ask(ask, counts),
            Action::Unroute(route) => self.unroute(route, counts),
            Action::Retime => self.retime = true,
            Action::Close(reason) => self.closed = Some(reason),
        }
    }

    fn write(&mut self, slot: u32, extras: &mut u32, put: impl FnOnce(&mut Vec<u8>)) {
        let outbox = &mut self.extras.of(extras).outbox;
        let out = outbox.queue(|| self.spares.pop().unwrap_or_default());
        let before = out.len();
        put(out);
        self.outbox_bytes += out.len() - before;
        if !outbox.listed {
            outbox.listed = true;
            self.listed.push(slot);
        }
    }

    /// Keeps an empty buffer for the next outbox.
    pub(super) fn spare(&mut self, buffer: Vec<u8>) {
        if self.spares.len() < SPARES_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            self.spares.push(buffer);
        }
    }

    fn append(&mut self, entry: Entry, counts: &mut Counts) {
        counts.numbers.appends += 1;
        let Err(Full(entry)) = self.appender.append(entry) else {
            return;
        };
        let failure = match &entry {
            Entry::Command(command) => match command.body {
                CommandBody::Send { client_msg_id, .. } => Some(Failure::Append(client_msg_id)),
                CommandBody::Read { .. } | CommandBody::Delivered { .. } => Some(Failure::Marks),
            },
            Entry::Inbox(_) => None,
        };
        if let Some(Failure::Append(_)) = failure {
            counts.numbers.appends_refused += 1;
        } else {
            counts.numbers.marks_dropped += 1;
        }
        let told = matches!(
            (&failure, self.failures.last()),
            (Some(Failure::Marks), Some(Failure::Marks))
        );
        self.failures.extend(failure.filter(|_| !told));
    }

    fn ask(&mut self, ask: Ask, counts: &mut Counts) {
        counts.numbers.asks += 1;
        if let Err(ask) = self.desk.ask(ask) {
            counts.numbers.asks_refused += 1;
            self.failures.push(Failure::Ask(ask.refused()));
        }
    }
    fn unroute(&mut self, route: Route, counts: &mut Counts) {
        if !self.desk.unroute(route) {
            counts.numbers.unrouted_late += 1;
        }
    }
}
