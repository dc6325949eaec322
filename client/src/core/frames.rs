//! What the server says. A frame is acted on only when all of it is valid; one that makes no sense ends the connection
//! with a code.

use super::inbox::{CatchUp, Delivered};
use super::lifecycle::Wait;
use super::state::{Leave, Live, State};
use super::{Core, Now, Polled, Reply, RequestError};
use crate::{Change, Event, History, Message, Sent, Why};
use millpond_wire::{
    AckStatus, Class, Code, Decoded, Deliver, Direction, Error, Frame, GoAway, HistoryPage, Pong,
    Receipt, Reset, Scope, SendAck, SyncDone, Welcome, decode,
};
use rand::RngExt;
use std::time::Duration;

/// Whatever the server says, PINGs are no more frequent and no rarer than this.
const PING_EVERY_MIN: Duration = Duration::from_millis(100);
const PING_EVERY_MAX: Duration = Duration::from_secs(600);

/// No request has it: it stands for what was sent in RECEIPTs.
const RECEIPT_RID: u64 = 0;

/// However long a server asks a client to stay away, it comes back after a day.
const AWAY_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// What handling a frame comes to: go on, or leave because of this.
type Handled = Result<(), Fault>;

/// A valid frame at a moment when it makes no sense.
struct Fault {
    code: Code,
    detail: &'static str,
}

impl Core {
    /// Bytes came from the connection.
    pub fn received(&mut self, bytes: &[u8], now: Now) {
        if self.state.is_up() {
            self.input.extend_from_slice(bytes);
        }
        self.tick(now);
    }

    pub(super) fn read_frames(&mut self, now: Now) {
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        while self.state.is_up() && self.has_room() && at < input.len() {
            match decode(&input[at..], self.config.frame_bytes_max) {
                Ok(Decoded::Need(_)) => break,
                Ok(Decoded::Frame(frame, bytes)) => {
                    at += bytes;
                    self.frame(frame, now);
                }
                Err(malformed) => self.malformed(malformed.code(), malformed.to_string(), now),
            }
        }
        if self.state.is_up() {
            self.input = input;
            self.input.drain(..at);
        }
    }

    fn frame(&mut self, frame: Frame<'_>, now: Now) {
        let handled = if frame.direction() == Direction::ToServer {
            fault(Code::UNSUPPORTED_FRAME, "a frame that only clients send")
        } else if matches!(self.state, State::Live(_)) {
            self.live_frame(frame, now)
        } else {
            self.first_frame(frame, now)
        };
        if let Err(Fault { code, detail }) = handled {
            self.malformed(code, detail.to_owned(), now);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever is not named here must not come before WELCOME"
    )]
    fn first_frame(&mut self, frame: Frame<'_>, now: Now) -> Handled {
        match frame {
            Frame::Welcome(welcome) => return self.welcome(&welcome, now),
            Frame::Error(error) => self.error(&error, now),
            Frame::GoAway(away) => self.go_away(&away, now),
            Frame::Ignored(_) => {}
            _ => return fault(Code::MALFORMED, "a frame before WELCOME"),
        }
        Ok(())
    }

    fn live_frame(&mut self, frame: Frame<'_>, now: Now) -> Handled {
        if let Some(live) = self.state.live() {
            live.answer_by = None;
        }
        match frame {
            Frame::Ping(_) => self.write(&Frame::Pong(Pong { server_ms: None })),
            Frame::Pong(_) => self.marks.pong_received(),
            Frame::SendAck(ack) => self.send_ack(&ack),
            Frame::Deliver(deliver) => return self.deliver(&deliver, now),
            Frame::SyncDone(done) => self.sync_done(done, now),
            Frame::Reset(reset) => self.reset(reset, now),
            Frame::Receipt(receipt) => self.receipt(&receipt),
            Frame::HistoryPage(page) => self.history_page(&page),
            Frame::GoAway(away) => self.go_away(&away, now),
            Frame::Error(error) => self.error(&error, now),
            Frame::Ignored(_) => {}
            Frame::Welcome(_) => return fault(Code::MALFORMED, "a second WELCOME"),
            Frame::Echoed(_) => return fault(Code::MALFORMED, "an ECHOED without ECHO"),
            Frame::Hello(_)
            | Frame::Bye(_)
            | Frame::Echo(_)
            | Frame::Send(_)
            | Frame::CursorAck(_)
            | Frame::Sync(_)
            | Frame::History(_) => unreachable!("the direction was checked"),
        }
        Ok(())
    }

    fn welcome(&mut self, welcome: &Welcome<'_>, now: Now) -> Handled {
        if welcome.proto != millpond_wire::PROTO {
            return fault(Code::MALFORMED, "a version that was not offered");
        }
        if self.inbox.received().is_none() && (welcome.resumed || welcome.reset) {
            return fault(Code::MALFORMED, "resumed what was never begun");
        }
        self.resume_token = welcome.resume_token.to_vec();
        self.state = State::Live(self.live(welcome, now));
        let session = welcome.session;
        self.event(Event::Connected { session });
        self.begin_catch_up(welcome, now);
        self.fresh = false;
        Ok(())
    }

