//! The ceiling: a server that returns bytes as they come, by multishot recv on the same `ring` crate, and does nothing
//! else. Whoever has said nothing yet waits on a poll, which costs the kernel less. It also has the faults that prove that
//! reports show them: one stall, and answers left out. Runs as a child process of `bench echo`; ends when its parent does.

use crate::args::RawEchoServer;
use anyhow::Context;
use millpond_ring::{
    BufferId, BufferPlan, Completion, Events, Extra, Full, Op, Ring, Setup, Slot, Token, Uring,
    Wait,
};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Serves until it is killed. Prints its address first.
pub fn run(args: &RawEchoServer) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("asking to end with the parent")?;
    let bound = Bound::new(args)?;
    announce(bound.address()?)?;
    bound.serve()
}

/// A server that has its port and does not serve yet.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    faults: Faults,
}

impl Bound {
    pub(crate) fn new(args: &RawEchoServer) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(args.listen)
            .with_context(|| format!("listening on {}", args.listen))?;
        Ok(Self {
            listener,
            faults: Faults::new(args),
        })
    }

    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    pub(crate) fn serve(self) -> anyhow::Result<()> {
        crate::files::allow_sockets(SETUP.slots)?;
        let ring = Uring::open(&SETUP).context("opening the echo server's ring")?;
        let mut server = Server::new(ring, self.listener, self.faults)?;
        loop {
            server.turn(Wait::Until(TURN_MAX))?;
        }
    }
}

const TURN_MAX: Duration = Duration::from_secs(1);
/// Queues and buffers for what is under way at a time; they count in the memory of its connections. Buffers are used in
/// turns: more than a core's cache holds make every copy miss it.
const SETUP: Setup = Setup {
    entries: 2_048,
    completions: 8_192,
    slots: crate::args::CONNECTIONS_MAX + 16,
    buffers: BufferPlan {
        count: 256,
        bytes: 2_048,
    },
};

fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    out.flush()?;
    Ok(())
}

struct Server<R> {
    ring: R,
    listener: Slot,
    faults: Faults,
    /// By slot.
    peers: Vec<Peer>,
    /// Memory of sends that are done.
    spare: Vec<Vec<u8>>,
    deferred: Vec<(Token, Op)>,
}

/// One connection.
#[derive(Clone, Default)]
struct Peer {
    /// Bytes that came while a send was in flight.
    queued: Vec<u8>,
    /// Where the send in flight began.
    sending_from: Option<usize>,
    /// Nothing more comes from it: closed once its last send is back.
    ended: bool,
}

/// Sends whose memory is kept for the next ones.
const SPARE_MAX: usize = 4096;

/// The low byte of a token; the slot is above.
const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;
const CLOSE: u64 = 3;
const POLL: u64 = 4;
/// Accepts outstanding at a time.
const ACCEPTS: usize = 64;

impl<R: Ring> Server<R> {
    fn new(mut ring: R, listener: TcpListener, faults: Faults) -> anyhow::Result<Self> {
        let listener = ring
            .adopt(OwnedFd::from(listener))
            .context("putting the listener into the ring's table")?;
        let mut server = Self {
            ring,
            listener,
            faults,
            peers: vec![Peer::default(); SETUP.slots as usize],
            spare: Vec::new(),
            deferred: Vec::new(),
        };
        (0..ACCEPTS).for_each(|_| server.accept());
        Ok(server)
    }

    fn turn(&mut self, wait: Wait) -> anyhow::Result<()> {
        for (token, op) in std::mem::take(&mut self.deferred) {
            self.push(token, op);
        }
        self.ring.turn(wait).context("entering the ring")?;
        while let Some(completion) = self.ring.pop() {
            self.complete(completion);
        }
        Ok(())
    }

    fn complete(&mut self, completion: Completion) {
        let [.., a, b, c, kind] = completion.token.0.to_be_bytes();
        let slot = Slot(u32::from_be_bytes([0, a, b, c]));
        match u64::from(kind) {
            ACCEPT => self.accepted(completion.result),
            RECV => self.received(slot, &completion),
            SEND => self.sent(slot, completion),
            POLL => self.arm(slot),
            _ => self.peers[slot.0 as usize] = Peer::default(),
        }
    }

    fn accept(&mut self) {
        let listener = self.listener;
        self.push(Token(ACCEPT), Op::Accept { listener });
    }

