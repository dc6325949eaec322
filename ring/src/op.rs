//! Operations and completions as values.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

/// The caller's word for an operation: comes back with each of its completions, opaque to the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

impl Token {
    /// The bit a ring keeps for itself: a caller's token must not have it.
    pub const RESERVED: u64 = 1 << 63;

    /// Of an operation that a ring started for itself; no caller sees its completion.
    pub(crate) const OWN: Self = Self(Self::RESERVED);

    pub(crate) fn checked(self) -> u64 {
        assert_eq!(
            self.0 & Self::RESERVED,
            0,
            "the top bit of a token is the ring's"
        );
        self.0
    }
}

/// A direct descriptor: an index into the table of a ring, or of all rings of a thread, one table behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot(pub u32);

/// A provided buffer that a completion filled, with the length of what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferId {
    /// Whose buffer it is, where a thread has several rings.
    pub ring: u16,
    pub index: u16,
    pub bytes: u32,
}

/// `poll(2)` events: `POLLIN`, `POLLOUT`, `POLLRDHUP`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Events(pub u32);

impl Events {
    pub const IN: Self = Self(libc::POLLIN as u32 | libc::POLLRDHUP as u32);
    pub const OUT: Self = Self(libc::POLLOUT as u32);
}

/// Another ring of this process, as the kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerRing(pub RawFd);

/// One operation. Results are as the system call's: ≥ 0, or a negative errno.
#[derive(Debug)]
pub enum Op {
    /// One connection from a listener, into a free slot of the table: result = the slot. The completion carries the
    /// peer's address. One-shot: the number outstanding is the admission control.
    Accept { listener: Slot },
    /// Readiness: result = the events. `multishot` stays armed while its completions say `more`.
    Poll {
        slot: Slot,
        events: Events,
        multishot: bool,
    },
    /// Reads once into a provided buffer, without waiting: −EAGAIN when nothing is there, −ENOBUFS without a buffer.
    /// Result = bytes, 0 = the peer has closed its side.
    Recv { slot: Slot },
    /// Reads into provided buffers whenever something arrives, until a completion comes without `more`.
    RecvMulti { slot: Slot },
    /// Sends `bytes[from..]`, without waiting for room: result = bytes taken (may be fewer), −EAGAIN when none fit.
    /// The completion gives `bytes` back.
    Send {
        slot: Slot,
        bytes: Vec<u8>,
        from: usize,
    },
    /// Closes a slot. Operations armed on it must have ended before (cancel them), else the socket lingers.
    Close { slot: Slot },
    /// Ends the operation with this token: it completes with −ECANCELED; this one with 0, −ENOENT or −EALREADY. `slot` is
    /// the one it works on, if any.
    Cancel { target: Token, slot: Option<Slot> },
    /// Completes with −ETIME after this long.
    Timeout { after: Duration },
    /// Posts a completion with this token and result on another ring. Completes here with 0.
    Message {
        ring: PeerRing,
        token: Token,
        result: i32,
    },
    /// Waits for an eventfd-like descriptor, multishot, outside the table (the doorbell).
    PollFd { fd: RawFd, events: Events },
}

/// What else an operation gives back.
#[derive(Debug)]
pub enum Extra {
    None,
    /// Of a recv: the buffer that holds the bytes.
    Buffer(BufferId),
    /// Of an accept: who connected.
    Peer(SocketAddr),
    /// Of a send: the bytes it was given.
    Sent(Vec<u8>),
}

/// What the kernel said about one operation.
#[derive(Debug)]
pub struct Completion {
    pub token: Token,
    pub result: i32,
    /// The operation is still armed: more completions follow.
    pub more: bool,
    /// Of a recv: the socket holds more bytes than were read.
    pub nonempty: bool,
    pub extra: Extra,
}

/// How long a turn may sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Submit, take what is there, come back.
    Not,
    /// Until a completion arrives or this long has passed.
    Until(Duration),
}

/// The kernel takes no more operations now; here it is back.
#[derive(Debug)]
pub struct Full(pub Op);
