//! Millpond's clients in a crowd: each is one device of one user, who has never been there before. What the checker needs
//! is told it as it happens.

use super::{Heard, Messaging, Protocol};
use crate::program::Tokens;
use crate::report::Judged;
use crate::talk::{frames, hello, unix_ms};
use anyhow::{Context, bail, ensure};
use millpond_checker::{Checker, Conversation as Named, Operation};
use millpond_wire::{
    Conversation, CursorAck, Deliver, DeviceId, Frame, Hello, Kind, PREFACE, Ping, Pong, Record,
    Resume, Send, Sync, UserId, Welcome, encode,
};
use std::time::Duration;

/// Bytes of a message's body: intended time, number, sender, and filling.
const BODY_BYTES: usize = 128;
const STAMP_BYTES: usize = 24;
const FILLING: u8 = 0xA5;
/// Resume tokens of this size or smaller are kept.
const RESUME_BYTES: usize = 63;
/// Ids that one run may use.
const RUN_BITS: u32 = 21;

pub(crate) struct Millpond {
    tokens: Tokens,
    /// The first user's id.
    base: u64,
    first_message: u64,
    devices: usize,
    people: Vec<Person>,
    checker: Checker,
}

/// What a client keeps of its session, as an application would keep it on its disk.
#[derive(Clone, Copy)]
struct Person {
    epoch: u64,
    cursor: u32,
    lives: u8,
    resume: [u8; RESUME_BYTES],
    resume_bytes: u8,
}

const _: () = assert!(size_of::<Person>() <= 88, "an idle client is small");

impl Person {
    const NEW: Self = Self {
        epoch: 0,
        cursor: 0,
        lives: 0,
        resume: [0; RESUME_BYTES],
        resume_bytes: 0,
    };

    fn resume(&self) -> Option<Resume<'_>> {
        (self.resume_bytes > 0).then(|| Resume {
            token: &self.resume[..usize::from(self.resume_bytes)],
            epoch: self.epoch,
            cursor: self.cursor.into(),
        })
    }
}

impl Millpond {
    /// Every user has so many devices, which follow each other.
    pub(crate) fn new(tokens: Tokens, connections: u32, devices: u32) -> Self {
        Self {
            tokens,
            devices: devices as usize,
            base: unix_ms() << RUN_BITS,
            first_message: unix_ms() << 20,
            people: Vec::with_capacity(connections as usize),
            checker: Checker::new(),
        }
    }

    fn user(&self, at: usize) -> UserId {
        let user = UserId::new(self.base + (at / self.devices) as u64);
        user.expect("milliseconds are not 0, nor 2^42")
    }

    fn device(&self, at: usize) -> DeviceId {
        DeviceId(self.base + (at % self.devices) as u64)
    }

    fn welcome(&mut self, at: usize, welcome: &Welcome<'_>, out: &mut Vec<u8>) -> Heard {
        let person = &mut self.people[at];
        person.epoch = welcome.epoch;
        person.resume_bytes = 0;
        if let Some(place) = person.resume.get_mut(..welcome.resume_token.len()) {
            place.copy_from_slice(welcome.resume_token);
            person.resume_bytes = u8::try_from(welcome.resume_token.len()).unwrap_or(0);
        }
        if !welcome.resumed {
            let sync = Frame::Sync(Sync {
                rid: 1,
                epoch: person.epoch,
                cursor: person.cursor.into(),
                max_bytes: 0,
            });
            encode(&sync, out);
        }
        Heard::Established {
            heartbeat: Duration::from_millis(welcome.ping_idle_ms),
        }
    }

    fn delivered(
        &mut self,
        at: usize,
        deliver: &Deliver<'_>,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<()> {
        for (cursor, record) in (deliver.first_cursor..).zip(deliver.records.iter()) {
            self.record(at, cursor, &record, heard)?;
            let person = &mut self.people[at];
            let cursor = u32::try_from(cursor).context("a cursor beyond this run")?;
            person.cursor = person.cursor.max(cursor);
        }
        let cursor = self.people[at].cursor.into();
        encode(&Frame::CursorAck(CursorAck { cursor }), out);
        Ok(())
    }

    fn record(
        &mut self,
        at: usize,
        cursor: u64,
        record: &Record<'_>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<()> {
        let own = record
            .origin
            .map(|origin| (origin.device.0, origin.client_msg_id));
        // What this very device sent comes back without its payload.
        let payload = match own {
            Some((device, _)) if device == self.device(at).0 => None,
            _ => Some(number(record.payload)?),
        };
        heard.extend(payload.map(|number| Heard::Delivered { number }));
        let Conversation::Direct(other) = record.conversation else {
            bail!("a record of a conversation that nobody began");
        };
        let user = self.user(at).value();
        self.checker.note(Operation::Delivered {
            user,
            device: self.device(at).0,
            epoch: self.people[at].epoch,
            cursor,
            conversation: Named::direct(user, other.value()),
            seq: record.seq,
            sender: if own.is_some() { user } else { other.value() },
            origin: own,
            payload,
            at: record.server_ms,
        });
        Ok(())
    }

