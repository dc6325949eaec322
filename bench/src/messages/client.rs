//! Pairs of users who write to each other: every message is acked, delivered to the partner, and both sides acknowledge
//! their inboxes. Whatever the server says is kept for the checker.

use super::history::{History, Received};
use super::identity::Identity;
use super::peer::{Peer, Seen, Stage};
use super::phase::Phase;
use crate::clock::{Clock, SECOND_NS};
use crate::generator::Scenario;
use crate::outbox::Outboxes;
use crate::program::Tokens;
use crate::report::Judged;
use crate::sockets::{Closed, Talk};
use crate::talk::{frames, greet};
use anyhow::{Context, bail, ensure};
use millpond_wire::{
    Ack, Class, CursorAck, Deliver, Error, Frame, Kind, Ping, Pong, Record, Scope, Send, SyncDone,
    encode,
};

pub(crate) struct MessagesClient {
    clock: Clock,
    tokens: Tokens,
    peers: Vec<Peer>,
    /// Whose turn it is.
    next: usize,
    payload: Vec<u8>,
    ack_every: u64,
    /// Until when every complete message brings the sender's next one (closed loop).
    keep_until_ns: u64,
    pub(crate) phase: Phase,
    history: History,
    /// Acked and delivered.
    complete: u64,
    outstanding: u64,
    live: usize,
    next_rid: u64,
    next_sweep_ns: u64,
    fault: Option<String>,
    identity: Identity,
    /// Asked for what was missing, and told what others have: for the report.
    pub(crate) syncs: u64,
    pub(crate) receipts: u64,
    repeats: u64,
}

/// Bytes of the intended time and the number.
const STAMP_BYTES: usize = 16;
/// What SYNC asks for at a time.
const SYNC_BYTES: u64 = 256 * 1024;
/// How often connections are looked at for what is due by time.
const SWEEP_NS: u64 = SECOND_NS;
const ENDING_SWEEP_NS: u64 = SECOND_NS / 20;
/// SENDs one connection leaves unanswered, however many the server takes.
const UNANSWERED_MAX: usize = 256;

impl MessagesClient {
    pub(crate) fn new(clock: Clock, tokens: Tokens, payload_bytes: u32, ack_every: u32) -> Self {
        Self {
            clock,
            tokens,
            peers: Vec::new(),
            next: 0,
            payload: vec![0xA5; payload_bytes as usize],
            ack_every: ack_every.into(),
            keep_until_ns: 0,
            phase: Phase::default(),
            history: History::default(),
            complete: 0,
            outstanding: 0,
            live: 0,
            next_rid: 1,
            next_sweep_ns: 0,
            fault: None,
            identity: Identity::new(),
            syncs: 0,
            receipts: 0,
            repeats: 0,
        }
    }

    /// Ends the phase: what is not seen through now never was.
    pub(crate) fn end_phase(&mut self) {
        self.phase.end(self.clock.now_ns());
        for peer in &self.peers {
            for sent in &peer.sent {
                self.phase
                    .lost(sent.intended_ns, sent.acked, sent.delivered);
            }
            for &intended_ns in &peer.waiting {
                self.phase.lost(intended_ns, false, false);
            }
        }
    }

    /// What the checker says of everything so far, once all is quiet.
    pub(crate) fn judge(&self) -> Judged {
        let caught_up = self.fault.is_none() && self.incomplete() == 0;
        self.history
            .judge(&self.identity, caught_up, self.repeats > 0)
    }

    /// Messages that were sent and never seen through.
    pub(crate) fn incomplete(&self) -> u64 {
        let open = |peer: &Peer| {
            let sent = peer
                .sent
                .iter()
                .filter(|sent| !(sent.acked && sent.delivered));
            sent.count() + peer.waiting.len()
        };
        self.peers.iter().map(|peer| open(peer) as u64).sum()
    }

    fn send(&mut self, at: usize, intended_ns: u64, outboxes: &mut Outboxes) {
        self.outstanding += 1;
        let peer = &mut self.peers[at];
        if peer.unanswered >= peer.send_window {
            peer.waiting.push_back(intended_ns);
        } else {
            self.send_now(at, intended_ns, outboxes);
        }
    }

