//! `millpond bench router`: the fused driver's core over the embedded store, on one core and without sockets. One thread
//! runs the machines, another makes their batches durable, as in the server; the store's own threads share the core.
//! Releasing effects to gateways is not part of it.

mod commits;
mod figures;
mod load;

use anyhow::{Context as _, Result, ensure};
use commits::{Commits, Done};
use figures::{Commit, Counted, RouterFigures};
use load::{Load, Sent};
use millpond_backplane::Entry;
use millpond_bench::args::Output;
use millpond_bench::report::{Report, Verdict};
use millpond_bench::{Clock, Cores, Program, SECOND_NS, file_system, own_cpu_ns, temporary_folder};
use millpond_embedded::{FjallStore, Options};
use millpond_router::fused::{Config, FusedCore, Now};
use serde::Serialize;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Users who write to each other
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    users: u32,
    /// Others each user writes to
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    partners: u32,
    /// Messages that wait for their commit at a time
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// Payload bytes of a message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=61_440))]
    payload: u32,
    /// Seconds before anything is counted
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=600))]
    warmup: u32,
    /// Seconds that count
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// The core all of it runs on
    #[arg(long, value_name = "CORE")]
    cpu: Option<usize>,
    /// Where the store is made, in a folder of its own that is removed at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Every parameter of the scenario, for the report.
#[derive(Serialize)]
struct Parameters {
    users: u32,
    partners: u32,
    in_flight: u32,
    payload_bytes: u32,
    warmup_s: u32,
    seconds: u32,
    core: usize,
    file_system: Option<String>,
    durability: &'static str,
    records_per_cursor_ack: u64,
}

pub(super) fn run(arguments: &Arguments, program: &Program) -> Result<Verdict> {
    ensure!(
        arguments.partners < arguments.users,
        "a user writes to others: --partners must be below --users"
    );
    let core = Cores::choose(arguments.cpu, None)?.server.unwrap_or(0);
    millpond_bench::pin(core)?;
    let folder = temporary_folder(arguments.data.as_deref())?;
    let options = Options::default();
    let store = FjallStore::open(&folder.path().join("store"), &options);
    let store = Arc::new(store.context("opening the store")?);
    let counted = Bench::start(arguments, store)?.drive(arguments, program)?;
    let parameters = Parameters {
        users: arguments.users,
        partners: arguments.partners,
        in_flight: arguments.in_flight,
        payload_bytes: arguments.payload,
        warmup_s: arguments.warmup,
        seconds: arguments.seconds,
        core,
        file_system: file_system(folder.path()),
        durability: "sync",
        records_per_cursor_ack: load::ACK_EVERY,
    };
    let mut report = Report::new("router", program, parameters, RouterFigures::new(&counted));
    report.interrupted = program.stop.is_set();
    if counted.refused > 0 {
        let refused = format!("{} messages were refused", counted.refused);
        report.violations.push(refused);
    }
    report.publish(&arguments.output)
}

/// Turns whose commit is on its way, at most; as in the server.
const COMMITS_IN_FLIGHT_MAX: usize = 2;

struct Bench {
    clock: Clock,
    core: FusedCore,
    load: Load,
    commits: Commits,
    waiting: VecDeque<Waiting>,
    entries: Vec<Entry>,
    per_turn: usize,
    counted: Counted,
}

/// A turn that is being committed.
struct Waiting {
    number: u64,
    begun_ns: u64,
    sent: Vec<Sent>,
}

impl Bench {
    fn start(arguments: &Arguments, store: Arc<FjallStore>) -> Result<Self> {
        let core = FusedCore::open(Config::default(), store.clone())?;
        Ok(Self {
            clock: Clock::new(),
            core,
            load: Load::new(arguments.users, arguments.partners, arguments.payload),
            commits: Commits::start(store, COMMITS_IN_FLIGHT_MAX)?,
            waiting: VecDeque::new(),
            entries: Vec::new(),
            per_turn: (arguments.in_flight as usize).div_ceil(COMMITS_IN_FLIGHT_MAX),
            counted: Counted::default(),
        })
    }

    /// Keeps the core and the committer busy until the time is over.
    fn drive(mut self, arguments: &Arguments, program: &Program) -> Result<Counted> {
        let from_ns = u64::from(arguments.warmup) * SECOND_NS;
        let until_ns = from_ns + u64::from(arguments.seconds) * SECOND_NS;
        let mut opened_ns = None;
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= from_ns && opened_ns.is_none() {
                self.counted = Counted::open(now_ns, own_cpu_ns()?);
                opened_ns = Some(now_ns);
            }
            if now_ns >= until_ns || program.stop.is_set() {
                self.counted.close(now_ns, own_cpu_ns()?);
                break;
            }
            while self.waiting.len() < COMMITS_IN_FLIGHT_MAX {
                self.turn()?;
            }
            self.collect()?;
        }
        while !self.waiting.is_empty() {
            self.collect()?;
        }
        self.counted.refused = self.load.sent() - self.core.counters().messages.value();
        Ok(self.counted)
    }

    fn turn(&mut self) -> Result<()> {
        let begun_ns = self.clock.now_ns();
        let sent = self.load.fill(self.per_turn, &mut self.entries);
        let now = Now {
            wall_ms: unix_ms(),
            steady_ms: begun_ns / 1_000_000,
        };
        let turn = self.core.run(&mut self.entries, now)?;
        self.commits.give(turn.number, turn.batch)?;
        self.waiting.push_back(Waiting {
            number: turn.number,
            begun_ns,
            sent,
        });
        Ok(())
    }

    /// Waits for the oldest commit.
    fn collect(&mut self) -> Result<()> {
        let Done {
            number,
            batch,
            rows,
            took_ns,
        } = self.commits.take()?;
        let waiting = self.waiting.pop_front().context("a commit of no turn")?;
        ensure!(waiting.number == number, "commits come back in order");
        self.core.committed(number, Some(batch));
        self.load.committed(&waiting.sent);
        let now_ns = self.clock.now_ns();
        let commit = Commit {
            messages: waiting.sent.len() as u64,
            rows,
            took_ns,
            durable_ns: now_ns - waiting.begun_ns,
        };
        self.counted.commit(commit, now_ns);
        Ok(())
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
