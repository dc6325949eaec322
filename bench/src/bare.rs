//! A server that takes connections and does nothing with them: what is measured beside it is the generator's half, and the
//! rate at which this kernel accepts at all.

use crate::args::BareServer;
use anyhow::Context;
use millpond_ring::{BufferPlan, Op, Plan, Ring, Rings, Setup, Token, Wait, listen};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Accepts in the kernel at a time.
const ACCEPTS: u64 = 256;
const BACKLOG: u16 = 4_096;
const SLOTS_MAX: u32 = 19_000;
const TURN: Duration = Duration::from_secs(1);

/// Serves until somebody ends the process.
pub(crate) fn run(args: &BareServer) -> anyhow::Result<()> {
    let listener =
        listen(args.listen, BACKLOG).with_context(|| format!("listening on {}", args.listen))?;
    let listener = TcpListener::from(listener);
    let address = listener.local_addr()?;
    let mut rings = open_rings(args.connections)?;
    let listener = rings.adopt(OwnedFd::from(listener))?;
    for token in 0..ACCEPTS {
        rings.push(Token(token), Op::Accept { listener }).ok();
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    out.flush()?;
    loop {
        rings.turn(Wait::Until(TURN))?;
        while let Some(completion) = rings.pop() {
            // A full table refuses; whoever wants more says so with --connections.
            let accept = Op::Accept { listener };
            if rings.push(completion.token, accept).is_err() {
                rings.turn(Wait::Not)?;
            }
        }
    }
}

/// Rings that hold so many accepted sockets, with queues and buffers as small as they can be.
pub(crate) fn open_rings(connections: u32) -> anyhow::Result<Rings> {
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
        buffers: BufferPlan {
            count: 8,
            bytes: 64,
        },
    };
    Rings::open(Plan::new(setup, u16::try_from(rings)?)).context("opening rings")
}
