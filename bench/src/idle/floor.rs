//! What a connection costs this kernel when nobody does anything with it, measured before the server that is judged: bare
//! pairs, then pairs of which the crowd that will load the server has the one half.
//!
//! A bare pair's halves are the same objects (socket, inode, dentry, file, a place in a ring's table), but for the port
//! that the connecting side was given; so one half is what the kernel has two of for each pair. Where only root may count
//! the kernel's objects, it is half of the memory that a pair took, ports and all: the floor is then some 100 bytes too high.

use super::Quiet;
use crate::clock::{Clock, SECOND_NS};
use crate::crowd::{Crowd, Heard, Mute, Protocol, Ramp};
use crate::memory::anonymous_bytes;
use crate::program::Program;
use crate::target::Target;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// Connections to the bare server, at most.
const PAIRS_MAX: u32 = 200_000;
const UNDER_WAY_MAX: usize = 1_024;
const TURN: Duration = Duration::from_millis(5);
/// The node by which a ring knows a socket, and the pointer to it in the ring's table.
const NODE_BYTES: f64 = 32.0;
const TABLE_BYTES: f64 = NODE_BYTES + 8.0;

/// Bytes of one half each, in the kernel.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Floor {
    pub(super) pairs: u32,
    /// An accepted socket, without the place in a table by which a process knows it.
    pub(crate) accepted: f64,
    /// Whether the kernel's objects were counted for it, or only memory.
    pub(super) by_objects: bool,
    /// One client of the crowd: socket, port, place in a ring's table, armed poll.
    pub(crate) client: f64,
    /// Connections per second that the bare server accepted from the same generator.
    pub(super) accepts_per_second: f64,
}

pub(crate) fn measure(program: &Program, connections: u32, quiet: &Quiet) -> anyhow::Result<Floor> {
    let count = connections.min(PAIRS_MAX);
    let bare = pairs(program, count, Mute::Deaf, quiet)?;
    let armed = pairs(program, count, Mute::Listening, quiet)?;
    let by_memory = bare.bytes / 2.0 - TABLE_BYTES;
    let accepted = bare.half.map_or(by_memory, |half| half - NODE_BYTES);
    Ok(Floor {
        pairs: count,
        accepted,
        by_objects: bare.half.is_some(),
        client: armed.bytes - accepted - TABLE_BYTES,
        accepts_per_second: bare.per_second.max(armed.per_second),
    })
}

/// What one pair took, and how many a second connected.
struct Pairs {
    bytes: f64,
    /// Of the kernel's objects that both halves have, one half's bytes.
    half: Option<f64>,
    per_second: f64,
}

fn pairs(program: &Program, count: u32, mute: Mute, quiet: &Quiet) -> anyhow::Result<Pairs> {
    let server = Target::bare(program, None, count)?;
    let own = rustix::process::getpid();
    let clock = Clock::new();
    let mut crowd = bare_crowd(count, server.address, clock, mute)?;
    let heaps = || -> anyhow::Result<f64> {
        let server = server.pid.map(anonymous_bytes).transpose()?;
        Ok((anonymous_bytes(own)? + server.unwrap_or(0)) as f64)
    };
    let (before, heaps_before, start_ns) = (quiet.reading()?, heaps()?, clock.now_ns());
    connect_all(&mut crowd, count, quiet)?;
    let seconds = (clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
    let after = quiet.reading()?;
    let count = f64::from(count);
    Ok(Pairs {
        bytes: (after.since(&before) - (heaps()? - heaps_before)) / count,
        half: after.half_since(&before, count),
        per_second: count / seconds,
    })
}

/// Clients that will only connect.
pub(crate) fn bare_crowd(
    count: u32,
    server: SocketAddr,
    clock: Clock,
    mute: Mute,
) -> anyhow::Result<Crowd<Silent>> {
    Ok(Crowd::new(count, server, clock, Silent)?.mute(mute))
}

/// All of them, as fast as they can.
pub(crate) fn connect_all(
    crowd: &mut Crowd<Silent>,
    count: u32,
    quiet: &Quiet,
) -> anyhow::Result<()> {
    let ramp = Ramp {
        rate: None,
        under_way_max: UNDER_WAY_MAX,
    };
    crowd.arrive(count, ramp);
    while !crowd.has_arrived() && !quiet.stop.is_set() {
        crowd.turn(TURN)?;
    }
    Ok(())
}

/// Says nothing and hears nothing.
pub(crate) struct Silent;

impl Protocol for Silent {
    fn greet(&mut self, _at: usize, _out: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }

    fn received(
        &mut self,
        _at: usize,
        bytes: &[u8],
        _out: &mut Vec<u8>,
        _heard: &mut Vec<Heard>,
    ) -> anyhow::Result<usize> {
        Ok(bytes.len())
    }

    fn heartbeat(&mut self, _at: usize, _out: &mut Vec<u8>) {}

    fn lost(&mut self, _at: usize) {}
}
