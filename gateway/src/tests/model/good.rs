//! A client that follows the specification, over a world that does not help: reconnects, repeats, resumes, and checks
//! everything it is told.

use super::chance::Chance;
use crate::tests::mill::{token, user};
use millpond_ring::{Net, Peer};
use millpond_wire::{
    Class, Conversation, CursorAck, Decoded, Deliver, DeviceId, Echo, Error, Frame, From, Hello,
    History, Kind, List, Mark, MarkKind, PREFACE, Ping, Receipt, Resume, Scope, Send, Sync, UserId,
    decode, encode,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const HISTORY_RID: u64 = 2;
/// An id that no client uses.
pub(super) const NEVER_SENT: u64 = u64::MAX;
/// Of a server's frames, every body: what each client has to take.
const BODY_BYTES_MAX: usize = 65_536;
/// How far beyond its inbox a client claims to be when it claims too much.
const AHEAD: u64 = 1_000;
/// Steps without an answer before a client repeats, or asks whether it missed something.
const PATIENCE: usize = 40;
/// SENDs unanswered: what the specification allows before WELCOME, too.
const SENDS_OPEN: usize = 6;

#[derive(Debug)]
pub(super) struct Good {
    user: UserId,
    device: DeviceId,
    /// Some of its messages are as long as they may be, and it reads as much at a time.
    large: bool,
    token: String,
    attempt: u32,
    epoch: Option<u64>,
    cursor: u64,
    to_send: VecDeque<(u64, UserId)>,
    unacked: BTreeMap<u64, UserId>,
    echoes_left: usize,
    connection: Option<Connection>,
    /// Steps since something came.
    waited: usize,
    calm: bool,
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    out: Vec<u8>,
    bytes: Vec<u8>,
    welcomed: bool,
    syncing: bool,
    echoes: VecDeque<Vec<u8>>,
}

impl Good {
    pub(super) fn new(
        (user_, device): (UserId, DeviceId),
        users: u64,
        large: bool,
        chance: &mut Chance,
    ) -> Self {
        let sends = 3 + chance.below(8) as u64;
        let to_send = (1..=sends)
            .map(|id| (id, user(1 + chance.next() % users)))
            .collect();
        Self {
            user: user_,
            device,
            large,
            token: token(user_),
            attempt: 0,
            epoch: None,
            cursor: 0,
            to_send,
            unacked: BTreeMap::new(),
            echoes_left: chance.below(30),
            connection: None,
            waited: 0,
            calm: false,
        }
    }

    pub(super) fn user(&self) -> UserId {
        self.user
    }

    pub(super) fn device(&self) -> DeviceId {
        self.device
    }

    /// From now on it does not break off by itself.
    pub(super) fn ask_no_more(&mut self) {
        self.calm = true;
    }

    /// It has all answers and its whole inbox, and its inbox knows.
    pub(super) fn is_done(&self, head: u64, acked: u64) -> bool {
        let echoed = self
            .connection
            .as_ref()
            .is_some_and(|it| it.echoes.is_empty());
        let sent = self.to_send.is_empty() && self.unacked.is_empty();
        sent && echoed && self.echoes_left == 0 && self.cursor == head && acked == head
    }

    pub(super) fn read_away(&mut self) {
        if let Some(connection) = &mut self.connection {
            let _ = connection.peer.read();
        }
    }

    pub(super) fn step(&mut self, net: &Net, to: SocketAddr, chance: &mut Chance) {
        if self.connection.is_none() {
            return self.connect(net, to, chance);
        }
        if !self.calm && chance.below(100) == 0 {
            let peer = self.connection.take().unwrap().peer;
            return if chance.in_ten(5) {
                peer.close()
            } else {
                peer.reset()
            };
        }
        self.waited += 1;
        if !self.read(chance) || !self.write(chance) {
            self.connection = None;
            return;
        }
        if self.connection.as_ref().is_some_and(|it| it.welcomed) {
            self.talk(chance);
        }
    }

    fn connect(&mut self, net: &Net, to: SocketAddr, chance: &mut Chance) {
        self.attempt += 1;
        let port = self.user.value() * 10 + self.device.0;
        let from = SocketAddr::from(([127, 0, 0, 2], u16::try_from(port).unwrap()));
        let ahead = if !self.calm && chance.below(20) == 0 {
            AHEAD
        } else {
            0
        };
        let mut out = PREFACE.to_vec();
        let resume = self.epoch.filter(|_| chance.in_ten(7)).map(|epoch| Resume {
            token: &[],
            epoch,
            cursor: self.cursor + ahead,
        });
        let hello = Frame::Hello(Hello {
            background: chance.in_ten(5),
            no_push: false,
            proto_min: 1,
            proto_max: 1,
            features: 0,
            device: self.device,
            attempt: self.attempt,
            auth_kind: Hello::AUTH_JWT,
            token: self.token.as_bytes(),
            agent: "model",
            max_frame: 0,
            window: 0,
            resume,
        });
        encode(&hello, &mut out);
        self.waited = 0;
        self.connection = Some(Connection {
            peer: net.connect(to, from).unwrap(),
            out,
            bytes: Vec::new(),
            welcomed: false,
            syncing: false,
            echoes: VecDeque::new(),
        });
        for (id, to) in self.unacked.clone() {
            self.send(id, to);
        }
    }

    fn say(&mut self, frame: &Frame<'_>) {
        encode(frame, &mut self.connection.as_mut().unwrap().out);
    }

    fn send(&mut self, id: u64, to: UserId) {
        let payload = payload(self.user, to, id, self.large);
        self.say(&Frame::Send(Send {
            client_msg_id: id,
            conversation: Conversation::Direct(to),
            after: None,
            kind: Kind::TEXT,
            payload: payload.as_bytes(),
        }));
    }

    fn sync(&mut self) {
        let connection = self.connection.as_mut().unwrap();
        if connection.syncing {
            return;
        }
        connection.syncing = true;
        let sync = Sync {
            rid: 1,
            epoch: self.epoch.unwrap(),
            cursor: self.cursor,
            max_bytes: 0,
        };
        self.say(&Frame::Sync(sync));
    }

    fn talk(&mut self, chance: &mut Chance) {
        if self.unacked.len() < SENDS_OPEN
            && chance.in_ten(3)
            && let Some((id, to)) = self.to_send.pop_front()
        {
            self.unacked.insert(id, to);
            self.send(id, to);
        }
        if self.echoes_left > 0 && chance.in_ten(4) {
            self.echoes_left -= 1;
            let most = if chance.in_ten(1) { 4_096 } else { 200 };
            let bytes = chance.below(most);
            let payload = vec![chance.next().to_be_bytes()[0]; bytes];
            self.say(&Frame::Echo(Echo { payload: &payload }));
            self.connection.as_mut().unwrap().echoes.push_back(payload);
        }
        match chance.below(30) {
            0 => self.say(&Frame::CursorAck(CursorAck {
                cursor: self.cursor,
            })),
            1 => self.say(&Frame::History(History {
                rid: HISTORY_RID,
                conversation: Conversation::Direct(self.user),
                from: From::Before(u64::MAX),
                limit: 3,
            })),
            2 => {
                let mark = Mark {
                    kind: MarkKind::Read,
                    conversation: Conversation::Direct(self.user),
                    up_to: 1,
                    user: None,
                };
                let marks = List::of(std::slice::from_ref(&mark));
                self.say(&Frame::Receipt(Receipt { marks }));
            }
            _ => {}
        }
        if self.waited > PATIENCE {
            self.waited = 0;
            let cursor = Some(self.cursor);
            self.say(&Frame::Ping(Ping { cursor }));
            for (id, to) in self.unacked.clone() {
                self.send(id, to);
            }
        }
    }

    /// Writes a part of what is to be said; `false` when the other side is gone.
    fn write(&mut self, chance: &mut Chance) -> bool {
        let connection = self.connection.as_mut().unwrap();
        let part = 1 + chance.below(connection.out.len().max(1));
        let part = part.min(connection.out.len());
        let Ok(written) = connection.peer.write(&connection.out[..part]) else {
            return self.read_to_the_end();
        };
        connection.out.drain(..written);
        true
    }

    fn read(&mut self, chance: &mut Chance) -> bool {
        if chance.in_ten(3) {
            return true;
        }
        let connection = self.connection.as_mut().unwrap();
        let most = if self.large { 100_000 } else { 2_000 };
        match connection.peer.read_at_most(1 + chance.below(most)) {
            Ok(bytes) => connection.bytes.extend(bytes),
            Err(_) => return false,
        }
        self.take_frames();
        true
    }

    /// The other side takes nothing: what it said last is still read.
    fn read_to_the_end(&mut self) -> bool {
        let connection = self.connection.as_mut().unwrap();
        while let Ok(bytes) = connection.peer.read()
            && !bytes.is_empty()
        {
            connection.bytes.extend(bytes);
        }
        self.take_frames();
        false
    }

    fn take_frames(&mut self) {
        let bytes = std::mem::take(&mut self.connection.as_mut().unwrap().bytes);
        let mut at = 0;
        while at < bytes.len() {
            let decoded = decode(&bytes[at..], BODY_BYTES_MAX).expect("a server's bytes are good");
            let Decoded::Frame(frame, consumed) = decoded else {
                break;
            };
            at += consumed;
            self.hear(&frame);
        }
        self.connection.as_mut().unwrap().bytes = bytes[at..].to_vec();
    }

    fn hear(&mut self, frame: &Frame<'_>) {
        self.waited = 0;
        let connection = self.connection.as_mut().unwrap();
        match frame {
            Frame::Welcome(welcome) => {
                assert!(!connection.welcomed);
                connection.welcomed = true;
                self.epoch = Some(welcome.epoch);
                // Resumed, it delivers by itself; reset, RESET follows.
                connection.syncing = welcome.resumed || welcome.reset;
                if !connection.syncing {
                    self.sync();
                }
            }
            Frame::Echoed(echoed) => {
                let expected = connection.echoes.pop_front();
                assert_eq!(
                    expected.as_deref(),
                    Some(echoed.payload),
                    "echoes keep their order"
                );
            }
            Frame::SendAck(ack) => {
                for ack in ack.acks.iter() {
                    assert_ne!(ack.client_msg_id, NEVER_SENT, "an answer for somebody else");
                    self.unacked.remove(&ack.client_msg_id);
                }
            }
            Frame::Deliver(deliver) => self.delivered(deliver),
            Frame::SyncDone(done) => {
                connection.syncing = false;
                if done.more {
                    self.sync();
                }
            }
            Frame::Reset(reset) => {
                connection.syncing = false;
                self.epoch = Some(reset.epoch);
                self.cursor = reset.head;
                self.sync();
            }
            Frame::Error(error) => self.refused(error),
            Frame::HistoryPage(page) => {
                assert_eq!(page.rid, HISTORY_RID);
                let own = payload_start(self.user, self.user);
                let mut said = page.records.iter();
                assert!(said.all(|record| record.payload.starts_with(own.as_bytes())));
            }
            Frame::Pong(_) | Frame::GoAway(_) => {}
            other => panic!("{:?} hears {other:?}", self.user),
        }
    }

    fn delivered(&mut self, deliver: &Deliver<'_>) {
        for (cursor, record) in (deliver.first_cursor..).zip(deliver.records.iter()) {
            if cursor > self.cursor + 1 {
                return self.sync();
            }
            let Conversation::Direct(peer) = record.conversation else {
                panic!("nobody has groups")
            };
            let (from, to) = match record.origin {
                Some(_) => (self.user, peer),
                None => (peer, self.user),
            };
            let said = String::from_utf8(record.payload.to_vec()).unwrap();
            assert!(
                said.starts_with(&payload_start(from, to)),
                "{said} for {:?}",
                self.user
            );
            self.cursor = cursor.max(self.cursor);
        }
        self.say(&Frame::CursorAck(CursorAck {
            cursor: self.cursor,
        }));
    }

    fn refused(&mut self, error: &Error<'_>) {
        match (error.scope, error.code.class()) {
            (Scope::Message(id), Class::Repeat) => {
                if let Some(to) = self.unacked.remove(&id) {
                    self.to_send.push_back((id, to));
                }
            }
            (Scope::Request(1), Class::Repeat) => {
                self.connection.as_mut().unwrap().syncing = false;
                self.sync();
            }
            // The second is of marks, which need not arrive.
            (Scope::Request(HISTORY_RID | 0), Class::Repeat) => {}
            (Scope::Connection, Class::Reconnect | Class::Repeat | Class::Fresh) => {}
            _ => panic!("{:?} is refused: {error:?}", self.user),
        }
    }
}

fn payload_start(from: UserId, to: UserId) -> String {
    format!("{from} to {to}:")
}

fn payload(from: UserId, to: UserId, id: u64, large: bool) -> String {
    let most = if large && id.is_multiple_of(2) {
        61_000
    } else {
        400
    };
    let long = usize::try_from(id * 7_919 % most).unwrap();
    format!("{} {id} {}", payload_start(from, to), "x".repeat(long))
}
