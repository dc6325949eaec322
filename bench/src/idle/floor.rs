//! What a connection costs this kernel when nobody does anything with it, measured before the server that is judged: both
//! halves of a pair together, then the half of the crowd that will load the server.
//!
//! A pair's halves are the same objects (socket, inode, dentry, file), but for the port that the connecting side was given;
//! so one half is the pair less the ports' bytes, over two.

use super::Quiet;
use crate::clock::Clock;
use crate::crowd::{Crowd, Protocol, Ramp};
use crate::memory::anonymous_bytes;
use crate::program::Program;
use crate::report::Spread;
use crate::target::Target;
use anyhow::Context;
use serde::Serialize;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Pairs of ordinary descriptors, both ends in this process: twice as many must fit its limit.
const PAIRS: usize = 9_000;
const ROUNDS: usize = 3;
/// Connections to the bare server, at most.
const BARE_MAX: u32 = 100_000;
const UNDER_WAY_MAX: usize = 1_024;
const TURN: Duration = Duration::from_millis(5);

/// Bytes of one half each.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Floor {
    /// An accepted socket behind an ordinary descriptor, without the table of descriptors.
    pub(super) accepted: Spread,
    /// The kernel's part of one client of the crowd: socket, port, place in a ring's table, armed poll.
    pub(super) client: f64,
    /// Connections per second that the bare server accepted from the same generator.
    pub(super) accepts_per_second: f64,
}

pub(super) fn measure(program: &Program, connections: u32, quiet: &Quiet) -> anyhow::Result<Floor> {
    let halves = (0..ROUNDS)
        .map(|_| pairs(quiet))
        .collect::<Result<Vec<_>, _>>()?;
    let accepted = Spread::of(halves).context("rounds were run")?;
    let (client, accepts_per_second) =
        crowd(program, connections.min(BARE_MAX), accepted.median, quiet)?;
    Ok(Floor {
        accepted,
        client,
        accepts_per_second,
    })
}

/// One half of a pair of bare sockets.
fn pairs(quiet: &Quiet) -> anyhow::Result<f64> {
    let sockets = u32::try_from(2 * PAIRS)?;
    crate::files::allow_sockets(sockets)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut held = Vec::with_capacity(2 * PAIRS);
    // The table of descriptors grows once, before anything is measured.
    grow_table(&listener)?;
    let before = quiet.reading()?;
    for at in 0..PAIRS {
        held.push(bare_pair(&listener, address, at)?);
    }
    let after = quiet.reading()?;
    let ports = after.slabs_since(&before, "tcp_bind").unwrap_or(0.0);
    Ok((after.since(&before) - ports) / PAIRS as f64 / 2.0)
}

fn bare_pair(
    listener: &TcpListener,
    address: SocketAddr,
    at: usize,
) -> anyhow::Result<(OwnedFd, TcpStream)> {
    let client = millpond_ring::connect(address, crate::crowd::source(address, at))?;
    millpond_ring::abort_on_close(&client)?;
    Ok((client, listener.accept()?.0))
}

fn grow_table(listener: &TcpListener) -> anyhow::Result<()> {
    let held = (0..2 * PAIRS + 64).map(|_| listener.try_clone());
    held.collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

/// The kernel's part of a client of the crowd, and how many a second connect.
fn crowd(
    program: &Program,
    connections: u32,
    accepted: f64,
    quiet: &Quiet,
) -> anyhow::Result<(f64, f64)> {
    let server = Target::bare(program, None, connections)?;
    let own = rustix::process::getpid();
    let clock = Clock::new();
    let mut crowd = Crowd::new(connections, server.address, clock, Mute)?.mute();
    let (before, own_before) = (quiet.reading()?, anonymous_bytes(own)?);
    let bare_before = server.pid.map(anonymous_bytes).transpose()?;
    let start_ns = clock.now_ns();
    crowd.arrive(
        connections,
        Ramp {
            rate: None,
            under_way_max: UNDER_WAY_MAX,
        },
    );
    while !crowd.has_arrived() && !quiet.stop.is_set() {
        crowd.turn(TURN)?;
    }
    let seconds = (clock.now_ns() - start_ns) as f64 / 1e9;
    let after = quiet.reading()?;
    let mut heaps = anonymous_bytes(own)? as f64 - own_before as f64;
    if let (Some(pid), Some(before)) = (server.pid, bare_before) {
        heaps += anonymous_bytes(pid)? as f64 - before as f64;
    }
    let count = f64::from(connections);
    let pair = (after.since(&before) - heaps) / count;
    // The bare server's half has a place in a ring's table beside what an accepted socket is.
    let client = pair - accepted - TABLE_BYTES;
    Ok((client, count / seconds))
}

/// The pointer and the node by which a ring knows a socket, as the kernel's structures are.
const TABLE_BYTES: f64 = 8.0 + 32.0;

/// Says nothing and hears nothing.
struct Mute;

impl Protocol for Mute {
    fn greet(&mut self, _at: usize, _out: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }

    fn received(
        &mut self,
        _at: usize,
        bytes: &[u8],
        _out: &mut Vec<u8>,
        _heard: &mut Vec<crate::crowd::Heard>,
    ) -> anyhow::Result<usize> {
        Ok(bytes.len())
    }

    fn heartbeat(&mut self, _at: usize, _out: &mut Vec<u8>) {}

    fn lost(&mut self, _at: usize) {}
}
