//! What is due: everything a client does because of the time, or because there is room for it.

use super::inbox::{CatchUp, Taken};
use super::lifecycle::Wait;
use super::state::State;
use super::{Core, Now, Reply, RequestError};
use crate::{Change, Event, Why};
use millpond_wire::{
    Code, CursorAck, Frame, History, List, PAYLOAD_BYTES_MAX, Ping, Receipt, Send, Sync,
};
use std::time::Duration;

/// Bytes that wait for the socket; above, nothing is added that can wait itself.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Body bytes of a SEND beside its payload.
const SEND_BYTES_BESIDE_PAYLOAD: usize = 1 + 8 + 8 + 8 + 1;

impl Core {
    /// Does what is due. Also to be called when output was written and when events were taken.
    pub fn tick(&mut self, now: Now) {
        self.read_frames(now);
        self.work(now);
    }

    /// The application is through with an event, and so with everything before it.
    pub fn take(&mut self, taken: Taken, now: Now) {
        self.inbox.take(taken, now.mono);
        self.work(now);
    }

    pub(super) fn work(&mut self, now: Now) {
        match &mut self.state {
            State::Connecting { deadline } | State::Handshaking { deadline } => {
                if *deadline <= now.mono {
                    self.lost(Why::Silent, Wait::AtLeast(Duration::ZERO), now);
                }
            }
            State::Backoff { until, endpoint } => {
                if *until <= now.mono {
                    let endpoint = endpoint.take();
                    self.connect(endpoint, now);
                }
            }
            State::Live(_) => self.work_live(now),
            State::Resting | State::Token | State::Stopped => {}
        }
        self.expire_requests(now);
    }

    fn work_live(&mut self, now: Now) {
        if let Some(leave) = self.leave_due(now) {
            return self.leave(leave, now);
        }
        if self.is_silent(now) {
            return self.lost(Why::Silent, Wait::AtLeast(Duration::ZERO), now);
        }
        self.work_catch_up(now);
        if self.output.len() < OUTPUT_BYTES_MAX {
            self.work_messages(now);
            self.work_requests(now);
            self.work_marks(now);
        }
        let due = self.ack_deadline();
        if due.is_some_and(|due| due <= now.mono) {
            self.acknowledge_cursor();
        }
        let ping_timeout = self.config.ping_timeout;
        let next_ping = self.state.live().map(|live| live.next_ping);
        if next_ping.is_some_and(|at| at <= now.mono) {
            self.write_ping(ping_timeout, now);
        }
    }

    fn leave_due(&mut self, now: Now) -> Option<super::state::Leave> {
        let live = self.state.live()?;
        live.leave.take_if(|leave| leave.at <= now.mono)
    }

    /// Nothing was heard where something had to be.
    fn is_silent(&mut self, now: Now) -> bool {
        // While we do not read, silence is ours.
        let reading = self.has_room();
        let answer_by = self.state.live().and_then(|live| live.answer_by);
        let dead = answer_by.is_some_and(|by| by <= now.mono) && reading;
        let ack_timeout = self.config.ack_timeout;
        let flight = self.outbox.oldest_flight();
        let unanswered = flight.is_some_and(|at| at + ack_timeout <= now.mono) && reading;
        dead || unanswered || self.is_sync_late(now)
    }

    fn is_sync_late(&mut self, now: Now) -> bool {
        let waited_for = self.inbox.catch_up();
        let (CatchUp::Resumed { deadline, .. }
        | CatchUp::Asked { deadline, .. }
        | CatchUp::Reset { deadline }) = waited_for
        else {
            return false;
        };
        if deadline > now.mono {
            return false;
        }
        // A server may wait for acknowledgements, which wait for the application.
        let excused = self.inbox.is_application_behind() || !self.has_room();
        if excused {
            self.extend_sync(now);
        }
        !excused
    }

    /// The catch-up has moved on: its deadline does too.
    pub(super) fn extend_sync(&mut self, now: Now) {
        let later = now.mono + self.config.sync_timeout;
        let mut catch_up = self.inbox.catch_up();
        match &mut catch_up {
            CatchUp::Resumed { deadline, .. }
            | CatchUp::Asked { deadline, .. }
            | CatchUp::Reset { deadline } => *deadline = later,
            CatchUp::Done | CatchUp::Wanted { .. } => {}
        }
        self.inbox.set_catch_up(catch_up);
    }

    fn work_catch_up(&mut self, now: Now) {
        let due = matches!(self.inbox.catch_up(), CatchUp::Wanted { at } if at <= now.mono);
        let Some(position) = self.inbox.received().filter(|_| due) else {
            return;
        };
        let rid = self.next_rid();
        self.write(&Frame::Sync(Sync {
            rid,
            epoch: position.epoch,
            cursor: position.cursor,
            max_bytes: self.config.sync_bytes,
        }));
        self.inbox.set_catch_up(CatchUp::Asked {
            rid,
            from: position.cursor,
            deadline: now.mono + self.config.sync_timeout,
        });
    }

