//! `bench compare`: our raw echo beside the baselines that somebody has built, in turns, each round with a server started
//! anew. Memory is the server's side of connections that say nothing: all that the machine uses more since before the server
//! was started, less the clients', which are weighed first against a server of bare sockets.

use crate::args::Compare;
use crate::clock::Clock;
use crate::cpu::{self, Cores};
use crate::crowd::Mute;
use crate::echo::{Door, Kept, Side, counted, plan, round};
use crate::floor::{self, Floor};
use crate::latency::{Latency, Origin};
use crate::look::Quiet;
use crate::memory::anonymous_bytes;
use crate::program::Program;
use crate::progress::Progress;
use crate::report::{Bars, Better, Figures, Report, Spread, Table, Verdict};
use crate::target::Target;
use anyhow::{Context, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};

const BASELINES: [&str; 4] = ["tokio", "monoio", "tokio-uring", "epoll"];
const OURS: &str = "millpond";

/// Runs all of them and publishes the report.
pub fn run(args: &Compare, program: &Program) -> anyhow::Result<Verdict> {
    let common = &args.echo.common;
    ensure!(
        common.target.is_none(),
        "compare starts its servers itself: leave out --target"
    );
    let executables = executables(&args.baselines)?;
    // The servers inherit it.
    crate::files::allow_sockets(common.connections.max(args.idle) + 16)?;
    let cores = Cores::choose(common.server_cpu, common.client_cpu)?;
    if let Some(core) = cores.client {
        cpu::pin(core)?;
    }
    let quiet = Quiet::new(&program.stop, args.idle);
    let floor = floor::measure(program, args.idle, &quiet)?;
    let mut all = Vec::from_iter(executables.iter().map(|(name, _)| Measured::new(name)));
    for number in 1..=args.echo.rounds {
        for ((name, executable), measured) in executables.iter().zip(&mut all) {
            if program.stop.is_set() {
                break;
            }
            let start = || match executable {
                Some(executable) => Target::baseline(executable, cores.server),
                None => Target::raw_echo(program, cores.server),
            };
            measured
                .idle(args.idle, &floor, &quiet, start)
                .and_then(|target| measured.round(args, program, number, target))
                .with_context(|| format!("measuring {name}"))?;
        }
    }
    publish(args, program, &all, &floor)
}

/// Ours has none.
fn executables(folder: &Path) -> anyhow::Result<Vec<(&'static str, Option<PathBuf>)>> {
    let mut all = vec![(OURS, None)];
    for name in BASELINES {
        let file = folder.join(format!("baseline-{name}"));
        ensure!(
            file.is_file(),
            "{} is not there: build the baselines with \
             `cargo build --release --manifest-path bench/baselines/Cargo.toml`, or name their folder with --baselines",
            file.display()
        );
        all.push((name, Some(file.canonicalize()?)));
    }
    Ok(all)
}

struct Measured {
    name: &'static str,
    kept: Kept,
    idle_bytes: Vec<f64>,
    connects_per_second: Vec<f64>,
}

impl Measured {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            kept: Kept::default(),
            idle_bytes: Vec::new(),
            connects_per_second: Vec::new(),
        }
    }

    /// Starts the server, and weighs what so many idle connections cost it.
    fn idle(
        &mut self,
        count: u32,
        floor: &Floor,
        quiet: &Quiet,
        start: impl FnOnce() -> anyhow::Result<Target>,
    ) -> anyhow::Result<Target> {
        let own = || Ok::<_, anyhow::Error>(anonymous_bytes(rustix::process::getpid())? as f64);
        let before = quiet.reading()?;
        let target = start()?;
        let clock = Clock::new();
        let started = quiet.reading()?;
        // The generator's own ring is not the server's.
        let mut crowd = floor::bare_crowd(count, target.address, clock, Mute::Listening)?;
        let (alone, own_alone, begun_ns) = (quiet.reading()?, own()?, clock.now_ns());
        floor::connect_all(&mut crowd, count, quiet)?;
        let took_s = (clock.now_ns() - begun_ns) as f64 / crate::SECOND_NS as f64;
        let standing = quiet.reading()?;
        let count = f64::from(count);
        let both = standing.since(&alone) - (own()? - own_alone);
        let server = started.since(&before) + both - floor.client * count;
        self.idle_bytes.push(server / count);
        self.connects_per_second.push(count / took_s);
        Ok(target)
    }

    fn round(
        &mut self,
        args: &Compare,
        program: &Program,
        number: u32,
        target: Target,
    ) -> anyhow::Result<()> {
        let (common, stop) = (&args.echo.common, &program.stop);
        let side = Side {
            name: self.name,
            target,
            door: Door::Raw,
        };
        let plan = plan(&args.echo);
        let what = format!("{} {number}/{}", self.name, args.echo.rounds);
        let mut progress = Progress::new(&what, (plan.warmup + plan.counted).as_secs());
        let round = round(&side, common, plan, stop, &mut progress)?;
        self.kept.rounds.push(round);
        if number == args.echo.rounds {
            self.kept.counts = counted(&side, &args.echo, stop)?;
        }
        Ok(())
    }

    fn figures(&self) -> ServerFigures {
        let rounds = &self.kept.rounds;
        let p99 = rounds
            .iter()
            .filter_map(|round| round.latency.quantile_ns(0.99));
        let counts = self.kept.counts.as_ref();
        ServerFigures {
            name: self.name,
            idle_bytes_per_connection: Spread::of(self.idle_bytes.iter().copied()),
            connects_per_second: Spread::of(self.connects_per_second.iter().copied()),
            server_ns_per_echo: Spread::of(
                rounds
                    .iter()
                    .filter_map(|round| round.driven.server_ns_per_message()),
            ),
            echoes_per_second: Spread::of(
                rounds.iter().map(|round| round.driven.per_second_mean()),
            ),
            p99_us: Spread::of(p99.map(crate::latency::microseconds)),
            system_calls_per_echo: counts.and_then(|(counts, echoes)| {
                Some(counts.system_calls? as f64 / (*echoes).max(1) as f64)
            }),
        }
    }
}