    fn live(&self, welcome: &Welcome<'_>, now: Now) -> Live {
        let ping_ms = if self.config.background {
            welcome.ping_idle_ms
        } else {
            welcome.ping_active_ms
        };
        let ping_every = Duration::from_millis(ping_ms).clamp(PING_EVERY_MIN, PING_EVERY_MAX);
        let window = usize::try_from(welcome.send_window).unwrap_or(usize::MAX);
        let frame_bytes_max = usize::try_from(welcome.max_frame).unwrap_or(usize::MAX);
        Live {
            since: now.mono,
            ping_every,
            next_ping: now.mono + ping_every,
            answer_by: None,
            send_window: window.clamp(1, self.config.send_window_max.max(1)),
            frame_bytes_max: frame_bytes_max.min(millpond_wire::BODY_BYTES_MAX),
            leave: None,
        }
    }

    fn begin_catch_up(&mut self, welcome: &Welcome<'_>, now: Now) {
        let deadline = now.mono + self.config.sync_timeout;
        let wanted = CatchUp::Wanted { at: now.mono };
        let catch_up = match self.inbox.received() {
            None => {
                self.inbox.begin(welcome.epoch);
                wanted
            }
            Some(_) if welcome.reset => CatchUp::Reset { deadline },
            Some(position) if welcome.resumed => CatchUp::Resumed {
                from: position.cursor,
                deadline,
            },
            Some(position) => {
                // The server did not want our cursor, and this epoch is another one: it cannot be continued.
                if self.fresh && position.epoch != welcome.epoch {
                    self.begin_again(welcome.epoch, 0, 0);
                }
                wanted
            }
        };
        self.inbox.set_catch_up(catch_up);
    }

    fn begin_again(&mut self, epoch: u64, head: u64, reason: u8) {
        let taken = Some(self.inbox.reset(epoch, head));
        let event = Event::Reset {
            epoch,
            head,
            reason,
        };
        self.events.push_back(Polled { event, taken });
    }

    fn reset(&mut self, reset: Reset, now: Now) {
        self.begin_again(reset.epoch, reset.head, reset.reason);
        self.inbox.set_catch_up(CatchUp::Wanted { at: now.mono });
    }

    fn deliver(&mut self, deliver: &Deliver<'_>, now: Now) -> Handled {
        if deliver.first_cursor == 0 {
            return fault(Code::MALFORMED, "cursors begin at 1");
        }
        // What was on the way before a reset belongs to the old inbox.
        if matches!(self.inbox.catch_up(), CatchUp::Reset { .. }) {
            return Ok(());
        }
        let count = deliver.records.iter().count() as u64;
        match self.inbox.delivered(deliver.first_cursor, count) {
            Delivered::New { skip } => {
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                for record in deliver.records.iter().skip(skip) {
                    self.receive(&record);
                }
                self.extend_sync(now);
            }
            Delivered::Gap => self.close_gap(now),
        }
        Ok(())
    }

    /// Something is missing: unless it is on its way already, it is asked for.
    fn close_gap(&mut self, now: Now) {
        match self.inbox.catch_up() {
            CatchUp::Done | CatchUp::Resumed { .. } => {
                self.inbox.set_catch_up(CatchUp::Wanted { at: now.mono });
            }
            CatchUp::Wanted { .. } | CatchUp::Asked { .. } | CatchUp::Reset { .. } => {}
        }
    }

    fn receive(&mut self, record: &millpond_wire::Record<'_>) {
        let (position, taken) = self.inbox.receive();
        if let Some(origin) = record.origin.filter(|o| o.device == self.device) {
            self.own_came_back(origin.client_msg_id, record);
        }
        let message = Message::of(record, position.epoch, position.cursor);
        self.events.push_back(Polled {
            event: Event::Message(message),
            taken: Some(taken),
        });
    }

    /// My message stands in my inbox, so it need not be sent again.
    fn own_came_back(&mut self, id: u64, record: &millpond_wire::Record<'_>) {
        if let Some(entry) = self.outbox.resolve_waiting(id) {
            let sent = Sent {
                client_msg_id: id,
                conversation: entry.conversation,
                seq: record.seq,
                server_ms: record.server_ms,
                duplicate: true,
            };
            self.sent(sent, entry.awaited);
        }
    }

    fn send_ack(&mut self, ack: &SendAck<'_>) {
        for ack in ack.acks.iter() {
            let id = ack.client_msg_id;
            let Some(entry) = self.outbox.resolve(id) else {
                continue;
            };
            let sent = Sent {
                client_msg_id: id,
                conversation: entry.conversation,
                seq: ack.seq,
                server_ms: ack.server_ms,
                duplicate: ack.status == AckStatus::Duplicate,
            };
            self.sent(sent, entry.awaited);
        }
    }

