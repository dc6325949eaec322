//! `bench idle`: very many connections that stand still. What each costs, whether they stay, what a message to one of them
//! takes among all the others, and how they come back when all have gone at once.
//!
//! In this order, all in one run: the floor (bare sockets on this very kernel); the ramp, with a halt half way for a second
//! size; the hold, with heartbeats; messages to random ones; the storm; the end, and what memory is left behind.

mod figures;
pub(crate) mod floor;
mod messages;
mod millpond;

pub use figures::IdleFigures;

use crate::args::Idle;
use crate::clock::{Clock, SECOND_NS};
use crate::cpu::{self, own_cpu_ns, process_cpu_ns};
use crate::crowd::{self, Crowd, Ramp};
use crate::latency::{Latency, Origin};
use crate::memory::{Reading, anonymous_bytes};
use crate::metrics::Metrics;
use crate::preflight;
use crate::program::{Program, Stop};
use crate::progress::Progress;
use crate::report::{Report, Series, Verdict};
use crate::target::Target;
use anyhow::{Context, bail};
use figures::{Held, Memory, Routes, Storm};
use millpond::Millpond;
use std::path::Path;
use std::time::{Duration, Instant};

/// Connections that may be under way: below the backlogs of a server.
const UNDER_WAY_MAX: usize = 2_048;
const TURN: Duration = Duration::from_millis(5);
/// Without one more connection for this long, a server is not there.
const STILL_MAX_NS: u64 = 30 * SECOND_NS;
const SAMPLE_EVERY_NS: u64 = SECOND_NS;

/// Runs the scenario and publishes its report.
pub fn run(args: &Idle, program: &Program) -> anyhow::Result<Verdict> {
    preflight::connections(args.connections)?;
    if let Some(core) = args.client_cpu {
        cpu::pin(core)?;
    }
    let quiet = Quiet {
        stop: program.stop.clone(),
    };
    let mut run = Run::new(args, program);
    eprintln!("floor: bare sockets on this kernel");
    let floor = floor::measure(program, args.connections, &quiet)?;
    let before = Look::take(None, &quiet)?;
    let target = match args.target {
        Some(address) => Target::named(args, address)?,
        None => Target::serve_all(program, args.connections, args.heartbeat)?,
    };
    let data = target.data.as_deref().unwrap_or(Path::new("."));
    let tokens = (program.tokens)(data).context("reading the server's signing secret")?;
    let people = Millpond::new(tokens, args.connections, true);
    let crowd = Crowd::new(args.connections, target.address, run.clock, people)?;
    let figures = run.phases(crowd, &target, &floor, &before, &quiet)?;
    run.publish(figures)
}

/// Waits until the machine's memory stands still, and reads it.
pub(crate) struct Quiet {
    pub(crate) stop: Stop,
}

const QUIET_STEP: Duration = Duration::from_millis(150);
const QUIET_MAX: Duration = Duration::from_secs(10);
const QUIET_BYTES: f64 = 1e6;