    fn work_messages(&mut self, now: Now) {
        self.outbox.release_until(now.mono);
        let Some(live) = self.state.live() else {
            return;
        };
        let (window, frame_bytes_max) = (live.send_window, live.frame_bytes_max);
        for id in self.outbox.due(window) {
            if self.output.len() >= OUTPUT_BYTES_MAX {
                return;
            }
            let (entry, after) = self.outbox.send(id, now.mono);
            if SEND_BYTES_BESIDE_PAYLOAD + entry.payload.len() > frame_bytes_max {
                self.fail_message(id, Code::TOO_LARGE, "this server takes only smaller frames");
                continue;
            }
            assert!(entry.payload.len() <= PAYLOAD_BYTES_MAX, "checked before");
            let send = Send {
                client_msg_id: id,
                conversation: entry.conversation,
                after,
                kind: entry.kind,
                payload: &entry.payload,
            };
            millpond_wire::encode(&Frame::Send(send), &mut self.output);
        }
    }

    /// A message is refused for good.
    pub(super) fn fail_message(&mut self, id: u64, code: Code, message: &str) {
        let Some(entry) = self.outbox.resolve(id) else {
            return;
        };
        self.changes.push(Change::Removed(id));
        let message = message.to_owned();
        if entry.awaited {
            self.replies.push_back(Reply::Failed {
                client_msg_id: id,
                code,
                message,
            });
        } else {
            self.event(Event::Failed {
                client_msg_id: id,
                conversation: entry.conversation,
                code,
                message,
            });
        }
    }

    fn work_requests(&mut self, now: Now) {
        for (rid, request) in self.requests.take_due(now.mono) {
            self.write(&Frame::History(History {
                rid,
                conversation: request.conversation,
                from: request.from,
                limit: request.limit,
            }));
        }
    }

    fn expire_requests(&mut self, now: Now) {
        for rid in self.requests.take_expired(now.mono) {
            let error = RequestError::Timeout;
            self.replies.push_back(Reply::Refused { rid, error });
        }
    }

    fn work_marks(&mut self, now: Now) {
        loop {
            let marks = self.marks.take_due(now.mono, self.config.marks_after);
            if marks.is_empty() {
                return;
            }
            let marks = List::of(&marks);
            self.write(&Frame::Receipt(Receipt { marks }));
        }
    }

    fn ack_deadline(&self) -> Option<Duration> {
        let half = (self.config.window_records / 2).max(1);
        let records = self.config.ack_after_records.min(half);
        self.inbox.ack_due(records, self.config.ack_after)
    }

    pub(super) fn acknowledge_cursor(&mut self) {
        let Some(cursor) = self.inbox.acknowledge() else {
            return;
        };
        self.save_position();
        self.write(&Frame::CursorAck(CursorAck { cursor }));
    }

    /// What the application is through with need not come again, whether the server knows it or not.
    pub(super) fn save_position(&mut self) {
        let position = self.inbox.taken();
        if let Some(changed) = position.filter(|_| position != self.saved_position) {
            self.changes.push(Change::Position(changed));
            self.saved_position = position;
        }
    }

    /// A PING, which acknowledges too and asks for anything newer.
    pub(super) fn write_ping(&mut self, timeout: Duration, now: Now) {
        let cursor = match self.inbox.catch_up() {
            CatchUp::Done => self.inbox.acknowledge(),
            CatchUp::Wanted { .. }
            | CatchUp::Resumed { .. }
            | CatchUp::Asked { .. }
            | CatchUp::Reset { .. } => None,
        };
        self.save_position();
        self.write(&Frame::Ping(Ping { cursor }));
        self.marks.ping_sent();
        if let Some(live) = self.state.live() {
            live.next_ping = now.mono + live.ping_every;
            let by = now.mono + timeout;
            live.answer_by = Some(live.answer_by.map_or(by, |former| former.min(by)));
        }
    }

    /// When [`Core::tick`] has to be called at the latest.
    pub fn deadline(&mut self) -> Option<Duration> {
        let requests = self.requests.deadline(matches!(self.state, State::Live(_)));
        let own = match &self.state {
            State::Connecting { deadline } | State::Handshaking { deadline } => Some(*deadline),
            State::Backoff { until, .. } => Some(*until),
            State::Live(_) => self.live_deadline(),
            State::Resting | State::Token | State::Stopped => None,
        };
        own.into_iter().chain(requests).min()
    }

    fn live_deadline(&mut self) -> Option<Duration> {
        let reading = self.has_room();
        let ack_timeout = self.config.ack_timeout;
        let marks = self.marks.deadline(self.config.marks_after);
        let unanswered = self.outbox.oldest_flight().map(|at| at + ack_timeout);
        let catch_up = match self.inbox.catch_up() {
            CatchUp::Done => None,
            CatchUp::Wanted { at } => Some(at),
            CatchUp::Resumed { deadline, .. }
            | CatchUp::Asked { deadline, .. }
            | CatchUp::Reset { deadline } => Some(deadline),
        };
        let times = [
            marks,
            self.outbox.next_release(),
            self.ack_deadline(),
            catch_up,
        ];
        let live = self.state.live()?;
        let silence = [unanswered, live.answer_by].into_iter().flatten();
        let leave = live.leave.as_ref().map(|leave| leave.at);
        let next_ping = Some(live.next_ping);
        let times = times.into_iter().chain([leave, next_ping]).flatten();
        times.chain(silence.filter(|_| reading)).min()
    }
}
