//! A server that takes connections and does nothing with them but wait: what is measured beside it is the generator's half,
//! the rate at which this kernel accepts at all, and what each way of waiting costs. What comes is thrown away.

use crate::args::{BareServer, Waiting};
use anyhow::Context;
use millpond_ring::{
    BufferPlan, Completion, Events, Extra, Op, Plan, Ring, Rings, Setup, Slot, Token, Wait, listen,
};
use rustix::event::epoll;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Accepts in the kernel at a time.
const ACCEPTS: u64 = 256;
const BACKLOG: u16 = 4_096;
const SLOTS_MAX: u32 = 19_000;
const TURN: Duration = Duration::from_secs(1);

/// Serves until somebody ends the process, or its parent ends.
pub(crate) fn run(args: &BareServer) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("asking to end with the parent")?;
    let listener =
        listen(args.listen, BACKLOG).with_context(|| format!("listening on {}", args.listen))?;
    let listener = TcpListener::from(listener);
    let address = listener.local_addr()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    out.flush()?;
    match args.waiting {
        Waiting::Epoll => by_epoll(&listener),
        waiting @ (Waiting::Nothing | Waiting::Poll | Waiting::Receive) => {
            by_rings(listener, args.connections, waiting)
        }
    }
}

/// What a token stands for: an accept below this, then the slot of a socket that is waited on.
const SOCKETS: u64 = 1 << 32;

fn by_rings(listener: TcpListener, connections: u32, waiting: Waiting) -> anyhow::Result<()> {
    let mut rings = open_rings(connections, waiting)?;
    let listener = rings.adopt(OwnedFd::from(listener))?;
    for token in 0..ACCEPTS {
        rings.push(Token(token), Op::Accept { listener }).ok();
    }
    loop {
        rings.turn(Wait::Until(TURN))?;
        while let Some(completion) = rings.pop() {
            let accepted = completion.token.0 < SOCKETS;
            if accepted {
                // A full table refuses; whoever wants more says so with --connections.
                push(&mut rings, completion.token, || Op::Accept { listener })?;
            }
            wait(&mut rings, &completion, accepted, waiting)?;
        }
    }
}

/// Waits on whom it accepted, and on whoever said something.
fn wait(
    rings: &mut Rings,
    completion: &Completion,
    accepted: bool,
    waiting: Waiting,
) -> anyhow::Result<()> {
    if let Extra::Buffer(id) = completion.extra {
        rings.give_back(id);
    }
    let slot = match u32::try_from(completion.result) {
        Ok(slot) if accepted => Slot(slot),
        _ if accepted || completion.more => return Ok(()),
        Ok(1..) => Slot(u32::try_from(completion.token.0 - SOCKETS)?),
        Err(_) if completion.result == -libc::ENOBUFS => {
            Slot(u32::try_from(completion.token.0 - SOCKETS)?)
        }
        // The end of it.
        Ok(0) | Err(_) => return Ok(()),
    };
    let token = Token(SOCKETS + u64::from(slot.0));
    match waiting {
        Waiting::Nothing | Waiting::Epoll => Ok(()),
        Waiting::Receive => push(rings, token, || Op::RecvMulti { slot }),
        Waiting::Poll => push(rings, token, || Op::Poll {
            slot,
            events: Events::IN,
            multishot: true,
        }),
    }
}

fn push(rings: &mut Rings, token: Token, op: impl Fn() -> Op) -> anyhow::Result<()> {
    while rings.push(token, op()).is_err() {
        rings.turn(Wait::Not)?;
    }
    Ok(())
}

/// Ordinary descriptors in one set.
fn by_epoll(listener: &TcpListener) -> anyhow::Result<()> {
    crate::files::allow_all()?;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).context("making a set of epoll")?;
    let mut held: Vec<TcpStream> = Vec::new();
    // Whom nobody accepts waits in the backlog; nothing is said to anybody, so the set is never asked.
    loop {
        let (socket, _) = listener.accept().context("accepting")?;
        socket.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(held.len() as u64);
        let events = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&set, &socket, data, events).context("adding to the set")?;
        held.push(socket);
    }
}

/// Rings that hold so many accepted sockets, with queues and buffers as small as they can be.
fn open_rings(connections: u32, waiting: Waiting) -> anyhow::Result<Rings> {
    let room = connections
        .saturating_add(u32::try_from(ACCEPTS)?)
        .saturating_add(1);
    let slots = room.min(SLOTS_MAX);
    crate::files::allow_sockets(slots)?;
    let rings = connections.saturating_add(256).div_ceil(slots - 1).max(1);
    let setup = Setup {
        entries: 1_024,
        completions: 4_096,
        slots,
        buffers: match waiting {
            Waiting::Receive => BufferPlan {
                count: 256,
                bytes: 2_048,
            },
            Waiting::Nothing | Waiting::Poll | Waiting::Epoll => BufferPlan {
                count: 8,
                bytes: 64,
            },
        },
    };
    Rings::open(Plan::new(setup, u16::try_from(rings)?)).context("opening rings")
}
