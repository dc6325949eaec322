//! `bench messages`: durable 1:1 messages between pairs of users, through every room of the server: sent, synced, acked,
//! delivered, cursor-acked. The checker judges all that clients saw; a violation fails the run, however fast it was.

mod client;
mod figures;
mod history;
mod identity;
mod peer;
mod phase;

pub use figures::MessagesFigures;

use crate::args::{self, Common, Messages, Rate};
use crate::clock::Clock;
use crate::cpu::{self, Cores};
use crate::generator::{Drive, Driven, GRACE, Load, Plan, Scenario, establish, open_ring};
use crate::metrics::Metrics;
use crate::perf::{Counting, Counts};
use crate::program::Program;
use crate::progress::Progress;
use crate::report::{Judged, Report, Verdict};
use crate::sockets::Sockets;
use crate::target::{Target, file_system};
use anyhow::{Context, ensure};
use client::MessagesClient;
use millpond_ring::Uring;
use phase::Phase;
use std::path::Path;
use std::time::Duration;

/// Runs the scenario and publishes its report.
pub fn run(args: &Messages, program: &Program) -> anyhow::Result<Verdict> {
    let common = &args.common;
    ensure!(
        common.connections.is_multiple_of(2),
        "users come in pairs: --connections must be even"
    );
    let cores = Cores::choose(common.server_cpu, common.client_cpu)?;
    let target = match common.target {
        Some(address) => Target::given(common, address)?,
        None => Target::serve(program, cores.server, &args.durability)?,
    };
    if let Some(core) = cores.client {
        cpu::pin(core)?;
    }
    let mut run = Run::connect(args, program, &target)?;
    let phases = run.phases()?;
    let figures = MessagesFigures::new(&phases, &run.client);
    let violations = run.violations(&phases, &figures.checker);
    let mut report = Report::new(
        "messages",
        program,
        parameters(args, cores, &target),
        figures,
    );
    report.interrupted = program.stop.is_set();
    report.void.extend(
        phases
            .iter()
            .filter_map(|done| done.void(common.lag_limit_ms)),
    );
    report.violations = violations;
    phases.iter().for_each(|done| done.draw(&mut report));
    report.publish(&common.output)
}

/// All users, connected.
struct Run<'a> {
    args: &'a Messages,
    program: &'a Program,
    target: &'a Target,
    clock: Clock,
    sockets: Sockets<Uring>,
    client: MessagesClient,
}

/// One load, measured.
pub(crate) struct Done {
    pub(crate) name: &'static str,
    pub(crate) rate: Option<u32>,
    pub(crate) driven: Driven,
    pub(crate) phase: Phase,
    /// Fully answered in the whole phase, and what the server counted and was counted over them.
    pub(crate) complete: u64,
    pub(crate) rows: Option<f64>,
    pub(crate) commits: Option<f64>,
    pub(crate) counts: Option<Counts>,
}

impl Done {
    /// Not with perf attached: that disturbs the generator, and its times do not count.
    fn void(&self, lag_limit_ms: f64) -> Option<String> {
        if self.counts.is_some() {
            return None;
        }
        let p99_ms = self.driven.lag.quantile_ns(0.99)? as f64 / 1e6;
        (p99_ms > lag_limit_ms).then(|| {
            format!(
                "{}: the generator was {p99_ms:.1} ms late at its 99th percentile (limit {lag_limit_ms} ms)",
                self.name
            )
        })
    }
}

impl<'a> Run<'a> {
    fn connect(
        args: &'a Messages,
        program: &'a Program,
        target: &'a Target,
    ) -> anyhow::Result<Self> {
        let common = &args.common;
        let data = target.data.as_deref().unwrap_or(Path::new("."));
        let tokens = (program.tokens)(data).context("reading the server's signing secret")?;
        let clock = Clock::new();
        let mut sockets = Sockets::new(open_ring(common.connections)?);
        let mut client = MessagesClient::new(clock, tokens, common.payload, args.ack_every);
        establish(
            &mut sockets,
            &mut client,
            target.address,
            common.connections,
            &program.stop,
        )
        .with_context(|| format!("connecting users to {}", target.address))?;
        Ok(Self {
            args,
            program,
            target,
            clock,
            sockets,
            client,
        })
    }

    /// The loads that were asked for, then each once more for a short time with perf attached, whose times do not count.
    fn phases(&mut self) -> anyhow::Result<Vec<Done>> {
        let mut done = Vec::new();
        let open = match self.args.rate {
            Rate::PerSecond(rate) => Some(rate),
            Rate::Closed => {
                done.push(self.phase(None)?);
                None
            }
            Rate::ClosedThenHalf => {
                let closed = self.phase(None)?;
                let rate = half(&closed.driven);
                done.push(closed);
                Some(rate)
            }
        };
        if open.is_some() && self.goes_on() {
            done.push(self.phase(open)?);
        }
        for rate in done.iter().map(|done| done.rate).collect::<Vec<_>>() {
            if self.goes_on() {
                done.extend(self.counted(rate)?);
            }
        }
        Ok(done)
    }