    fn accepted(&mut self, result: i32) {
        if let Ok(slot) = u32::try_from(result) {
            self.wait(Slot(slot));
        }
        self.accept();
    }

    /// For its first byte; what goes wrong shows when it is read.
    fn wait(&mut self, slot: Slot) {
        let poll = Op::Poll {
            slot,
            events: Events::IN,
            multishot: false,
        };
        self.push(token(slot, POLL), poll);
    }

    fn arm(&mut self, slot: Slot) {
        self.push(token(slot, RECV), Op::RecvMulti { slot });
    }

    fn received(&mut self, slot: Slot, completion: &Completion) {
        if let Extra::Buffer(id) = completion.extra {
            self.echo(slot, id);
            self.ring.give_back(id);
        }
        if completion.more {
            return;
        }
        let goes_on = completion.result > 0 || completion.result == -libc::ENOBUFS;
        if goes_on {
            self.arm(slot);
        } else {
            self.peers[slot.0 as usize].ended = true;
            self.close_when_sent(slot);
        }
    }

    fn echo(&mut self, slot: Slot, id: BufferId) {
        if self.faults.swallows() {
            return;
        }
        let peer = &mut self.peers[slot.0 as usize];
        if peer.sending_from.is_some() {
            peer.queued.extend_from_slice(self.ring.buffer(id));
            return;
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(self.ring.buffer(id));
        self.send(slot, bytes, 0);
    }

    fn send(&mut self, slot: Slot, bytes: Vec<u8>, from: usize) {
        self.peers[slot.0 as usize].sending_from = Some(from);
        self.push(token(slot, SEND), Op::Send { slot, bytes, from });
    }

    fn sent(&mut self, slot: Slot, completion: Completion) {
        let Extra::Sent(mut bytes) = completion.extra else {
            panic!("a send gives its bytes back");
        };
        let peer = &mut self.peers[slot.0 as usize];
        let from = peer.sending_from.take().expect("one send in flight");
        // A full socket is tried again at once: the generator bounds what it leaves unanswered far below its buffer.
        let taken = match completion.result {
            result if result == -libc::EAGAIN => 0,
            result => usize::try_from(result).unwrap_or(bytes.len()),
        };
        if from + taken < bytes.len() {
            return self.send(slot, bytes, from + taken);
        }
        bytes.clear();
        if !peer.queued.is_empty() {
            std::mem::swap(&mut bytes, &mut peer.queued);
            return self.send(slot, bytes, 0);
        }
        if self.spare.len() < SPARE_MAX {
            self.spare.push(bytes);
        }
        self.close_when_sent(slot);
    }

    fn close_when_sent(&mut self, slot: Slot) {
        let peer = &self.peers[slot.0 as usize];
        if peer.ended && peer.sending_from.is_none() {
            self.push(token(slot, CLOSE), Op::Close { slot });
        }
    }

    fn push(&mut self, token: Token, op: Op) {
        if let Err(Full(op)) = self.ring.push(token, op) {
            self.deferred.push((token, op));
        }
    }
}

fn token(slot: Slot, kind: u64) -> Token {
    Token(u64::from(slot.0) << 8 | kind)
}

/// What this server does wrong on purpose.
#[derive(Debug)]
struct Faults {
    stall: Option<Stall>,
    drop_every: Option<u64>,
    reads: u64,
}

#[derive(Debug)]
struct Stall {
    after: Duration,
    lasts: Duration,
    first_read: Option<Instant>,
}

impl Faults {
    fn new(args: &RawEchoServer) -> Self {
        Self {
            stall: args.stall_ms.map(|lasts| Stall {
                after: Duration::from_millis(args.stall_after_ms),
                lasts: Duration::from_millis(lasts),
                first_read: None,
            }),
            drop_every: args.drop_every,
            reads: 0,
        }
    }

    /// Called once per read: sleeps when the stall is due; whether the bytes go unanswered.
    fn swallows(&mut self) -> bool {
        self.stall_when_due();
        self.reads += 1;
        self.drop_every
            .is_some_and(|every| self.reads.is_multiple_of(every))
    }

    fn stall_when_due(&mut self) {
        let Some(stall) = &mut self.stall else {
            return;
        };
        let first_read = *stall.first_read.get_or_insert_with(Instant::now);
        if first_read.elapsed() >= stall.after {
            std::thread::sleep(stall.lasts);
            self.stall = None;
        }
    }
}