impl Quiet {
    pub(crate) fn reading(&self) -> anyhow::Result<Reading> {
        let start = Instant::now();
        let mut last = Reading::take()?;
        let mut still = 0;
        while still < 3 && start.elapsed() < QUIET_MAX && !self.stop.is_set() {
            std::thread::sleep(QUIET_STEP);
            let now = Reading::take()?;
            let moved = (now.used_bytes - last.used_bytes).abs();
            still = if moved < QUIET_BYTES { still + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }
}

/// The machine, the server's own memory and the generator's, at one moment.
#[derive(Clone, Debug)]
struct Look {
    machine: Reading,
    server_bytes: Option<u64>,
    own_bytes: u64,
}

impl Look {
    fn take(target: Option<&Target>, quiet: &Quiet) -> anyhow::Result<Self> {
        let machine = quiet.reading()?;
        let pid = target.and_then(|target| target.pid);
        Ok(Self {
            machine,
            server_bytes: pid.map(anonymous_bytes).transpose()?,
            own_bytes: anonymous_bytes(rustix::process::getpid())?,
        })
    }

    /// All that the server's side has taken since `before`, when so many clients of the crowd stand.
    fn server_side(&self, before: &Self, connections: u64, client: f64) -> f64 {
        let generator = self.own_bytes as f64 - before.own_bytes as f64;
        self.machine.since(&before.machine) - generator - client * connections as f64
    }
}

struct Run<'a> {
    args: &'a Idle,
    program: &'a Program,
    clock: Clock,
    violations: Vec<String>,
    void: Vec<String>,
    connections: Series,
    memory: Series,
    server_memory: Series,
    sampled_ns: u64,
    latencies: Vec<(&'static str, Latency)>,
}

impl<'a> Run<'a> {
    fn new(args: &'a Idle, program: &'a Program) -> Self {
        Self {
            args,
            program,
            clock: Clock::new(),
            violations: Vec::new(),
            void: Vec::new(),
            connections: Series::new("established", "connections"),
            memory: Series::new("memory in use, whole machine", "bytes"),
            server_memory: Series::new("the server's own", "bytes"),
            sampled_ns: 0,
            latencies: Vec::new(),
        }
    }

    fn phases(
        &mut self,
        mut crowd: Crowd<Millpond>,
        target: &Target,
        floor: &floor::Floor,
        before: &Look,
        quiet: &Quiet,
    ) -> anyhow::Result<IdleFigures> {
        let all = self.args.connections;
        let started = Look::take(Some(target), quiet)?;
        let half = self.ramp(&mut crowd, target, all / 2)?;
        let look_half = Look::take(Some(target), quiet)?;
        let half_standing = crowd.standing();
        let whole = self.ramp(&mut crowd, target, all)?;
        let look = Look::take(Some(target), quiet)?;
        let memory = Memory::new(&figures::Measured {
            before,
            started: &started,
            half: (&look_half, half_standing),
            whole: (&look, crowd.standing()),
            floor,
        });
        let ramp_rate = figures::rate(half + whole, crowd.counts().established);
        self.latencies
            .push(("connect", std::mem::take(&mut crowd.connects)));
        let held = self.hold(&mut crowd, target)?;
        let messages = self.messages(&mut crowd, target)?;
        let counts = crowd.counts();
        if counts.dropped > 0 {
            self.violations
                .push(format!("{} connections were dropped", counts.dropped));
        }
        self.latencies
            .push(("heartbeat", std::mem::take(&mut crowd.heartbeats)));
        let routes = Routes::read(target)?;
        let (mut people, storm) = self.storm(crowd, target)?;
        let judged = people.judge(messages.caught_up(), self.clock.now_ns());
        self.violations.extend(judged.violations.iter().cloned());
        let left_bytes = self.left(target, quiet)?;
        Ok(IdleFigures {
            connections: counts.established,
            dropped: counts.dropped,
            turned_away: counts.turned_away,
            connects_per_second: ramp_rate,
            accepts_per_second: floor.accepts_per_second,
            connects_to_accepts: ramp_rate / floor.accepts_per_second,
            memory,
            held,
            messages: messages.figures(),
            routes,
            storm,
            left_bytes,
            judged,
        })
    }

    /// Connects everybody up to `until`; says how long it took.
    fn ramp(
        &mut self,
        crowd: &mut Crowd<Millpond>,
        target: &Target,
        until: u32,
    ) -> anyhow::Result<Duration> {
        let ramp = Ramp {
            rate: self.args.ramp,
            under_way_max: UNDER_WAY_MAX,
        };
        let start_ns = self.clock.now_ns();
        crowd.arrive(until, ramp);
        self.until_arrived(crowd, target, "connecting")?;
        Ok(Duration::from_nanos(self.clock.now_ns() - start_ns))
    }

    fn until_arrived(
        &mut self,
        crowd: &mut Crowd<Millpond>,
        target: &Target,
        what: &str,
    ) -> anyhow::Result<()> {
        let mut progress = Progress::counted(what, u64::from(self.args.connections), "connections");
        let (mut seen, mut moved_ns) = (0, self.clock.now_ns());
        let start_ns = moved_ns;
        while !crowd.has_arrived() && !self.program.stop.is_set() {
            crowd.turn(TURN)?;
            let now_ns = self.clock.now_ns();
            let standing = crowd.standing();
            if standing != seen {
                (seen, moved_ns) = (standing, now_ns);
            }
            if now_ns - moved_ns > STILL_MAX_NS {
                bail!(
                    "{standing} of {} connections stand, and for {} s no other could: {:?}",
                    self.args.connections,
                    STILL_MAX_NS / SECOND_NS,
                    crowd.counts()
                );
            }
            progress.show(now_ns - start_ns, standing);
            self.sample(crowd, target)?;
        }
        Ok(())
    }

    fn hold(&mut self, crowd: &mut Crowd<Millpond>, target: &Target) -> anyhow::Result<Held> {
        let seconds = self.args.hold;
        let mut progress = Progress::new("holding", seconds.into());
        let counts = crowd.counts();
        let server_ns = target.pid.and_then(|pid| process_cpu_ns(pid).ok());
        let own_ns = own_cpu_ns()?;
        let start_ns = self.clock.now_ns();
        let end_ns = start_ns + u64::from(seconds) * SECOND_NS;
        while self.clock.now_ns() < end_ns && !self.program.stop.is_set() {
            crowd.turn(TURN)?;
            let answered = crowd.counts().heartbeats_answered - counts.heartbeats_answered;
            progress.show(self.clock.now_ns() - start_ns, answered);
            self.sample(crowd, target)?;
        }
        let passed_s = (self.clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
        let now = crowd.counts();
        let share = |ns: u64| ns as f64 / SECOND_NS as f64 / passed_s;
        let server_ns = server_ns.zip(target.pid.and_then(|pid| process_cpu_ns(pid).ok()));
        let heartbeats = now.heartbeats - counts.heartbeats;
        Ok(Held {
            seconds: passed_s,
            heartbeats,
            heartbeats_per_second: heartbeats as f64 / passed_s,
            heartbeats_missed: now.heartbeats_missed - counts.heartbeats_missed,
            dropped: now.dropped - counts.dropped,
            server_cores: server_ns.map(|(before, now)| share(now.saturating_sub(before))),
            generator_cores: share(own_cpu_ns()?.saturating_sub(own_ns)),
        })
    }

    fn messages(
        &mut self,
        crowd: &mut Crowd<Millpond>,
        target: &Target,
    ) -> anyhow::Result<messages::Messages> {
        let count = u64::from(self.args.messages);
        let mut messages =
            messages::Messages::new(crowd, count, self.args.rate, self.clock.now_ns());
        let mut progress = Progress::counted("messages", count, "messages");
        let start_ns = self.clock.now_ns();
        while !messages.is_over(self.clock.now_ns()) && !self.program.stop.is_set() {
            messages.send_due(crowd, self.clock.now_ns());
            crowd.turn(messages.wait(self.clock.now_ns()))?;
            messages.hear(crowd, self.clock.now_ns());
            progress.show(self.clock.now_ns() - start_ns, messages.delivered());
            self.sample(crowd, target)?;
        }
        messages.end();
        self.latencies
            .push(("message acked", messages.acks.clone()));
        self.latencies
            .push(("message delivered", messages.deliveries.clone()));
        self.void.extend(messages.void(self.args.lag_limit_ms));
        if messages.lost() > 0 && !self.program.stop.is_set() {
            self.violations
                .push(format!("{} messages did not arrive", messages.lost()));
        }
        Ok(messages)
    }

    /// Everybody goes at once, and comes back as fast as it can.
    fn storm(
        &mut self,
        crowd: Crowd<Millpond>,
        target: &Target,
    ) -> anyhow::Result<(Millpond, Option<Storm>)> {
        let connections = u32::try_from(crowd.counts().begun)?.min(self.args.connections);
        let people = crowd.scatter();
        if self.args.no_storm || self.program.stop.is_set() {
            return Ok((people, None));
        }
        let start_ns = self.clock.now_ns();
        let mut crowd = Crowd::new(self.args.connections, target.address, self.clock, people)?;
        let (server_ns, metrics) = (
            target.pid.and_then(|pid| process_cpu_ns(pid).ok()),
            read(target)?,
        );
        crowd.arrive(
            connections,
            Ramp {
                rate: None,
                under_way_max: UNDER_WAY_MAX,
            },
        );
        self.until_arrived(&mut crowd, target, "coming back")?;
        let seconds = (self.clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
        let counts = crowd.counts();
        self.latencies
            .push(("back after the storm", std::mem::take(&mut crowd.connects)));
        let server_ns = server_ns.zip(target.pid.and_then(|pid| process_cpu_ns(pid).ok()));
        let expired = figures::growth(&metrics, &read(target)?, "gateway_closed_total");
        let storm = Storm {
            connections: counts.established,
            seconds,
            per_second: counts.established as f64 / seconds,
            turned_away: counts.turned_away,
            dropped: counts.dropped,
            closed_by_the_server: expired,
            server_cores: server_ns.map(|(before, now)| {
                now.saturating_sub(before) as f64 / SECOND_NS as f64 / seconds
            }),
        };
        if counts.dropped > 0 {
            self.violations.push(format!(
                "{} connections were dropped after the storm",
                counts.dropped
            ));
        }
        Ok((crowd.scatter(), Some(storm)))
    }

    /// What the server keeps when all have gone.
    fn left(&self, target: &Target, quiet: &Quiet) -> anyhow::Result<Option<u64>> {
        let patience = Instant::now();
        while !self.program.stop.is_set() && patience.elapsed() < EMPTY_WITHIN {
            let held = read(target)?.and_then(|metrics| metrics.sum("gateway_connections"));
            if held.is_none_or(|held| held == 0.0) {
                std::thread::sleep(CLOSE_WITHIN);
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(Look::take(Some(target), quiet)?.server_bytes)
    }

    fn sample(&mut self, crowd: &Crowd<Millpond>, target: &Target) -> anyhow::Result<()> {
        let now_ns = self.clock.now_ns();
        if now_ns < self.sampled_ns + SAMPLE_EVERY_NS {
            return Ok(());
        }
        self.sampled_ns = now_ns;
        let at_s = now_ns as f64 / SECOND_NS as f64;
        self.connections.push(at_s, crowd.standing() as f64);
        self.memory.push(at_s, Reading::take_used()? as f64);
        if let Some(bytes) = target.pid.and_then(|pid| anonymous_bytes(pid).ok()) {
            self.server_memory.push(at_s, bytes as f64);
        }
        Ok(())
    }

    fn publish(self, figures: IdleFigures) -> anyhow::Result<Verdict> {
        let bars = figures.bars();
        let mut report = Report::new("idle", self.program, parameters(self.args), figures);
        report.interrupted = self.program.stop.is_set();
        report.void.extend(self.void);
        report.violations.extend(self.violations);
        for series in [self.connections, self.memory, self.server_memory] {
            report.series(series);
        }
        for (name, latency) in &self.latencies {
            report.histogram(*name, Origin::IntendedSend, latency);
        }
        report.bars(bars);
        report.publish(&self.args.output)
    }
}

/// How long the server may take to see that all have gone, and then to close what they used.
const EMPTY_WITHIN: Duration = Duration::from_secs(60);
const CLOSE_WITHIN: Duration = Duration::from_secs(8);

fn read(target: &Target) -> anyhow::Result<Option<Metrics>> {
    target.admin.map(Metrics::read).transpose()
}

fn parameters(args: &Idle) -> serde_json::Value {
    serde_json::json!({
        "connections": args.connections,
        "ramp_per_second": args.ramp,
        "hold_s": args.hold,
        "heartbeat_s": args.heartbeat,
        "messages": args.messages,
        "messages_per_second": args.rate,
        "storm": !args.no_storm,
        "target": args.target,
        "source_addresses": crowd::sources(args.connections),
        "generator_rings": crowd::plan(args.connections).rings_max,
    })
}