    fn frame(
        &mut self,
        at: usize,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<()> {
        match frame {
            Frame::Welcome(welcome) => {
                let established = self.welcome(at, welcome, out);
                heard.push(established);
            }
            Frame::Pong(_) => heard.push(Heard::HeartbeatAnswered),
            Frame::Ping(_) => encode(&Frame::Pong(Pong { server_ms: None }), out),
            Frame::SendAck(acks) => {
                let user = self.user(at).value();
                for ack in acks.acks.iter() {
                    self.checker.note(Operation::Acked {
                        user,
                        device: self.device(at).0,
                        id: ack.client_msg_id,
                        seq: ack.seq,
                        at: 0,
                    });
                    let number = ack.client_msg_id.wrapping_sub(self.first_message);
                    heard.push(Heard::Acked { number });
                }
            }
            Frame::Deliver(deliver) => self.delivered(at, deliver, out, heard)?,
            Frame::Error(error) => heard.push(Heard::Refused { code: error.code.0 }),
            Frame::GoAway(away) => heard.push(Heard::Refused { code: away.code.0 }),
            Frame::Reset(_) => bail!("the server took back an inbox that it had delivered"),
            Frame::SyncDone(_)
            | Frame::Receipt(_)
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
}

impl Protocol for Millpond {
    /// Who was there before shows what it was given then.
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if at == self.people.len() {
            self.people.push(Person::NEW);
        }
        let (user, device) = (self.user(at), self.device(at));
        let person = &mut self.people[at];
        person.lives = person.lives.saturating_add(1);
        let resume = person.resume();
        let token = match resume {
            Some(_) => String::new(),
            None => (self.tokens)(user, device)?,
        };
        let now_s = u32::try_from(unix_ms() / 1_000).unwrap_or(u32::MAX);
        out.extend_from_slice(&PREFACE);
        let hello = Hello {
            background: true,
            auth_kind: if resume.is_some() {
                Hello::AUTH_RESUME
            } else {
                Hello::AUTH_JWT
            },
            attempt: now_s.saturating_add(person.lives.into()),
            resume,
            ..hello(device, &token)
        };
        encode(&Frame::Hello(hello), out);
        Ok(())
    }

    fn received(
        &mut self,
        at: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<usize> {
        frames(bytes, |frame| self.frame(at, &frame, out, heard))
    }

    fn heartbeat(&mut self, at: usize, out: &mut Vec<u8>) {
        let cursor = Some(self.people[at].cursor.into());
        encode(&Frame::Ping(Ping { cursor }), out);
    }

    /// A server that will not open what it sealed gets a JWT the next time.
    fn lost(&mut self, at: usize) {
        self.people[at].resume_bytes = 0;
    }
}

impl Messaging for Millpond {
    fn echoes(&self) -> bool {
        false
    }

    fn acks(&self) -> bool {
        true
    }

    fn message(
        &mut self,
        (from, to): (usize, usize),
        number: u64,
        intended_ns: u64,
        out: &mut Vec<u8>,
    ) {
        let mut body = [FILLING; BODY_BYTES];
        body[..8].copy_from_slice(&intended_ns.to_be_bytes());
        body[8..16].copy_from_slice(&number.to_be_bytes());
        body[16..STAMP_BYTES].copy_from_slice(&(from as u64).to_be_bytes());
        let id = self.first_message + number;
        let (user, other) = (self.user(from).value(), self.user(to).value());
        self.checker.note(Operation::Sent {
            user,
            device: self.device(from).0,
            id,
            conversation: Named::direct(user, other),
            payload: number,
            at: intended_ns / 1_000,
        });
        let send = Frame::Send(Send {
            client_msg_id: id,
            conversation: Conversation::Direct(self.user(to)),
            after: None,
            kind: Kind::TEXT,
            payload: &body,
        });
        encode(&send, out);
    }

    fn judge(&mut self, caught_up: Vec<usize>, now_ns: u64) -> Judged {
        let mut checker = std::mem::take(&mut self.checker);
        for at in caught_up {
            checker.note(Operation::CaughtUp {
                user: self.user(at).value(),
                device: self.device(at).0,
                at: now_ns / 1_000,
            });
        }
        Judged::of(&checker.finish(), true)
    }
}

/// The number of a message of this run.
fn number(payload: &[u8]) -> anyhow::Result<u64> {
    let ours =
        payload.len() == BODY_BYTES && payload[STAMP_BYTES..].iter().all(|byte| *byte == FILLING);
    ensure!(ours, "a payload that is not what was sent");
    let number = payload[8..].first_chunk().expect("bodies are longer");
    Ok(u64::from_be_bytes(*number))
}