    fn sent(&mut self, sent: Sent, awaited: bool) {
        self.changes.push(Change::Removed(sent.client_msg_id));
        if awaited {
            self.replies.push_back(Reply::Sent(sent));
        } else {
            self.event(Event::Sent(sent));
        }
    }

    fn sync_done(&mut self, done: SyncDone, now: Now) {
        let from = match self.inbox.catch_up() {
            CatchUp::Asked { rid, from, .. } if rid == done.rid => from,
            CatchUp::Resumed { from, .. } if done.rid == 0 => from,
            // The end of a catch-up that a gap or a reset has made void.
            CatchUp::Done
            | CatchUp::Wanted { .. }
            | CatchUp::Resumed { .. }
            | CatchUp::Asked { .. }
            | CatchUp::Reset { .. } => return,
        };
        let next = self.inbox.done(done.more, done.cursor, from, now.mono);
        self.inbox.set_catch_up(next);
        if next == CatchUp::Done {
            self.event(Event::Synced);
        }
    }

    fn receipt(&mut self, receipt: &Receipt<'_>) {
        for mark in receipt.marks.iter() {
            self.event(Event::Receipt {
                kind: mark.kind.into(),
                conversation: mark.conversation,
                up_to: mark.up_to,
                user: mark.user,
            });
        }
    }

    fn history_page(&mut self, page: &HistoryPage<'_>) {
        let rid = page.rid;
        if self.requests.resolve(rid).is_none() {
            return;
        }
        let epoch = self.inbox.received().map_or(0, |position| position.epoch);
        let messages = page.records.iter();
        let page = History {
            messages: messages.map(|r| Message::of(&r, epoch, 0)).collect(),
            end: page.end,
        };
        self.replies.push_back(Reply::Page { rid, page });
    }

    fn go_away(&mut self, away: &GoAway<'_>, now: Now) {
        let after = Duration::from_millis(away.after_ms.min(AWAY_MS_MAX));
        if !matches!(away.code.class(), Class::Reconnect | Class::Repeat) {
            return self.refused(away.code, "", after, now);
        }
        if !away.resume_ok {
            self.resume_token.clear();
        }
        let spread = self.rng.random_range(0..=away.spread_ms.min(AWAY_MS_MAX));
        let at = now.mono.saturating_add(after);
        let leave = Leave {
            at: at.saturating_add(Duration::from_millis(spread)),
            endpoint: Some(away.endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty()),
            code: away.code,
        };
        match self.state.live() {
            Some(live) => live.leave = Some(leave),
            None => self.leave(leave, now),
        }
    }

    fn error(&mut self, error: &Error<'_>, now: Now) {
        let retry = retry_after(error);
        let class = error.code.class();
        match (error.scope, class) {
            (Scope::Message(id), Class::Surface) => {
                self.fail_message(id, error.code, error.message);
            }
            (Scope::Message(id), Class::Repeat) => {
                self.outbox.repeat(id, now.mono, retry, &mut self.rng);
            }
            (Scope::Request(rid), Class::Surface | Class::Repeat | Class::Fresh) => {
                self.request_refused(rid, error, now);
            }
            (Scope::Connection | Scope::Message(_) | Scope::Request(_), _) => {
                self.refused(error.code, error.message, retry, now);
            }
        }
    }

    fn request_refused(&mut self, rid: u64, error: &Error<'_>, now: Now) {
        if rid == RECEIPT_RID {
            return self.marks.refused(self.repeat_at(error, now));
        }
        if matches!(self.inbox.catch_up(), CatchUp::Asked { rid: own, .. } if own == rid) {
            return self.sync_refused(error, now);
        }
        if error.code.class() == Class::Repeat {
            self.requests.repeat(rid, self.repeat_at(error, now));
        } else if self.requests.resolve(rid).is_some() {
            let error = RequestError::Refused {
                code: error.code,
                message: error.message.to_owned(),
            };
            self.replies.push_back(Reply::Refused { rid, error });
        }
    }

    fn sync_refused(&mut self, error: &Error<'_>, now: Now) {
        let message = error.message.to_owned();
        let code = error.code;
        match code.class() {
            Class::Repeat => {
                let at = self.repeat_at(error, now);
                self.inbox.set_catch_up(CatchUp::Wanted { at });
            }
            Class::Surface => {
                let wait = Wait::AtLeast(Duration::ZERO);
                self.lost(Why::Refused { code, message }, wait, now);
            }
            Class::Fresh | Class::Reconnect | Class::Token | Class::Stop | Class::Fault => {
                self.refused(code, &message, retry_after(error), now);
            }
        }
    }

    fn repeat_at(&self, error: &Error<'_>, now: Now) -> Duration {
        let least = self.config.backoff_base;
        now.mono + retry_after(error).max(least)
    }
}

fn retry_after(error: &Error<'_>) -> Duration {
    Duration::from_millis(error.retry_after_ms.min(AWAY_MS_MAX))
}

fn fault(code: Code, detail: &'static str) -> Handled {
    Err(Fault { code, detail })
}
