//! A client that speaks the wire by hand, and says what the SDK never would: cursors that nobody gave out, ids used twice
//! for different things, garbage. It shows a token of a real user, so what it does is that user's doing.

use crate::chance::Chance;
use crate::device::{content, named};
use crate::door::{self, Doors};
use crate::notes::Notes;
use crate::operation::Operation;
use millpond_checker as checker;
use millpond_wire::{
    Bye, Class, Code, Conversation, CursorAck, Decoded, DeviceId, Echo, Error, Frame, From, Hello,
    History, Kind, List, Mark, MarkKind, PREFACE, PROTO, Ping, Pong, Receipt, Scope, Send, Sync,
    UserId, decode, encode,
};
use std::collections::BTreeMap;

/// Frames of a server fit.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Unfinished things it remembers.
const SENT_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Prober {
    pub(crate) user: u64,
    pub(crate) device: u64,
    token: Vec<u8>,
    attempt: u32,
    next_id: u64,
    socket: Option<Socket>,
    sent: Vec<Sent>,
    /// The id sent last, by conversation: what follows names it, so that nothing overtakes.
    last: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Socket {
    line: Box<dyn door::Socket>,
    out: Vec<u8>,
    input: Vec<u8>,
    open: bool,
    /// Of the inbox, from WELCOME.
    epoch: u64,
    cursor: u64,
}

#[derive(Clone, Debug)]
struct Sent {
    id: u64,
    to: u64,
    after: Option<u64>,
    payload: Vec<u8>,
    acked: bool,
}

impl Prober {
    pub(crate) fn new(user: u64, device: u64, token: Vec<u8>) -> Self {
        Self {
            user,
            device,
            token,
            attempt: 1_900_000_000,
            next_id: 1,
            socket: None,
            sent: Vec::new(),
            last: BTreeMap::new(),
        }
    }

    /// Speaks for a device that is connected elsewhere: whoever came first is sent away.
    pub(crate) fn impersonate(&mut self, user: u64, device: u64, token: Vec<u8>) {
        self.leave();
        self.user = user;
        self.device = device;
        self.token = token;
        self.sent.clear();
        self.last.clear();
    }

    pub(crate) fn leave(&mut self) {
        self.socket = None;
    }

    pub(crate) fn connect(&mut self, doors: &mut dyn Doors, place: usize, notes: &mut Notes) {
        if self.socket.is_some() {
            return;
        }
        let Some(line) = doors.connect(place) else {
            return;
        };
        self.attempt += 1;
        let mut out = PREFACE.to_vec();
        let hello = Hello {
            background: false,
            no_push: false,
            proto_min: PROTO,
            proto_max: PROTO,
            features: 0,
            device: DeviceId(self.device),
            attempt: self.attempt,
            auth_kind: Hello::AUTH_JWT,
            token: &self.token,
            agent: "prober",
            max_frame: BODY_BYTES_MAX as u64,
            window: 8,
            resume: None,
        };
        encode(&Frame::Hello(hello), &mut out);
        notes.see_frames(&out);
        notes.tell(|| (self.actor(), format!("connects to gateway {place}")));
        self.socket = Some(Socket {
            line,
            out,
            input: Vec::new(),
            open: false,
            epoch: 0,
            cursor: 0,
        });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.open)
    }

    pub(crate) fn pump(&mut self, notes: &mut Notes) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let answered = socket.line.is_answered();
        let written = socket.line.write(&socket.out);
        if let Ok(bytes) = written {
            socket.out.drain(..bytes);
        }
        match socket.line.read_at_most(usize::MAX) {
            Ok(bytes) if answered && written.is_ok() => {
                socket.input.extend_from_slice(&bytes);
                self.read_frames(notes);
            }
            Ok(_) | Err(_) => self.socket = None,
        }
    }

    fn read_frames(&mut self, notes: &mut Notes) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let input = std::mem::take(&mut socket.input);
        let mut at = 0;
        while at < input.len() {
            match decode(&input[at..], BODY_BYTES_MAX) {
                Ok(Decoded::Frame(frame, bytes)) => {
                    at += bytes;
                    self.frame(&frame, notes);
                }
                Ok(Decoded::Need(_)) => break,
                Err(malformed) => {
                    notes.find("Malformed", format!("a server sent garbage: {malformed}"));
                    self.socket = None;
                    return;
                }
            }
        }
        if let Some(socket) = &mut self.socket {
            socket.input = input[at..].to_vec();
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, notes: &mut Notes) {
        let (user, device, at) = (self.user, self.device, notes.now_us);
        match frame {
            Frame::Welcome(welcome) => {
                if let Some(socket) = &mut self.socket {
                    socket.open = true;
                    socket.epoch = welcome.epoch;
                }
            }
            Frame::SendAck(acks) => {
                for ack in acks.acks.iter() {
                    let id = ack.client_msg_id;
                    let Some(sent) = self.sent.iter_mut().find(|sent| sent.id == id) else {
                        continue;
                    };
                    sent.acked = true;
                    notes.tally.messages += 1;
                    notes.note(checker::Operation::Acked {
                        user,
                        device,
                        id,
                        seq: ack.seq,
                        at,
                    });
                }
            }
            Frame::Deliver(deliver) => {
                if let Some(socket) = &mut self.socket {
                    let count = deliver.records.iter().count() as u64;
                    socket.cursor = socket.cursor.max(deliver.first_cursor + count - 1);
                }
            }
            Frame::Error(error) => self.error(error, notes),
            _ => {}
        }
    }

    fn error(&mut self, error: &Error<'_>, notes: &mut Notes) {
        match error.scope {
            Scope::Connection => self.socket = None,
            Scope::Message(id) if error.code.class() == Class::Surface => {
                let known = self.sent.iter().find(|sent| sent.id == id);
                // A second body under an id is refused, and the first one stays what it is.
                if known.is_some() && error.code != Code::ID_REUSED {
                    notes.note(checker::Operation::Refused {
                        user: self.user,
                        device: self.device,
                        id,
                        code: error.code.0,
                        at: notes.now_us,
                    });
                }
            }
            Scope::Message(_) | Scope::Request(_) => {}
        }
    }

    /// Does one thing; nothing while it is not connected.
    pub(crate) fn act(
        &mut self,
        operation: Operation,
        users: u64,
        chance: &mut Chance,
        notes: &mut Notes,
    ) {
        if !self.is_open() {
            return;
        }
        notes.tell(|| (self.actor(), format!("{operation:?}")));
        match operation {
            Operation::RawSend => self.send(1 + chance.below(users), chance, notes),
            Operation::RawResend => self.resend(1, chance, notes),
            Operation::RawResendStorm => self.resend(20, chance, notes),
            Operation::RawOtherBody => self.other_body(chance, notes),
            Operation::RawGarbage => {
                let garbage: Vec<u8> = (0..20).map(|_| chance.next().to_le_bytes()[0]).collect();
                self.bytes(&garbage);
            }
            other => self.say(other, users, chance, notes),
        }
    }

    fn send(&mut self, to: u64, chance: &mut Chance, notes: &mut Notes) {
        if self.sent.len() == SENT_MAX {
            self.sent.remove(0);
        }
        let id = self.next_id;
        self.next_id += 1;
        let payload = chance.next().to_le_bytes().to_vec();
        let sent = Sent {
            id,
            to,
            after: self.last.insert(to, id),
            payload,
            acked: false,
        };
        let conversation = conversation(to);
        notes.note(checker::Operation::Sent {
            user: self.user,
            device: self.device,
            id,
            conversation: named(self.user, conversation),
            payload: content(Kind::TEXT, &sent.payload),
            at: notes.now_us,
        });
        self.put(&sent, notes);
        self.sent.push(sent);
    }

    fn put(&mut self, sent: &Sent, notes: &mut Notes) {
        let send = Send {
            client_msg_id: sent.id,
            conversation: conversation(sent.to),
            after: sent.after,
            kind: Kind::TEXT,
            payload: &sent.payload,
        };
        self.write(&Frame::Send(send), notes);
    }

    fn resend(&mut self, times: usize, chance: &mut Chance, notes: &mut Notes) {
        if self.sent.is_empty() {
            return;
        }
        let sent = chance.of(&self.sent).clone();
        for _ in 0..times {
            self.put(&sent, notes);
        }
    }

    /// Must be refused, once the first body is stored.
    fn other_body(&mut self, chance: &mut Chance, notes: &mut Notes) {
        let acked: Vec<_> = self.sent.iter().filter(|sent| sent.acked).collect();
        if acked.is_empty() {
            return;
        }
        let mut sent = (*chance.of(&acked)).clone();
        sent.payload = b"another body".to_vec();
        self.put(&sent, notes);
    }

    fn say(&mut self, operation: Operation, users: u64, chance: &mut Chance, notes: &mut Notes) {
        let Some(socket) = &self.socket else { return };
        let (epoch, cursor) = (socket.epoch, socket.cursor);
        let rid = 1 + chance.below(1_000);
        let direct = conversation(1 + chance.below(users));
        let id = 1 << 40 | self.next_id;
        let mark = [Mark {
            kind: *chance.of(&[MarkKind::Delivered, MarkKind::Read, MarkKind::Played]),
            conversation: direct,
            up_to: chance.below(40),
            user: None,
        }];
        let max_bytes = chance.below(4_000);
        let sync = |epoch, cursor| {
            Frame::Sync(Sync {
                rid,
                epoch,
                cursor,
                max_bytes,
            })
        };
        let send = |conversation, after| {
            Frame::Send(Send {
                client_msg_id: id,
                conversation,
                after,
                kind: Kind::TEXT,
                payload: b"never taken",
            })
        };
        let frame = match operation {
            Operation::RawAfterNothing => send(direct, Some(1 << 50)),
            Operation::RawToGroup => send(Conversation::Group(7), None),
            Operation::RawSync => {
                let from = if cursor == 0 { 0 } else { chance.below(cursor) };
                sync(epoch, from)
            }
            Operation::RawSyncAhead => sync(epoch, cursor + 1_000_000),
            Operation::RawCursorAck => Frame::CursorAck(CursorAck { cursor }),
            Operation::RawReceipt => Frame::Receipt(Receipt {
                marks: List::of(&mark),
            }),
            Operation::RawHistory => Frame::History(History {
                rid,
                conversation: direct,
                from: From::After(chance.below(30)),
                limit: chance.below(10),
            }),
            Operation::RawPing => Frame::Ping(Ping {
                cursor: chance.one_in(2).then_some(cursor),
            }),
            Operation::RawPong => Frame::Pong(Pong { server_ms: None }),
            Operation::RawEcho => Frame::Echo(Echo { payload: b"echo" }),
            Operation::RawComplain => Frame::Error(Error {
                code: Code::MALFORMED,
                scope: Scope::Connection,
                retry_after_ms: 0,
                message: "",
            }),
            Operation::RawBye => Frame::Bye(Bye {
                reason: Bye::LOGOUT,
            }),
            other => unreachable!("{other:?} is not said in one frame"),
        };
        self.write(&frame, notes);
    }

    fn write(&mut self, frame: &Frame<'_>, notes: &mut Notes) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        notes.see_frames(&bytes);
        self.bytes(&bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(socket) = &mut self.socket {
            socket.out.extend_from_slice(bytes);
        }
    }

    fn actor(&self) -> String {
        format!("prober of user {} device {}", self.user, self.device)
    }
}

fn conversation(user: u64) -> Conversation {
    Conversation::Direct(UserId::new(user).expect("users are small numbers"))
}