    fn goes_on(&self) -> bool {
        !self.program.stop.is_set()
            && self.client.fault().is_none()
            && self.client.incomplete() == 0
    }

    fn plan(&self, rate: Option<u32>) -> Plan {
        let common: &Common = &self.args.common;
        let load = match rate {
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
            counted: Duration::from_secs(self.args.seconds.into()),
            grace: GRACE,
        }
    }

    fn phase(&mut self, rate: Option<u32>) -> anyhow::Result<Done> {
        let name = if rate.is_some() {
            "open"
        } else {
            "closed loop"
        };
        let before = self.metrics();
        let mut done = self.drive(name, rate, self.plan(rate))?;
        let after = self.metrics();
        let grown = |counter: &str| after.as_ref()?.growth(before.as_ref()?, counter);
        done.rows = grown("millpond_router_rows_total");
        done.commits = grown("millpond_router_commits_total");
        Ok(done)
    }

    fn drive(&mut self, name: &'static str, rate: Option<u32>, plan: Plan) -> anyhow::Result<Done> {
        let start_ns = self.clock.now_ns();
        let before = self.client.answered();
        self.client.phase = Phase::new(Drive::window(plan, start_ns));
        let mut progress = Progress::new(name, (plan.warmup + plan.counted).as_secs());
        let drive = Drive {
            clock: self.clock,
            plan,
            server: self.target.pid,
            stop: &self.program.stop,
            progress: &mut progress,
        };
        let driven = drive.run(&mut self.sockets, &mut self.client, start_ns)?;
        self.client.end_phase();
        Ok(Done {
            name,
            rate,
            driven,
            phase: std::mem::take(&mut self.client.phase),
            complete: self.client.answered() - before,
            rows: None,
            commits: None,
            counts: None,
        })
    }

    /// `None` where the server has no metrics for us: the report then says so.
    fn metrics(&self) -> Option<Metrics> {
        Metrics::read(self.target.admin?).ok()
    }

    fn counted(&mut self, rate: Option<u32>) -> anyhow::Result<Option<Done>> {
        let Some(pid) = self.target.pid else {
            return Ok(None);
        };
        let Ok(counting) = Counting::start(pid) else {
            return Ok(None);
        };
        let mut plan = self.plan(rate);
        plan.warmup = Duration::ZERO;
        plan.counted = plan.counted.min(COUNTED_MAX);
        let mut done = self.drive("with perf", rate, plan)?;
        done.counts = Some(counting.finish()?);
        Ok(Some(done))
    }

    fn violations(&self, phases: &[Done], judged: &Judged) -> Vec<String> {
        let mut violations = judged.violations.clone();
        violations.extend(self.client.fault().map(str::to_owned));
        let incomplete = self.client.incomplete();
        let interrupted = phases.iter().any(|done| done.driven.interrupted);
        if incomplete > 0 && !interrupted {
            violations.push(format!(
                "{incomplete} messages were not acked or not delivered"
            ));
        }
        violations
    }
}

const COUNTED_MAX: Duration = Duration::from_secs(5);

/// Half of what a closed loop gave, at least one.
fn half(driven: &Driven) -> u32 {
    let seconds = driven.window_ns.max(1);
    let half = u128::from(driven.answered) * u128::from(crate::SECOND_NS) / u128::from(seconds) / 2;
    u32::try_from(half).unwrap_or(u32::MAX).max(1)
}

fn in_flight(common: &Common) -> u32 {
    common.in_flight.unwrap_or(args::MESSAGES_IN_FLIGHT)
}

fn parameters(args: &Messages, cores: Cores, target: &Target) -> serde_json::Value {
    let common = &args.common;
    serde_json::json!({
        "connections": common.connections,
        "pairs": common.connections / 2,
        "rate": format!("{:?}", args.rate),
        "arrivals": format!("{:?}", common.arrivals),
        "in_flight": in_flight(common),
        "payload_bytes": common.payload,
        "warmup_s": common.warmup,
        "seconds": args.seconds,
        "ack_every": args.ack_every,
        "durability": if common.target.is_none() { Some(&args.durability) } else { None },
        "file_system": target.data.as_deref().and_then(file_system),
        "target": common.target,
        "server_core": if common.target.is_none() { cores.server } else { None },
        "client_core": cores.client,
        "lag_limit_ms": common.lag_limit_ms,
    })
}