    fn send_now(&mut self, at: usize, intended_ns: u64, outboxes: &mut Outboxes) {
        let number = self.peers[at].send(intended_ns);
        let now_ns = self.clock.now_ns();
        self.phase.sent(now_ns);
        self.history.sent(at, number, now_ns);
        self.put_send(at, number, intended_ns, outboxes);
    }

    fn put_send(&mut self, at: usize, number: u64, intended_ns: u64, outboxes: &mut Outboxes) {
        let peer = &self.peers[at];
        self.payload[..8].copy_from_slice(&intended_ns.to_be_bytes());
        self.payload[8..STAMP_BYTES].copy_from_slice(&number.to_be_bytes());
        let send = Frame::Send(Send {
            client_msg_id: self.identity.message(number),
            conversation: peer.conversation,
            after: None,
            kind: Kind::TEXT,
            payload: &self.payload,
        });
        outboxes.append(at, |out| encode(&send, out));
    }

    fn take(
        &mut self,
        at: usize,
        frame: &Frame<'_>,
        now_ns: u64,
        outboxes: &mut Outboxes,
    ) -> anyhow::Result<()> {
        match frame {
            Frame::SendAck(acks) => {
                for ack in acks.acks.iter() {
                    self.acked(at, ack, now_ns, outboxes)?;
                }
            }
            Frame::Deliver(deliver) => self.delivered(at, deliver, now_ns, outboxes)?,
            Frame::Welcome(welcome) => {
                self.identity.set_epoch(at, welcome.epoch);
                let window = usize::try_from(welcome.send_window).unwrap_or(UNANSWERED_MAX);
                self.peers[at].send_window = window.min(UNANSWERED_MAX);
                self.sync(at, outboxes);
            }
            Frame::SyncDone(done) => self.synced(at, *done, outboxes),
            Frame::Receipt(_) => self.receipts += 1,
            Frame::Ping(_) => {
                let pong = Frame::Pong(Pong { server_ms: None });
                outboxes.append(at, |out| encode(&pong, out));
            }
            Frame::Error(error) => self.refused(at, error, now_ns)?,
            Frame::GoAway(go_away) => bail!("the server said goodbye: {}", go_away.code),
            Frame::Reset(_) => bail!("the server took back an inbox that it had delivered"),
            Frame::Pong(_)
            | Frame::Hello(_)
            | Frame::Bye(_)
            | Frame::Echo(_)
            | Frame::Echoed(_)
            | Frame::Send(_)
            | Frame::CursorAck(_)
            | Frame::Sync(_)
            | Frame::History(_)
            | Frame::HistoryPage(_)
            | Frame::Ignored(_) => {}
        }
        Ok(())
    }

    fn acked(
        &mut self,
        at: usize,
        ack: Ack,
        now_ns: u64,
        outboxes: &mut Outboxes,
    ) -> anyhow::Result<()> {
        let peer = &mut self.peers[at];
        let number = self.identity.number(ack.client_msg_id);
        let seen = peer
            .acked(number)
            .context("an ack of a message that was never sent")?;
        self.history.acked(at, number, ack.seq, now_ns);
        let Seen::First {
            intended_ns,
            complete,
        } = seen
        else {
            return Ok(());
        };
        peer.unanswered = peer.unanswered.saturating_sub(1);
        self.phase.acked(intended_ns, now_ns);
        if let Some(intended_ns) = self.peers[at].waiting.pop_front() {
            self.send_now(at, intended_ns, outboxes);
        }
        if complete {
            self.completed(at, now_ns, outboxes);
        }
        Ok(())
    }

    fn completed(&mut self, at: usize, now_ns: u64, outboxes: &mut Outboxes) {
        self.complete += 1;
        self.outstanding -= 1;
        if now_ns < self.keep_until_ns {
            self.send(at, now_ns, outboxes);
        }
    }

