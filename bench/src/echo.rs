//! `bench echo`: the gateway's ECHO beside a server that only returns bytes. Rounds alternate between the two, so that
//! whatever else the machine does meets both; what counts is the ratio of neighbouring rounds.

mod client;
mod figures;

pub(crate) use client::{Door, EchoClient};
pub use figures::EchoFigures;

use crate::args::{self, Common, Echo};
use crate::clock::Clock;
use crate::cpu::{self, Cores};
use crate::generator::{Drive, Driven, GRACE, Load, Plan, Scenario, establish, open_ring};
use crate::latency::Latency;
use crate::perf::{Counting, Counts};
use crate::program::{Program, Stop};
use crate::progress::Progress;
use crate::report::{Report, Verdict};
use crate::sockets::Sockets;
use crate::target::Target;
use anyhow::Context;
pub(crate) use figures::Kept;
use std::path::Path;
use std::time::Duration;

/// Runs the scenario and publishes its report.
pub fn run(args: &Echo, program: &Program) -> anyhow::Result<Verdict> {
    let common = &args.common;
    let cores = Cores::choose(common.server_cpu, common.client_cpu)?;
    let raw = Target::raw_echo(program, cores.server)?;
    let gateway = match common.target {
        Some(address) => Target::given(common, address)?,
        None => Target::serve(program, cores.server, "sync")?,
    };
    if let Some(core) = cores.client {
        cpu::pin(core)?;
    }
    let data = gateway.data.as_deref().unwrap_or(Path::new("."));
    let tokens = (program.tokens)(data).context("reading the server's signing secret")?;
    let sides = [
        Side {
            name: "raw echo",
            target: raw,
            door: Door::Raw,
        },
        Side {
            name: "gateway",
            target: gateway,
            door: Door::Gateway(tokens),
        },
    ];
    let kept = rounds(args, &sides, &program.stop)?;
    publish(args, program, cores, &kept)
}

/// One of the two servers.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    pub(crate) door: Door,
}

/// What one round gave.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) driven: Driven,
    pub(crate) latency: Latency,
    pub(crate) lost: u64,
    pub(crate) answered: u64,
}

/// All rounds of both sides, in turns; then one more of each with perf attached, whose times do not count. Ends early
/// when a round does.
fn rounds(args: &Echo, sides: &[Side; 2], stop: &Stop) -> anyhow::Result<[Kept; 2]> {
    let plan = plan(args);
    let mut kept = [Kept::default(), Kept::default()];
    for number in 1..=args.rounds {
        for (side, kept) in sides.iter().zip(&mut kept) {
            let what = format!("{} {number}/{}", side.name, args.rounds);
            let seconds = (plan.warmup + plan.counted).as_secs();
            let mut progress = Progress::new(&what, seconds);
            kept.rounds
                .push(round(side, &args.common, plan, stop, &mut progress)?);
        }
        if kept.iter().any(Kept::ended_early) {
            return Ok(kept);
        }
    }
    for (side, kept) in sides.iter().zip(&mut kept) {
        kept.counts = counted(side, args, stop)?;
    }
    Ok(kept)
}

fn in_flight(common: &Common) -> u32 {
    common.in_flight.unwrap_or(args::ECHOES_IN_FLIGHT)
}

pub(crate) fn plan(args: &Echo) -> Plan {
    let common = &args.common;
    let load = match args.rate {
        Some(rate) => Load::Open {
            arrivals: common.arrivals,
            rate,
        },
        None => Load::Closed {
            in_flight: in_flight(common),
        },
    };
    Plan {
        load,
        warmup: Duration::from_secs(common.warmup.into()),
        counted: Duration::from_secs(args.seconds.into()),
        grace: GRACE,
    }
}

/// Connects everybody anew and follows the plan once.
pub(crate) fn round(
    side: &Side,
    common: &Common,
    plan: Plan,
    stop: &Stop,
    progress: &mut Progress,
) -> anyhow::Result<Round> {
    let (clock, mut sockets, mut client) = connected(side, common, stop)?;
    let start_ns = clock.now_ns();
    client.count_in(Drive::window(plan, start_ns));
    let drive = Drive {
        clock,
        plan,
        server: side.target.pid,
        stop,
        progress,
    };
    let driven = drive.run(&mut sockets, &mut client, start_ns)?;
    let answered = client.answered();
    let (latency, lost) = client.finish();
    Ok(Round {
        driven,
        latency,
        lost,
        answered,
    })
}

pub(crate) fn connected<'a>(
    side: &'a Side,
    common: &Common,
    stop: &Stop,
) -> anyhow::Result<(Clock, Sockets<millpond_ring::Uring>, EchoClient<'a>)> {
    let clock = Clock::new();
    let mut sockets = Sockets::new(open_ring(common.connections)?);
    let mut client = EchoClient::new(clock, &side.door, common.payload);
    let address = side.target.address;
    establish(&mut sockets, &mut client, address, common.connections, stop)
        .with_context(|| format!("connecting to the {} server at {address}", side.name))?;
    Ok((clock, sockets, client))
}

/// System calls and instructions per message of the whole server process. The round's connections stand before perf
/// attaches; everything from then to the end is divided by all messages.
pub(crate) fn counted(
    side: &Side,
    args: &Echo,
    stop: &Stop,
) -> anyhow::Result<Option<(Counts, u64)>> {
    let Some(pid) = side.target.pid else {
        return Ok(None);
    };
    let (clock, mut sockets, mut client) = connected(side, &args.common, stop)?;
    let Ok(counting) = Counting::start(pid) else {
        return Ok(None);
    };
    let mut plan = plan(args);
    plan.warmup = Duration::ZERO;
    let start_ns = clock.now_ns();
    let mut progress = Progress::new(&format!("{} counted", side.name), plan.counted.as_secs());
    let drive = Drive {
        clock,
        plan,
        server: None,
        stop,
        progress: &mut progress,
    };
    drive.run(&mut sockets, &mut client, start_ns)?;
    Ok(Some((counting.finish()?, client.answered())))
}

fn publish(
    args: &Echo,
    program: &Program,
    cores: Cores,
    kept: &[Kept; 2],
) -> anyhow::Result<Verdict> {
    let figures = EchoFigures::new(kept, args.rate.is_some());
    let mut report = Report::new("echo", program, parameters(args, cores), figures);
    report.interrupted = program.stop.is_set();
    for (name, side) in ["raw echo", "gateway"].into_iter().zip(kept) {
        side.draw(name, args.rate.is_some(), &mut report);
        report
            .void
            .extend(side.void(name, args.common.lag_limit_ms));
        report.violations.extend(side.violations(name));
    }
    report.publish(&args.common.output)
}

fn parameters(args: &Echo, cores: Cores) -> serde_json::Value {
    let common = &args.common;
    serde_json::json!({
        "connections": common.connections,
        "load": if args.rate.is_some() { "open" } else { "closed" },
        "rate": args.rate,
        "arrivals": format!("{:?}", common.arrivals),
        "in_flight": in_flight(common),
        "payload_bytes": common.payload,
        "warmup_s": common.warmup,
        "seconds": args.seconds,
        "rounds": args.rounds,
        "target": common.target,
        "server_core": if common.target.is_none() { cores.server } else { None },
        "client_core": cores.client,
        "lag_limit_ms": common.lag_limit_ms,
    })
}

#[cfg(test)]
mod tests;
