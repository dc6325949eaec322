//! `bench churn`: connections end and are made anew all the time, at a rate, among many that stand.

use crate::args::Churn;
use crate::clock::SECOND_NS;
use crate::course::{Course, TURN, cores, metrics};
use crate::latency::{Latency, Origin, Summary};
use crate::look::Look;
use crate::program::Program;
use crate::progress::Progress;
use crate::report::{Figures, Table, Verdict};
use crate::schedule::{Arrivals, Random, Schedule};
use crate::target::Target;
use crate::traffic::lag_beyond;
use serde::Serialize;
use std::time::Duration;

/// Places for those who are back before the ring has closed what they left.
const SPARE: u32 = 4_096;
const SEED: u64 = 0x6368_7572;

/// Runs the scenario and publishes its report.
pub fn run(args: &Churn, program: &Program) -> anyhow::Result<Verdict> {
    let connections = args.clients.connections;
    let mut course = Course::begin(&args.clients, program)?;
    let target = Target::wanted(program, &args.clients, 0)?;
    let people = course.people(&target)?;
    let mut crowd = course.crowd(connections + SPARE, &target, people)?;
    course.ramp(&mut crowd, &target, connections)?;
    let connects = std::mem::take(&mut crowd.connects);
    course.latencies.push(("first connect", connects));
    let before = Look::take_of(&target, &course.quiet, &mut crowd)?;

    let (counts, server_ns) = (crowd.counts(), target.cpu_ns());
    let start_ns = course.clock.now_ns();
    let lasts_ns = u64::from(args.lasts) * SECOND_NS;
    let mut schedule = Schedule::new(Arrivals::Poisson, args.rate, start_ns, start_ns + lasts_ns);
    let mut random = Random::new(SEED);
    let mut progress = Progress::new("churn", args.lasts.into());
    // Ends that found a client who was not back yet.
    let mut skipped = 0_u64;
    let mut lag = Latency::default();
    crowd.arrive(connections, course.at_rate(None));
    while schedule.peek_ns().is_some() && !course.is_stopped() {
        while let Some(intended_ns) = schedule.take_due(course.clock.now_ns()) {
            lag.record(course.clock.now_ns() - intended_ns);
            let at = usize::try_from(random.word() % u64::from(connections))?;
            match crowd.stands(at) {
                true => crowd.leave(at, intended_ns),
                false => skipped += 1,
            }
        }
        let now_ns = course.clock.now_ns();
        let next_ns = schedule.peek_ns().unwrap_or(now_ns);
        crowd.turn(TURN.min(Duration::from_nanos(next_ns.saturating_sub(now_ns))))?;
        progress.show(course.clock.now_ns() - start_ns, crowd.counts().left);
        course.sample(&crowd, &target)?;
    }
    let seconds = (course.clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
    let server_cores = cores(server_ns, target.cpu_ns(), seconds);
    course.until_arrived(&mut crowd, &target, "the last ones back")?;
    let after = Look::take_of(&target, &course.quiet, &mut crowd)?;
    let held = metrics(&target)?.and_then(|it| it.sum("millpond_gateway_connections"));
    let now = crowd.counts();
    course.judge_dropped(now.dropped, "");
    let late = lag_beyond(&lag, args.clients.lag_limit_ms);
    course.void.extend(late);
    let connects = std::mem::take(&mut crowd.connects);
    let figures = ChurnFigures {
        connections: crowd.standing(),
        made_anew: now.established - counts.established,
        per_second: (now.left - counts.left) as f64 / seconds,
        skipped,
        turned_away: now.turned_away - counts.turned_away,
        dropped: now.dropped,
        connect: connects.summary(Origin::IntendedSend),
        held_by_the_server: held,
        server_cores,
        server_bytes: [before.server_bytes, after.server_bytes],
    };
    course.latencies.push(("connect again", connects));
    let parameters = serde_json::json!({ "lasts_s": args.lasts, "ends_per_second": args.rate });
    course.publish("churn", parameters, None, figures)
}

#[derive(Debug, Serialize)]
struct ChurnFigures {
    connections: u64,
    made_anew: u64,
    /// That ended, while it lasted.
    per_second: f64,
    /// Ends that met a client who was not back yet.
    skipped: u64,
    turned_away: u64,
    dropped: u64,
    /// From the end of the connection before to standing again.
    connect: Summary,
    /// Connections by its own count, when all are back.
    held_by_the_server: Option<f64>,
    server_cores: Option<f64>,
    /// The server's own memory before and after.
    server_bytes: [Option<u64>; 2],
}

impl Figures for ChurnFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let mut row = |name: &str, value: Option<f64>| table.numbers(name, [value]);
        row("connections", Some(self.connections as f64));
        row("made anew", Some(self.made_anew as f64));
        row("  ended, per second", Some(self.per_second));
        row(
            "  turned away and come again",
            Some(self.turned_away as f64),
        );
        row(
            "  not back yet when their turn came",
            Some(self.skipped as f64),
        );
        row("dropped", Some(self.dropped as f64));
        row("standing again after, p50 µs", self.connect.p50_us);
        row("  p99 µs", self.connect.p99_us);
        row("connections by the server's count", self.held_by_the_server);
        row("server, cores", self.server_cores);
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let [before, after] = self.server_bytes.map(|bytes| bytes.map(mebibytes));
        row("server's own memory, MiB: before", before);
        row("  after", after);
        table
    }
}
