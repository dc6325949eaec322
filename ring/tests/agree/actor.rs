//! Performs the steps of a script in one world, and tells what came of each in words that both worlds share.

use std::fmt;
use std::time::{Duration, Instant};

use millpond_ring::{BufferId, Completion, Events, Extra, Op, Ring, Slot, Token};

use crate::worlds::{Heard, World};

const PATIENCE: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(100_000);
const SHORT: Duration = Duration::from_millis(2);
const ACCEPT: u64 = 1;
const TIMEOUT: u64 = 2;
const SLEEP: u64 = 3;
const OTHER: u64 = 4;
/// Tokens of connections begin here.
const CONNECTIONS: u64 = 16;

/// One step; the first number is a connection, the second how many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Connect,
    /// Leaves an accept waiting until it is cancelled.
    AcceptNobody,
    CancelAccept,
    Recv(usize),
    Send(usize, usize),
    /// Multishot or not.
    ArmPoll(usize, bool),
    PollOut(usize),
    ArmRecv(usize),
    Cancel(usize),
    Close(usize),
    GiveBack,
    Timeout,
    CancelTimeout,
    /// A timeout that comes due.
    Sleep,
    PeerWrite(usize, usize),
    PeerRead(usize),
    PeerFinish(usize),
    PeerClose(usize),
    PeerReset(usize),
}

/// What a completion says, without what may differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) token: u64,
    pub(crate) result: i32,
    pub(crate) more: bool,
    pub(crate) nonempty: bool,
    pub(crate) bytes: Bytes,
}

/// Bytes that print as their number and their ends.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => write!(out, "none"),
            [first, .., last] => write!(out, "{} bytes, {first}..{last}", self.0.len()),
            [only] => write!(out, "{only}"),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    /// Sorted by token; those of one token in their order.
    pub(crate) said: Vec<Said>,
    pub(crate) heard: Option<Heard>,
    /// The peer could not do it: its connection is gone.
    pub(crate) peer_gone: bool,
    pub(crate) buffers_held: usize,
}

pub(crate) struct Actor<W: World> {
    world: W,
    /// Of every connection; nothing when the table was full.
    slots: Vec<Option<Slot>>,
    held: Vec<BufferId>,
    written: u8,
}

/// The token of what is armed on a connection, and of everything else there.
pub(crate) fn armed_token(connection: usize) -> u64 {
    CONNECTIONS + 2 * connection as u64
}

impl<W: World> Actor<W> {
    pub(crate) fn new(world: W) -> Self {
        Self {
            world,
            slots: Vec::new(),
            held: Vec::new(),
            written: 0,
        }
    }

    /// `expected` is what the other world said, to know how long to wait for this one.
    pub(crate) fn perform(&mut self, step: &Step, expected: Option<&Outcome>) -> Outcome {
        let start = Instant::now();
        loop {
            let outcome = self.once(step, expected);
            // Bytes may still be on their way to the kernel's socket.
            let early = matches!(step, Step::Recv(_))
                && expected.is_some_and(|expected| *expected != outcome)
                && outcome.said.iter().any(|said| said.result == -libc::EAGAIN)
                && start.elapsed() < PATIENCE;
            if !early {
                return outcome;
            }
        }
    }

    fn once(&mut self, step: &Step, expected: Option<&Outcome>) -> Outcome {
        // What the double could not do is not tried on the kernel, where it may seem to work for a moment.
        let peer_gone = expected.is_some_and(|expected| expected.peer_gone);
        let mut outcome = Outcome {
            peer_gone,
            ..Outcome::default()
        };
        if let (Step::PeerWrite(_, count), true) = (step, peer_gone) {
            drop(self.bytes(*count));
        } else {
            self.act(step, expected, &mut outcome);
        }
        let completions = self
            .world
            .settle(expected.map(|expected| expected.said.len()));
        outcome.said = completions
            .into_iter()
            .map(|completion| self.said(completion))
            .collect();
        outcome.said.sort_by_key(|said| said.token);
        outcome.buffers_held = self.buffers_held();
        outcome
    }

    /// Counted by the ring, which has lent as many as are held here.
    fn buffers_held(&mut self) -> usize {
        let free = self.world.ring().buffers_free();
        let held = self.world.buffers() - free;
        assert_eq!(held, self.held.len(), "lent and not given back");
        held
    }