    fn delivered(
        &mut self,
        at: usize,
        deliver: &Deliver<'_>,
        now_ns: u64,
        outboxes: &mut Outboxes,
    ) -> anyhow::Result<()> {
        if deliver.first_cursor > self.peers[at].cursor + 1 {
            if self.peers[at].stage == Stage::Live {
                self.sync(at, outboxes);
            }
            return Ok(());
        }
        for (cursor, record) in (deliver.first_cursor..).zip(deliver.records.iter()) {
            self.record(at, cursor, &record, now_ns, outboxes)?;
            self.peers[at].cursor = self.peers[at].cursor.max(cursor);
        }
        if self.peers[at].unacknowledged() >= self.ack_every {
            self.acknowledge(at, outboxes);
        }
        Ok(())
    }

    /// A record of this user's inbox; one that came again changes nothing, but the checker sees it.
    fn record(
        &mut self,
        at: usize,
        cursor: u64,
        record: &Record<'_>,
        now_ns: u64,
        outboxes: &mut Outboxes,
    ) -> anyhow::Result<()> {
        ensure!(
            record.conversation == self.peers[at].conversation,
            "user {at} got a message of another conversation"
        );
        let received = |own, number| Received {
            own,
            number,
            cursor,
            seq: record.seq,
        };
        if let Some(origin) = record.origin {
            let number = self.identity.number(origin.client_msg_id);
            self.history.received(at, received(true, number), now_ns);
            return Ok(());
        }
        let partner = at ^ 1;
        ensure!(
            record.payload.len() == self.payload.len()
                && record.payload[STAMP_BYTES..] == self.payload[STAMP_BYTES..],
            "a payload that is not what was sent"
        );
        let number = word(record.payload, 8);
        self.history.received(at, received(false, number), now_ns);
        let seen = self.peers[partner].delivered(number);
        let seen = seen.context("a delivery of a message that was never sent")?;
        if let Seen::First {
            intended_ns,
            complete,
        } = seen
        {
            ensure!(
                intended_ns == word(record.payload, 0),
                "a payload that is not what was sent"
            );
            self.phase.delivered(intended_ns, now_ns);
            if complete {
                self.completed(partner, now_ns, outboxes);
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, at: usize, outboxes: &mut Outboxes) {
        let peer = &mut self.peers[at];
        peer.acknowledged = peer.cursor;
        let cursor = peer.cursor;
        outboxes.append(at, |out| {
            encode(&Frame::CursorAck(CursorAck { cursor }), out)
        });
    }

    fn sync(&mut self, at: usize, outboxes: &mut Outboxes) {
        self.syncs += 1;
        let rid = self.next_rid;
        self.next_rid += 1;
        let peer = &mut self.peers[at];
        peer.stage = peer.stage.syncing();
        let sync = Frame::Sync(millpond_wire::Sync {
            rid,
            epoch: self.identity.epoch(at),
            cursor: peer.cursor,
            max_bytes: SYNC_BYTES,
        });
        outboxes.append(at, |out| encode(&sync, out));
    }

    fn synced(&mut self, at: usize, done: SyncDone, outboxes: &mut Outboxes) {
        if done.more {
            return self.sync(at, outboxes);
        }
        let peer = &mut self.peers[at];
        self.live += usize::from(peer.stage == Stage::Opening);
        peer.stage = Stage::Live;
    }

    fn refused(&mut self, at: usize, error: &Error<'_>, now_ns: u64) -> anyhow::Result<()> {
        let repeat = error.code.class() == Class::Repeat;
        let at_ns = now_ns.saturating_add(error.retry_after_ms.saturating_mul(1_000_000));
        let peer = &mut self.peers[at];
        match error.scope {
            Scope::Message(id) if repeat => {
                peer.repeats.push_back((at_ns, self.identity.number(id)));
                self.phase.repeats += 1;
                self.repeats += 1;
                Ok(())
            }
            Scope::Request(_) if repeat => {
                peer.stage = peer.stage.refused();
                Ok(())
            }
            Scope::Message(id) => {
                let number = self.identity.number(id);
                self.history.refused(at, number, error.code.0, now_ns);
                bail!("the server refused a message: {}", error.code)
            }
            Scope::Request(_) | Scope::Connection => {
                bail!("the server refused: {} {}", error.code, error.message)
            }
        }
    }

    /// Looks at everybody for what is due by time alone.
    fn sweep(&mut self, now_ns: u64, outboxes: &mut Outboxes) {
        for at in 0..self.peers.len() {
            self.repeat_due(at, now_ns, outboxes);
            if self.peers[at].stage.wants_sync() {
                self.sync(at, outboxes);
            }
            if self.peers[at ^ 1].waits_for_delivery(now_ns) {
                let cursor = self.peers[at].cursor;
                self.peers[at].acknowledged = cursor;
                let ping = Frame::Ping(Ping {
                    cursor: Some(cursor),
                });
                outboxes.append(at, |out| encode(&ping, out));
            } else if self.peers[at].unacknowledged() > 0 {
                self.acknowledge(at, outboxes);
            }
        }
    }

    fn repeat_due(&mut self, at: usize, now_ns: u64, outboxes: &mut Outboxes) {
        while let Some(&(due_ns, number)) = self.peers[at].repeats.front() {
            if due_ns > now_ns {
                return;
            }
            self.peers[at].repeats.pop_front();
            if let Some(intended_ns) = self.peers[at].intended_ns(number) {
                self.put_send(at, number, intended_ns, outboxes);
            }
        }
    }
}

fn word(payload: &[u8], at: usize) -> u64 {
    let bytes = payload[at..at + 8].try_into();
    u64::from_be_bytes(bytes.expect("eight bytes are eight bytes"))
}

impl Talk for MessagesClient {
    fn received(&mut self, at: usize, bytes: &[u8], outboxes: &mut Outboxes) -> usize {
        let now_ns = self.clock.now_ns();
        let taken = frames(bytes, |frame| self.take(at, &frame, now_ns, outboxes));
        taken.unwrap_or_else(|error| {
            self.fault
                .get_or_insert_with(|| format!("connection {at}: {error:#}"));
            bytes.len()
        })
    }

    fn closed(&mut self, at: usize, why: Closed) {
        let what = format!("connection {at} was closed ({why:?})");
        self.fault.get_or_insert(what);
    }
}

impl Scenario for MessagesClient {
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.identity.add(0);
        self.peers.push(Peer::new(self.identity.user(at ^ 1)));
        let (user, device) = (self.identity.user(at), self.identity.device());
        greet(device, &(self.tokens)(user, device)?, out);
        Ok(())
    }

    fn ready(&self, _open: usize) -> usize {
        self.live
    }

    fn due(&mut self, intended_ns: u64, outboxes: &mut Outboxes) {
        let at = self.next;
        self.next = (at + 1) % self.peers.len();
        self.send(at, intended_ns, outboxes);
    }

    fn keep(&mut self, in_flight: u32, until_ns: u64, outboxes: &mut Outboxes) {
        self.keep_until_ns = until_ns;
        for _ in 0..in_flight {
            for at in 0..self.peers.len() {
                self.send(at, self.clock.now_ns(), outboxes);
            }
        }
    }

    fn tend(&mut self, now_ns: u64, ending: bool, outboxes: &mut Outboxes) {
        if now_ns < self.next_sweep_ns {
            return;
        }
        self.next_sweep_ns = now_ns + if ending { ENDING_SWEEP_NS } else { SWEEP_NS };
        if self.history.is_full() {
            self.fault
                .get_or_insert("the history for the checker is full: ask for less".into());
        }
        self.sweep(now_ns, outboxes);
    }

    fn answered(&self) -> u64 {
        self.complete
    }

    fn outstanding(&self) -> u64 {
        let unacknowledged = self.peers.iter().filter(|peer| peer.unacknowledged() > 0);
        self.outstanding + unacknowledged.count() as u64
    }

    fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

#[cfg(test)]
mod tests;
