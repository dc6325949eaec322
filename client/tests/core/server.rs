//! A server in a few lines: what is durable survives a connection, the rest does not. It delivers late, twice, with
//! gaps, refuses now and then, and checks what the specification asks of a client.

use millpond_client::{Conversation, DeviceId, Kind, Origin, UserId};
use millpond_wire::{
    Ack, AckStatus, Code, CursorAck, Decoded, Deliver, Error, Frame, Hello, List, Mode, PREFACE,
    Pong, Record, Records, Reset, Scope, Send, SendAck, Sync, SyncDone, Welcome, decode, encode,
    encode_record,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{HashMap, VecDeque};

pub(crate) const SEND_WINDOW: usize = 8;
pub(crate) const DEVICE: DeviceId = DeviceId(77);

/// What is durable.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) epoch: u64,
    pub(crate) inbox: Vec<Row>,
    /// Of my own messages: conversation, id → sequence.
    pub(crate) taken: HashMap<(Conversation, u64), u64>,
    heads: HashMap<Conversation, u64>,
    last_attempt: u32,
    pub(crate) acked: u64,
    /// Epochs that have ended, and the cursor up to which they stay good.
    losses: Vec<(u64, u64)>,
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) conversation: Conversation,
    pub(crate) seq: u64,
    pub(crate) id: Option<u64>,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) rows: Rows,
    pub(crate) rng: SmallRng,
    pub(crate) mischief: bool,
    connection: Connection,
}

#[derive(Default)]
struct Connection {
    preface: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    live: bool,
    sent: u64,
    named: u64,
    unanswered: VecDeque<Answer>,
    sync: Option<(u64, bool)>,
}

enum Answer {
    Ack(Ack),
    Refuse(u64, Code),
}

impl Server {
    pub(crate) fn new(seed: u64) -> Self {
        let rows = Rows {
            epoch: 5,
            ..Rows::default()
        };
        let rng = SmallRng::seed_from_u64(seed);
        let connection = Connection::default();
        Self {
            rows,
            rng,
            mischief: true,
            connection,
        }
    }

    pub(crate) fn connect(&mut self) {
        self.connection = Connection::default();
    }

    pub(crate) fn take_output(&mut self, bytes_max: usize) -> Vec<u8> {
        let bytes = bytes_max.min(self.connection.output.len());
        self.connection.output.drain(..bytes).collect()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        let connection = &self.connection;
        connection.live
            && connection.output.is_empty()
            && connection.unanswered.is_empty()
            && connection.sync.is_none()
            && connection.sent == self.head()
    }

    pub(crate) fn head(&self) -> u64 {
        self.rows.inbox.len() as u64
    }

    /// Somebody writes to us.
    pub(crate) fn peer_sends(&mut self, peer: u64) {
        let conversation = Conversation::Direct(UserId::new(peer).unwrap());
        let payload = vec![1; self.rng.random_range(0..300)];
        self.append(conversation, None, &payload);
    }

    fn append(&mut self, conversation: Conversation, id: Option<u64>, payload: &[u8]) -> u64 {
        let head = self.rows.heads.entry(conversation).or_default();
        *head += 1;
        let (seq, payload) = (*head, payload.to_vec());
        self.rows.inbox.push(Row {
            conversation,
            seq,
            id,
            payload,
        });
        seq
    }

    /// A new epoch: rows above `head` are gone from the inbox, though not from the conversations.
    pub(crate) fn lose_inbox(&mut self, head: usize) {
        self.rows.losses.push((self.rows.epoch, head as u64));
        self.rows.epoch += 1;
        self.rows.inbox.truncate(head);
        let connection = &mut self.connection;
        if connection.live || connection.sync.is_some() {
            let reset = Reset {
                epoch: self.rows.epoch,
                reason: Reset::EPOCH,
                // Only so far is it sure that the client has come.
                head: connection.named.min(head as u64),
            };
            encode(&Frame::Reset(reset), &mut connection.output);
            connection.live = false;
            connection.sync = None;
        }
    }

