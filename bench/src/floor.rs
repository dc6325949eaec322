//! What a connection costs this kernel when nobody does anything with it, measured before the server that is judged: bare
//! pairs, then pairs of which the crowd that will load the server has the one half.
//!
//! A bare pair's halves are the same objects (socket, inode, dentry, file, a place in a ring's table), but for the port
//! that the connecting side was given; so one half is what the kernel has two of for each pair. Where only root may count
//! the kernel's objects, it is half of the memory that a pair took, ports and all: the floor is then some 100 bytes too high.

use crate::args::{self, Waiting};
use crate::clock::{Clock, SECOND_NS};
use crate::crowd::{Crowd, Mute, Ramp};
use crate::look::Quiet;
use crate::memory::anonymous_bytes;
use crate::preflight;
use crate::program::Program;
use crate::protocol::{Heard, Protocol};
use crate::report::{Bars, Better, Figures, Report, Table, Verdict};
use crate::target::Target;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

const UNDER_WAY_MAX: usize = 1_024;
const TURN: Duration = Duration::from_millis(5);
/// The node by which a ring knows a socket, and the pointer to it in the ring's table.
const NODE_BYTES: f64 = 32.0;
const TABLE_BYTES: f64 = NODE_BYTES + 8.0;

/// Bytes of one half each, in the kernel.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Floor {
    pub(crate) pairs: u32,
    /// An accepted socket, without the place in a table by which a process knows it.
    pub(crate) accepted: f64,
    /// Whether the kernel's objects were counted for it, or only memory.
    pub(crate) by_objects: bool,
    /// One client of the crowd: socket, port, place in a ring's table, armed poll.
    pub(crate) client: f64,
    /// Connections per second that the bare server accepted from the same generator.
    pub(crate) accepts_per_second: f64,
}

/// `bench floor`: what a socket costs by what waits on it.
pub fn run(args: &args::Floor, program: &Program) -> anyhow::Result<Verdict> {
    preflight::connections(args.connections)?;
    let quiet = Quiet::new(&program.stop, args.connections);
    let floor = measure(program, args.connections, &quiet)?;
    let mut waiting = Vec::new();
    for way in [Waiting::Poll, Waiting::Receive, Waiting::Epoll] {
        if quiet.stop.is_set() {
            break;
        }
        let count = match way {
            Waiting::Epoll => args.connections.min(args::CONNECTIONS_MAX),
            Waiting::Nothing | Waiting::Poll | Waiting::Receive => args.connections,
        };
        let pairs = pairs(program, count, way, Mute::Listening, &quiet)?;
        let bytes = pairs.bytes - floor.client;
        waiting.push(Way {
            waiting: way.name(),
            sockets: count,
            bytes,
            ratio: bytes / floor.accepted,
        });
    }
    let parameters = serde_json::json!({ "connections": args.connections });
    let figures = FloorFigures { floor, waiting };
    let bars = figures.bars();
    let mut report = Report::new("floor", program, parameters, figures);
    report.interrupted = quiet.stop.is_set();
    report.bars(bars);
    report.publish(&args.output)
}

#[derive(Debug, Serialize)]
struct FloorFigures {
    #[serde(flatten)]
    floor: Floor,
    waiting: Vec<Way>,
}

/// Sockets that something waits on, each with its place in a table of the process.
#[derive(Debug, Serialize)]
struct Way {
    waiting: &'static str,
    sockets: u32,
    bytes: f64,
    ratio: f64,
}

impl FloorFigures {
    fn bars(&self) -> Bars {
        let bars = Bars::new("an accepted socket, in the kernel", "bytes", Better::Lower)
            .value("nothing waits", self.floor.accepted);
        let ways = self.waiting.iter();
        ways.fold(bars, |bars, way| bars.value(way.waiting, way.bytes))
    }
}

impl Figures for FloorFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let floor = &self.floor;
        table.numbers("pairs", [Some(f64::from(floor.pairs))]);
        table.numbers("bare accepted socket, bytes", [Some(floor.accepted)]);
        for way in &self.waiting {
            table.numbers(&format!("{} waits, bytes", way.waiting), [Some(way.bytes)]);
            table.numbers("  ÷ bare accepted socket", [Some(way.ratio)]);
        }
        table.numbers("a client of the generator, bytes", [Some(floor.client)]);
        table.numbers("accepts per second", [Some(floor.accepts_per_second)]);
        table
    }
}

/// With as many pairs as the run will have connections: what a connect takes grows with the sockets there are, by the
/// chains of the kernel's table and by its cache misses.
pub(crate) fn measure(program: &Program, count: u32, quiet: &Quiet) -> anyhow::Result<Floor> {
    let bare = pairs(program, count, Waiting::Nothing, Mute::Deaf, quiet)?;
    let armed = pairs(program, count, Waiting::Nothing, Mute::Listening, quiet)?;
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

fn pairs(
    program: &Program,
    count: u32,
    waiting: Waiting,
    mute: Mute,
    quiet: &Quiet,
) -> anyhow::Result<Pairs> {
    let files = preflight::open_files()?;
    let server = Target::bare(program, count, waiting)?;
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
    let pairs = Pairs {
        bytes: (after.since(&before) - (heaps()? - heaps_before)) / count,
        half: after.half_since(&before, count),
        per_second: count / seconds,
    };
    drop((crowd, server));
    quiet.until_open_files(files)?;
    Ok(pairs)
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
