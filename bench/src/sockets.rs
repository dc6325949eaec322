//! Connections of the generator on one ring: bytes out of outboxes, bytes in to a [`Talk`]. Knows nothing of frames,
//! schedules or latencies. One send in flight per socket; what is queued in one turn leaves as one write.
//!
//! A connection is never reused: its index is its name for the whole run.

use crate::outbox::Outboxes;
use anyhow::Context;
use millpond_ring::{Completion, Events, Extra, Full, Op, Ring, Slot, Token, Wait};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a scenario makes of bytes.
pub(crate) trait Talk {
    /// `bytes` have arrived on `at` and were not yet consumed. Returns how many are consumed; the rest comes again with
    /// more behind it.
    fn received(&mut self, at: usize, bytes: &[u8], outboxes: &mut Outboxes) -> usize;

    /// The connection is gone; nothing more comes from it.
    fn closed(&mut self, at: usize, why: Closed);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closed {
    ByPeer,
    /// With this errno.
    Failed(i32),
}

pub(crate) struct Sockets<R> {
    ring: R,
    connections: Vec<Connection>,
    pub(crate) outboxes: Outboxes,
    /// Operations that the ring did not take; first in the next turn. At most a few per connection.
    deferred: Vec<(Token, Op)>,
    open: usize,
}

struct Connection {
    slot: Slot,
    /// The front of a frame that has not arrived whole.
    partial: Vec<u8>,
    closed: bool,
}

/// Bytes of a frame that has not arrived whole: the largest a server may send, and one read.
const PARTIAL_BYTES_MAX: usize = 512 * 1024;

/// What a token stands for: its low byte; the connection's index is above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Connected,
    Recv,
    Send,
    Room,
    Close,
}

const KINDS: [Kind; 5] = [
    Kind::Connected,
    Kind::Recv,
    Kind::Send,
    Kind::Room,
    Kind::Close,
];

impl<R: Ring> Sockets<R> {
    pub(crate) fn new(ring: R) -> Self {
        Self {
            ring,
            connections: Vec::new(),
            outboxes: Outboxes::default(),
            deferred: Vec::new(),
            open: 0,
        }
    }

    /// Starts one more connection; bytes may be queued at once and leave when it is open.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> anyhow::Result<usize> {
        let at = self.connections.len();
        let socket = millpond_ring::connect(to, source(to, at))
            .with_context(|| format!("connecting to {to} (connection {at})"))?;
        let slot = self
            .ring
            .adopt(socket)
            .context("putting a socket into the ring's table")?;
        self.connections.push(Connection {
            slot,
            partial: Vec::new(),
            closed: false,
        });
        self.outboxes.add();
        self.wait_for_room(at, Kind::Connected);
        Ok(at)
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Sends what is queued, waits as told, and hands what arrives to `talk`.
    pub(crate) fn turn(&mut self, wait: Wait, talk: &mut impl Talk) -> anyhow::Result<()> {
        for (token, op) in std::mem::take(&mut self.deferred) {
            self.push(token, op);
        }
        while let Some((at, bytes)) = self.outboxes.take_ready() {
            self.send(at, bytes, 0);
        }
        let wait = if self.deferred.is_empty() {
            wait
        } else {
            Wait::Not
        };
        self.ring.turn(wait).context("entering the ring")?;
        while let Some(completion) = self.ring.pop() {
            self.complete(completion, talk)?;
        }
        Ok(())
    }

    fn complete(&mut self, completion: Completion, talk: &mut impl Talk) -> anyhow::Result<()> {
        let (at, kind) = named(completion.token);
        match kind {
            Kind::Connected => self.connected(at, completion.result, talk),
            Kind::Recv => self.received(at, &completion, talk)?,
            Kind::Send => self.sent(at, completion, talk),
            Kind::Room => self.room(at),
            Kind::Close => {}
        }
        Ok(())
    }

    fn connected(&mut self, at: usize, result: i32, talk: &mut impl Talk) {
        let events = u32::try_from(result).unwrap_or(POLL_FAILED);
        if events & POLL_FAILED != 0 {
            return self.close(at, Closed::Failed(result), talk);
        }
        self.open += 1;
        self.outboxes.opened(at);
        self.arm(at);
    }

    fn arm(&mut self, at: usize) {
        let slot = self.connections[at].slot;
        self.push(token(at, Kind::Recv), Op::RecvMulti { slot });
    }