    /// Up to where a client is right that stands at `cursor` of `epoch`.
    fn good(&self, epoch: u64, cursor: u64) -> u64 {
        let since = self.rows.losses.iter().filter(|(ended, _)| *ended >= epoch);
        let lowest = since.map(|(_, head)| *head).min().unwrap_or(u64::MAX);
        cursor.min(lowest).min(self.head())
    }

    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.connection.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.connection.input);
        let mut rest = &input[..];
        if !self.connection.preface {
            let Some(behind) = rest.strip_prefix(&PREFACE) else {
                assert!(PREFACE.starts_with(rest));
                self.connection.input = input;
                return;
            };
            self.connection.preface = true;
            rest = behind;
        }
        while let Decoded::Frame(frame, bytes) = decode(rest, 64 * 1024).expect("a client's frame")
        {
            self.frame(frame);
            rest = &rest[bytes..];
        }
        self.connection.input = rest.to_vec();
    }

    fn frame(&mut self, frame: Frame<'_>) {
        match frame {
            Frame::Hello(hello) => self.hello(&hello),
            Frame::Send(send) => self.send(&send),
            Frame::Sync(sync) => self.sync(sync),
            Frame::CursorAck(CursorAck { cursor }) => self.acked(cursor),
            Frame::Ping(ping) => {
                if let Some(cursor) = ping.cursor {
                    self.acked(cursor);
                }
                let pong = Pong { server_ms: None };
                encode(&Frame::Pong(pong), &mut self.connection.output);
            }
            Frame::Bye(_) | Frame::Receipt(_) => {}
            other => panic!("not expected: {other:?}"),
        }
    }

    fn hello(&mut self, hello: &Hello<'_>) {
        assert!(hello.attempt > self.rows.last_attempt, "attempts grow");
        assert_eq!(hello.device, DEVICE);
        self.rows.last_attempt = hello.attempt;
        let (epoch, head) = (self.rows.epoch, self.head());
        let resume = hello.resume.as_ref();
        let resumed = resume.is_some_and(|r| r.epoch == epoch && r.cursor <= head);
        let reset = resume.is_some() && !resumed;
        let good = resume.map_or(0, |r| self.good(r.epoch, r.cursor));
        let welcome = welcome(epoch, resumed, reset);
        let connection = &mut self.connection;
        encode(&Frame::Welcome(welcome), &mut connection.output);
        if let (true, Some(resume)) = (resumed, resume) {
            connection.sync = Some((0, false));
            connection.sent = resume.cursor;
            connection.named = resume.cursor;
        }
        if reset {
            let reset = Reset {
                epoch,
                reason: Reset::AHEAD,
                head: good,
            };
            encode(&Frame::Reset(reset), &mut connection.output);
        }
    }

    fn send(&mut self, send: &Send<'_>) {
        let unanswered = &self.connection.unanswered;
        assert!(unanswered.len() < SEND_WINDOW, "the send window holds");
        let id = send.client_msg_id;
        let twice = unanswered.iter().any(|answer| match answer {
            Answer::Ack(ack) => ack.client_msg_id == id,
            Answer::Refuse(refused, _) => *refused == id,
        });
        assert!(!twice, "no SEND is on the way twice");
        let answer = self.answer(send);
        self.connection.unanswered.push_back(answer);
    }

    fn answer(&mut self, send: &Send<'_>) -> Answer {
        let (id, conversation) = (send.client_msg_id, send.conversation);
        if let Some(&seq) = self.rows.taken.get(&(conversation, id)) {
            return Answer::Ack(ack(id, seq, AckStatus::Duplicate));
        }
        let known = |after| self.rows.taken.contains_key(&(conversation, after));
        if send.after.is_some_and(|after| !known(after)) {
            return Answer::Refuse(id, Code::OUT_OF_ORDER);
        }
        if send.payload == b"forbidden" {
            return Answer::Refuse(id, Code::FORBIDDEN);
        }
        if self.mischief && self.rng.random_bool(0.1) {
            return Answer::Refuse(id, Code::BUSY);
        }
        let seq = self.append(conversation, Some(id), send.payload);
        self.rows.taken.insert((conversation, id), seq);
        Answer::Ack(ack(id, seq, AckStatus::New))
    }

    fn sync(&mut self, sync: Sync) {
        assert!(
            self.connection.sync.is_none_or(|(rid, _)| rid == 0),
            "one SYNC at a time"
        );
        if sync.epoch != self.rows.epoch || sync.cursor > self.head() {
            let reset = Reset {
                epoch: self.rows.epoch,
                reason: Reset::EPOCH,
                head: self.good(sync.epoch, sync.cursor),
            };
            encode(&Frame::Reset(reset), &mut self.connection.output);
            self.connection.live = false;
            self.connection.sync = None;
            return;
        }
        self.connection.sync = Some((sync.rid, true));
        self.connection.sent = sync.cursor;
        self.connection.named = self.connection.named.max(sync.cursor);
    }

    fn acked(&mut self, cursor: u64) {
        let delivered = self.connection.sent.max(self.connection.named);
        assert!(cursor <= delivered, "acknowledged {cursor} of {delivered}");
        self.rows.acked = cursor;
    }

    /// Does one thing that it has to do.
    pub(crate) fn work(&mut self) {
        if self.rng.random_bool(0.5) {
            self.answer_one();
        } else if let Some((rid, paged)) = self.connection.sync {
            self.page(rid, paged);
        } else if self.connection.live && self.connection.sent < self.head() {
            self.deliver_live();
        }
    }

    fn answer_one(&mut self) {
        let count = self.connection.unanswered.len();
        if count == 0 {
            return;
        }
        let place = if self.mischief {
            self.rng.random_range(0..count)
        } else {
            0
        };
        let answer = self.connection.unanswered.remove(place).unwrap();
        let output = &mut self.connection.output;
        match answer {
            Answer::Ack(ack) => {
                let acks = [ack];
                let acks = List::of(&acks);
                encode(&Frame::SendAck(SendAck { acks }), output);
            }
            Answer::Refuse(id, code) => {
                let error = Error {
                    code,
                    scope: Scope::Message(id),
                    retry_after_ms: if code == Code::BUSY { 20 } else { 0 },
                    message: "",
                };
                encode(&Frame::Error(error), output);
            }
        }
    }

    fn page(&mut self, rid: u64, paged: bool) {
        let count = self
            .rng
            .random_range(0..6)
            .min(self.head() - self.connection.sent);
        self.deliver(Mode::Sync, self.connection.sent + 1, count);
        self.connection.sent += count;
        let end = self.connection.sent == self.head();
        let more = !end && paged && count > 0 && self.rng.random_bool(0.3);
        if end || more {
            let cursor = self.connection.sent;
            let done = SyncDone { more, rid, cursor };
            encode(&Frame::SyncDone(done), &mut self.connection.output);
            self.connection.sync = None;
            self.connection.live = !more;
        }
    }

    fn deliver_live(&mut self) {
        let next = self.connection.sent + 1;
        let dice = if self.mischief {
            self.rng.random_range(0..10)
        } else {
            9
        };
        let first = match dice {
            // Again what was sent already, and a gap.
            0 => next.saturating_sub(3).max(1),
            1 => (next + 2).min(self.head()),
            _ => next,
        };
        let count = self.rng.random_range(1..4).min(self.head() + 1 - first);
        self.deliver(Mode::Live, first, count);
        self.connection.sent = self.connection.sent.max(first + count - 1);
    }

    fn deliver(&mut self, mode: Mode, first_cursor: u64, count: u64) {
        if count == 0 {
            return;
        }
        let mut bytes = Vec::new();
        for cursor in first_cursor..first_cursor + count {
            let row = &self.rows.inbox[usize::try_from(cursor).unwrap() - 1];
            encode_record(&record(row), &mut bytes);
        }
        let records = Records::from_encoded(&bytes);
        let deliver = Deliver {
            mode,
            first_cursor,
            records,
        };
        encode(&Frame::Deliver(deliver), &mut self.connection.output);
    }
}

fn record(row: &Row) -> Record<'_> {
    Record {
        kind: Kind::TEXT,
        origin: row.id.map(|client_msg_id| Origin {
            device: DEVICE,
            client_msg_id,
        }),
        stub: row.id.is_some(),
        counts: true,
        conversation: row.conversation,
        seq: row.seq,
        sender: None,
        server_ms: 1,
        payload: if row.id.is_some() { &[] } else { &row.payload },
    }
}

fn ack(client_msg_id: u64, seq: u64, status: AckStatus) -> Ack {
    Ack {
        client_msg_id,
        status,
        seq,
        server_ms: 1,
    }
}

pub(crate) fn welcome(epoch: u64, resumed: bool, reset: bool) -> Welcome<'static> {
    Welcome {
        resumed,
        reset,
        throttled: false,
        proto: 1,
        features: 0,
        session: 1,
        epoch,
        server_ms: 1,
        ping_active_ms: 30_000,
        ping_idle_ms: 285_000,
        max_frame: 65_536,
        send_window: SEND_WINDOW as u64,
        token_ttl_s: 0,
        resume_token: b"",
        dictionary: 0,
    }
}