#[derive(Debug, Serialize)]
struct CompareFigures {
    /// Bytes of a bare accepted socket, in this run.
    floor: f64,
    servers: Vec<ServerFigures>,
}

#[derive(Debug, Serialize)]
struct ServerFigures {
    name: &'static str,
    /// The server's side, kernel and process together.
    idle_bytes_per_connection: Option<Spread>,
    connects_per_second: Option<Spread>,
    server_ns_per_echo: Option<Spread>,
    echoes_per_second: Option<Spread>,
    p99_us: Option<Spread>,
    system_calls_per_echo: Option<f64>,
}

type Row = (
    &'static str,
    &'static str,
    Better,
    fn(&ServerFigures) -> Option<Spread>,
);

const ROWS: [Row; 5] = [
    ("Idle connection", "B", Better::Lower, |it| {
        it.idle_bytes_per_connection
    }),
    ("Connects", "connects/s", Better::Higher, |it| {
        it.connects_per_second
    }),
    ("Server CPU", "ns/echo", Better::Lower, |it| {
        it.server_ns_per_echo
    }),
    ("Echoes", "echoes/s", Better::Higher, |it| {
        it.echoes_per_second
    }),
    ("Latency p99", "µs", Better::Lower, |it| it.p99_us),
];

impl Figures for CompareFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let names = self.servers.iter().map(|server| server.name);
        table.row(std::iter::once("").chain(names));
        for (name, unit, _, of) in ROWS {
            let medians = self
                .servers
                .iter()
                .map(|it| of(it).map(|spread| spread.median));
            let medians = medians.collect::<Vec<_>>();
            table.numbers(&format!("{name}, {unit}"), medians.iter().copied());
            let ratios = medians.iter().map(|median| Some((*median)? / medians[0]?));
            table.numbers("  ÷ millpond", ratios);
        }
        let idle = self.servers.iter().map(|it| it.idle_bytes_per_connection);
        let ratios = idle.map(|spread| Some(spread?.median / self.floor));
        table.numbers("Idle connection ÷ bare accepted socket", ratios);
        let calls = self.servers.iter().map(|it| it.system_calls_per_echo);
        table.numbers("Server system calls/echo", calls);
        table
    }
}

fn publish(
    args: &Compare,
    program: &Program,
    all: &[Measured],
    floor: &Floor,
) -> anyhow::Result<Verdict> {
    let common = &args.echo.common;
    let parameters = serde_json::json!({
        "connections": common.connections,
        "idle": args.idle,
        "in_flight": common.in_flight.unwrap_or(crate::args::ECHOES_IN_FLIGHT),
        "rate": args.echo.rate,
        "payload_bytes": common.payload,
        "warmup_s": common.warmup,
        "seconds": args.echo.seconds,
        "rounds": args.echo.rounds,
    });
    let figures = CompareFigures {
        floor: floor.accepted,
        servers: all.iter().map(Measured::figures).collect(),
    };
    let bars = ROWS.map(|(name, unit, better, of)| {
        let bars = Bars::new(name, unit, better);
        figures
            .servers
            .iter()
            .fold(bars, |bars, server| match of(server) {
                Some(spread) => bars.spread(server.name, spread),
                None => bars.missing(server.name, "not measured"),
            })
    });
    let mut report = Report::new("compare", program, parameters, figures);
    report.interrupted = program.stop.is_set();
    bars.into_iter().for_each(|bars| report.bars(bars));
    let origin = match args.echo.rate {
        Some(_) => Origin::IntendedSend,
        None => Origin::ActualSend,
    };
    for measured in all {
        let mut latency = Latency::default();
        let rounds = measured.kept.rounds.iter();
        rounds.for_each(|round| latency.merge(&round.latency));
        report.histogram(measured.name, origin, &latency);
        report
            .void
            .extend(measured.kept.void(measured.name, common.lag_limit_ms));
        report
            .violations
            .extend(measured.kept.violations(measured.name));
    }
    report.publish(&common.output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_baselines_are_refused_with_what_builds_them() {
        let folder = tempfile::tempdir().unwrap();
        let error = executables(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("cargo build --release --manifest-path"),
            "{error}"
        );
    }
}