    fn received(
        &mut self,
        at: usize,
        completion: &Completion,
        talk: &mut impl Talk,
    ) -> anyhow::Result<()> {
        if let Extra::Buffer(id) = completion.extra {
            let partial = &mut self.connections[at].partial;
            let taken = hand_over(at, partial, self.ring.buffer(id), talk, &mut self.outboxes);
            self.ring.give_back(id);
            taken?;
        }
        if completion.more {
            return Ok(());
        }
        match completion.result {
            1.. => self.arm(at),
            // Buffers have come back by the next turn.
            result if result == -libc::ENOBUFS => self.arm(at),
            0 => self.close(at, Closed::ByPeer, talk),
            result => self.close(at, Closed::Failed(-result), talk),
        }
        Ok(())
    }

    fn sent(&mut self, at: usize, completion: Completion, talk: &mut impl Talk) {
        let Extra::Sent(bytes) = completion.extra else {
            panic!("a send gives its bytes back");
        };
        match completion.result {
            result if result == -libc::EAGAIN => {
                self.outboxes.full(at, bytes);
                self.wait_for_room(at, Kind::Room);
            }
            result => match usize::try_from(result) {
                Ok(taken) => self.send_rest(at, bytes, taken),
                Err(_) => self.close(at, Closed::Failed(-result), talk),
            },
        }
    }

    fn send_rest(&mut self, at: usize, bytes: Vec<u8>, taken: usize) {
        if let Some((bytes, from)) = self.outboxes.sent(at, bytes, taken) {
            self.send(at, bytes, from);
        }
    }

    fn room(&mut self, at: usize) {
        if let Some((bytes, from)) = self.outboxes.room(at) {
            self.send(at, bytes, from);
        }
    }

    fn send(&mut self, at: usize, bytes: Vec<u8>, from: usize) {
        let slot = self.connections[at].slot;
        self.push(token(at, Kind::Send), Op::Send { slot, bytes, from });
    }

    fn wait_for_room(&mut self, at: usize, kind: Kind) {
        let poll = Op::Poll {
            slot: self.connections[at].slot,
            events: Events::OUT,
            multishot: false,
        };
        self.push(token(at, kind), poll);
    }

    fn close(&mut self, at: usize, why: Closed, talk: &mut impl Talk) {
        let connection = &mut self.connections[at];
        if connection.closed {
            return;
        }
        connection.closed = true;
        let slot = connection.slot;
        self.open -= usize::from(self.open > 0);
        self.outboxes.closed(at);
        self.push(token(at, Kind::Close), Op::Close { slot });
        talk.closed(at, why);
    }

    fn push(&mut self, token: Token, op: Op) {
        if let Err(Full(op)) = self.ring.push(token, op) {
            self.deferred.push((token, op));
        }
    }
}

/// Events of a connection that did not come about.
const POLL_FAILED: u32 = (libc::POLLERR | libc::POLLHUP).unsigned_abs() as u32;

/// Gives `talk` what has arrived, behind what was left of the last time.
fn hand_over(
    at: usize,
    partial: &mut Vec<u8>,
    bytes: &[u8],
    talk: &mut impl Talk,
    outboxes: &mut Outboxes,
) -> anyhow::Result<()> {
    if partial.is_empty() {
        let taken = talk.received(at, bytes, outboxes);
        partial.extend_from_slice(&bytes[taken..]);
    } else {
        partial.extend_from_slice(bytes);
        let taken = talk.received(at, partial, outboxes);
        partial.drain(..taken);
    }
    anyhow::ensure!(
        partial.len() <= PARTIAL_BYTES_MAX,
        "connection {at} got {} bytes that are no whole frame",
        partial.len()
    );
    Ok(())
}

fn token(at: usize, kind: Kind) -> Token {
    Token((at as u64) << 8 | kind as u64)
}

fn named(token: Token) -> (usize, Kind) {
    let [rest @ .., kind] = token.0.to_be_bytes();
    let at = rest.iter().fold(0, |at, &byte| at << 8 | usize::from(byte));
    (at, KINDS[usize::from(kind)])
}

/// Connections per source address: `connect` slows down tenfold once half of the ports of an address pair are taken.
const CONNECTIONS_PER_SOURCE: usize = 10_000;

/// Spreads connections over the addresses of the loopback network; elsewhere the kernel chooses.
fn source(to: SocketAddr, at: usize) -> Option<SocketAddr> {
    let IpAddr::V4(address) = to.ip() else {
        return None;
    };
    let nth = u8::try_from(at / CONNECTIONS_PER_SOURCE).ok()?;
    if nth == 0 || !address.is_loopback() {
        return None;
    }
    let from = Ipv4Addr::new(127, 0, 1, nth);
    Some(SocketAddr::new(from.into(), 0))
}
