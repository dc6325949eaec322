//! A small server over any ring: accepts, polls, reads and sends back, as a shard does. Stubborn about everything that
//! can go wrong without its fault, so that only a ring that breaks its promises makes it lose or mix bytes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use millpond_ring::{BufferId, Completion, Events, Extra, Full, Op, Ring, Slot, Token, Wait};

const ACCEPT: u64 = 0;
const POLL: u64 = 1 << 32;
const RECV: u64 = 2 << 32;
const SEND: u64 = 3 << 32;
const ROOM: u64 = 4 << 32;
const CLOSE: u64 = 5 << 32;
const CANCEL: u64 = 6 << 32;
const SLOT: u64 = (1 << 32) - 1;

pub(crate) struct Echo<R: Ring> {
    pub(crate) ring: R,
    listener: Slot,
    connections: BTreeMap<u32, Connection>,
    /// Operations that a full queue gave back.
    waiting: VecDeque<(u64, Op)>,
    accepting: bool,
    pub(crate) trace: Vec<(u64, i32)>,
}

#[derive(Default)]
struct Connection {
    out: Vec<u8>,
    reading: bool,
    sending: bool,
    polling: bool,
    /// Something arrived while a read or send was in flight.
    ready: bool,
    over: bool,
    closing: bool,
}

impl<R: Ring> Echo<R> {
    pub(crate) fn new(ring: R, listener: Slot) -> Self {
        Self {
            ring,
            listener,
            connections: BTreeMap::new(),
            waiting: VecDeque::new(),
            accepting: true,
            trace: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self) {
        self.push(
            ACCEPT,
            Op::Accept {
                listener: self.listener,
            },
        );
    }

    /// Ends the accept and the listener; connections end as their peers do.
    pub(crate) fn stop(&mut self) {
        self.accepting = false;
        self.push(
            CANCEL | SLOT,
            Op::Cancel {
                target: Token(ACCEPT),
                slot: None,
            },
        );
    }

    pub(crate) fn turn(&mut self) {
        for (token, op) in std::mem::take(&mut self.waiting) {
            self.push(token, op);
        }
        self.ring
            .turn(Wait::Until(Duration::from_micros(200)))
            .unwrap();
        while let Some(completion) = self.ring.pop() {
            self.trace.push((completion.token.0, completion.result));
            self.take(completion);
        }
    }

    fn push(&mut self, token: u64, op: Op) {
        if let Err(Full(op)) = self.ring.push(Token(token), op) {
            self.waiting.push_back((token, op));
        }
    }

    fn take(&mut self, completion: Completion) {
        let Completion {
            token: Token(token),
            result,
            more,
            extra,
            ..
        } = completion;
        let at = u32::try_from(token & SLOT).unwrap();
        match token & !SLOT {
            ACCEPT => self.accepted(result),
            POLL => self.polled(at, result, more),
            RECV => self.received(at, result, &extra),
            SEND => self.sent(at, result, extra),
            ROOM => self.send(at),
            CLOSE => assert_eq!(result, 0),
            // It may have come before a poll that a full queue had held back: again.
            CANCEL if result == -libc::ENOENT => self.not_closing(at),
            CANCEL => {}
            _ => panic!("a token nobody gave"),
        }
        self.close_if_over(at);
    }

    fn not_closing(&mut self, at: u32) {
        if let Some(connection) = self.connections.get_mut(&at) {
            connection.closing = false;
        }
    }

    fn accepted(&mut self, result: i32) {
        if let Ok(slot) = u32::try_from(result) {
            assert!(
                !self.connections.contains_key(&slot),
                "the slot {slot} is taken"
            );
            self.connections.insert(slot, Connection::default());
            self.poll(slot);
        }
        if self.accepting {
            self.push(
                ACCEPT,
                Op::Accept {
                    listener: self.listener,
                },
            );
        } else {
            self.push(
                CLOSE | SLOT,
                Op::Close {
                    slot: self.listener,
                },
            );
        }
    }

    fn poll(&mut self, at: u32) {
        self.connections.get_mut(&at).unwrap().polling = true;
        self.push(
            POLL | u64::from(at),
            Op::Poll {
                slot: Slot(at),
                events: Events::IN,
                multishot: true,
            },
        );
    }

    fn polled(&mut self, at: u32, result: i32, more: bool) {
        let connection = self.connections.get_mut(&at).unwrap();
        connection.polling = more;
        if result > 0 {
            connection.ready = true;
        }
        if !more && !connection.over {
            self.poll(at);
        }
        self.read(at);
    }

    fn read(&mut self, at: u32) {
        let connection = self.connections.get_mut(&at).unwrap();
        let busy = connection.reading || connection.sending || !connection.out.is_empty();
        if busy || !connection.ready || connection.over {
            return;
        }
        connection.reading = true;
        self.push(RECV | u64::from(at), Op::Recv { slot: Slot(at) });
    }

    fn received(&mut self, at: u32, result: i32, extra: &Extra) {
        let bytes = if let Extra::Buffer(id) = extra {
            self.copy(*id)
        } else {
            Vec::new()
        };
        let connection = self.connections.get_mut(&at).unwrap();
        connection.reading = false;
        match result {
            1.. => {
                assert_eq!(bytes.len(), usize::try_from(result).unwrap());
                connection.out.extend(bytes);
                self.send(at);
            }
            0 => connection.over = true,
            _ if result == -libc::EAGAIN => connection.ready = false,
            _ if result == -libc::ENOBUFS => self.read(at),
            _ => connection.over = true,
        }
    }

    fn copy(&mut self, id: BufferId) -> Vec<u8> {
        let bytes = self.ring.buffer(id).to_vec();
        self.ring.give_back(id);
        bytes
    }

    fn send(&mut self, at: u32) {
        let connection = self.connections.get_mut(&at).unwrap();
        connection.sending = true;
        let bytes = std::mem::take(&mut connection.out);
        self.push(
            SEND | u64::from(at),
            Op::Send {
                slot: Slot(at),
                bytes,
                from: 0,
            },
        );
    }

    fn sent(&mut self, at: u32, result: i32, extra: Extra) {
        let Extra::Sent(mut bytes) = extra else {
            panic!("a send gives its bytes back")
        };
        let connection = self.connections.get_mut(&at).unwrap();
        connection.sending = false;
        if let Ok(count) = usize::try_from(result) {
            bytes.drain(..count);
            connection.out = bytes;
            if connection.out.is_empty() {
                self.read(at)
            } else {
                self.send(at)
            }
        } else if result == -libc::EAGAIN {
            connection.out = bytes;
            connection.sending = true;
            let (slot, events) = (Slot(at), Events::OUT);
            self.push(
                ROOM | u64::from(at),
                Op::Poll {
                    slot,
                    events,
                    multishot: false,
                },
            );
        } else {
            connection.over = true;
        }
    }

    /// A join: the slot is closed when nothing is in flight on it any more.
    fn close_if_over(&mut self, at: u32) {
        let Some(connection) = self.connections.get_mut(&at) else {
            return;
        };
        if !connection.over || connection.reading || connection.sending {
            return;
        }
        if !connection.polling {
            self.connections.remove(&at);
            self.push(CLOSE | u64::from(at), Op::Close { slot: Slot(at) });
        } else if !connection.closing {
            connection.closing = true;
            self.push(
                CANCEL | u64::from(at),
                Op::Cancel {
                    target: Token(POLL | u64::from(at)),
                    slot: None,
                },
            );
        }
    }
}