    fn act(&mut self, step: &Step, expected: Option<&Outcome>, outcome: &mut Outcome) {
        match *step {
            Step::Connect => {
                self.accept();
                self.world.connect();
            }
            Step::AcceptNobody => self.accept(),
            Step::CancelAccept => self.cancel(ACCEPT, Some(self.world.listener())),
            Step::Recv(connection) => self.on(connection, |slot| Op::Recv { slot }),
            Step::Send(connection, count) => {
                let bytes = self.bytes(count);
                self.on(connection, |slot| Op::Send {
                    slot,
                    bytes,
                    from: 0,
                });
            }
            Step::PollOut(connection) => {
                let events = Events::OUT;
                self.on(connection, |slot| Op::Poll {
                    slot,
                    events,
                    multishot: false,
                });
            }
            Step::ArmPoll(connection, multishot) => {
                let (slot, events) = (self.slot(connection), Events::IN);
                self.push(
                    armed_token(connection),
                    Op::Poll {
                        slot,
                        events,
                        multishot,
                    },
                );
            }
            Step::ArmRecv(connection) => {
                let slot = self.slot(connection);
                self.push(armed_token(connection), Op::RecvMulti { slot });
            }
            Step::Cancel(connection) => {
                let slot = self.slot(connection);
                self.cancel(armed_token(connection), Some(slot));
            }
            Step::Close(connection) => self.on(connection, |slot| Op::Close { slot }),
            Step::GiveBack => {
                for id in std::mem::take(&mut self.held) {
                    self.world.ring().give_back(id);
                }
            }
            Step::Timeout => self.push(TIMEOUT, Op::Timeout { after: LONG }),
            Step::CancelTimeout => self.cancel(TIMEOUT, None),
            Step::Sleep => self.push(SLEEP, Op::Timeout { after: SHORT }),
            Step::PeerWrite(peer, count) => {
                let bytes = self.bytes(count);
                outcome.peer_gone = !self.world.peer_write(peer, &bytes);
            }
            Step::PeerRead(peer) => {
                let expected = expected.and_then(|expected| expected.heard.as_ref());
                outcome.heard = Some(self.world.peer_read(peer, expected));
            }
            Step::PeerFinish(peer) => self.world.peer_finish(peer),
            Step::PeerClose(peer) => self.world.peer_close(peer),
            Step::PeerReset(peer) => self.world.peer_reset(peer),
        }
    }

    fn accept(&mut self) {
        let listener = self.world.listener();
        self.push(ACCEPT, Op::Accept { listener });
    }

    fn cancel(&mut self, target: u64, slot: Option<Slot>) {
        let target = Token(target);
        self.push(OTHER, Op::Cancel { target, slot });
    }

    fn slot(&self, connection: usize) -> Slot {
        self.slots[connection].expect("scripts use connections that were accepted")
    }

    fn on(&mut self, connection: usize, op: impl FnOnce(Slot) -> Op) {
        let op = op(self.slot(connection));
        self.push(armed_token(connection) + 1, op);
    }

    fn push(&mut self, token: u64, op: Op) {
        self.world.ring().push(Token(token), op).unwrap();
    }

    /// Never the same twice in a row, so that bytes out of order show.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let next = || {
            self.written = self.written.wrapping_add(1);
            self.written
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn said(&mut self, completion: Completion) -> Said {
        let Completion {
            token: Token(token),
            mut result,
            more,
            nonempty,
            extra,
        } = completion;
        let mut bytes = Vec::new();
        match extra {
            Extra::None => {}
            Extra::Buffer(id) => {
                bytes = self.world.ring().buffer(id).to_vec();
                self.held.push(id);
            }
            Extra::Peer(address) => {
                assert!(address.ip().is_loopback());
                self.slots.push(Some(Slot(result.try_into().unwrap())));
                result = 0;
            }
            Extra::Sent(sent) => bytes = sent,
        }
        if token == ACCEPT && result == -libc::ENFILE {
            self.slots.push(None);
        }
        // Only a read that took bytes says whether there are more.
        let nonempty = nonempty && result > 0;
        Said {
            token,
            result,
            more,
            nonempty,
            bytes: Bytes(bytes),
        }
    }
}
