//! `bench storm`: all clients are gone at once and come back as fast as they can, several times, while some who stay send
//! messages to each other. What those notice of it is the measure, beside how soon everybody is back.

use crate::args::Storm;
use crate::clock::SECOND_NS;
use crate::course::{Course, People, TURN, cores};
use crate::crowd::Crowd;
use crate::latency::{Latency, Summary};
use crate::program::Program;
use crate::report::{Figures, Judged, Spread, Table, Verdict};
use crate::target::Target;
use crate::traffic::{Traffic, TrafficFigures};
use serde::Serialize;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Seconds of messages before the first storm, to compare with.
const CALM_S: u64 = 5;
/// More messages than any run sends: storms end it.
const MESSAGES_MAX: u64 = 100_000_000;
/// For the people who stay to be others: their ids are of their millisecond.
const APART: Duration = Duration::from_millis(2);

/// How far the run is; those who stay are told by it.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

/// Those who stay come first.
const STAYING: u8 = 0;
const ARRIVING: u8 = 1;
const CALM: u8 = 2;
const STORMS: u8 = 3;
const OVER: u8 = 4;

impl Phase {
    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// Runs the scenario and publishes its report.
pub fn run(args: &Storm, program: &Program) -> anyhow::Result<Verdict> {
    let mut course = Course::begin(&args.clients, program)?;
    let target = Target::wanted(program, &args.clients, args.stay)?;
    let people = course.people(&target)?;
    std::thread::sleep(APART);
    let phase = Phase::default();
    // On a thread of their own: closing and opening very many sockets takes the other one its time.
    let (rounds, stayed) = std::thread::scope(|scope| {
        let stay = scope.spawn(|| stay(args, program, &target, &phase));
        while phase.is(STAYING) && !stay.is_finished() {
            std::thread::sleep(TURN);
        }
        let rounds = storms(args, &mut course, &target, people, &phase);
        phase.set(OVER);
        let stayed = stay.join().expect("a panic ends the process");
        (rounds, stayed)
    });
    let (rounds, stayed) = (rounds?, stayed?);
    course.violations.extend(stayed.violations);
    course.void.extend(stayed.void);
    course.latencies.extend(stayed.latencies);
    let figures = StormFigures {
        connections: args.clients.connections,
        stayed: args.stay,
        rounds,
        calm: stayed.calm,
        storm: stayed.storm,
        judged: stayed.judged,
    };
    let parameters = serde_json::json!({
        "rounds": args.rounds,
        "stay": args.stay,
        "messages_per_second": args.rate,
    });
    course.publish("storm", parameters, None, figures)
}

/// Lets all come, and after a while all go and come back, as often as was asked for.
fn storms(
    args: &Storm,
    course: &mut Course<'_>,
    target: &Target,
    people: People,
    phase: &Phase,
) -> anyhow::Result<Vec<Round>> {
    let mut crowd = course.crowd(args.clients.connections, target, people)?;
    course.ramp(&mut crowd, target, args.clients.connections)?;
    phase.set(CALM);
    let calm_until_ns = course.clock.now_ns() + CALM_S * SECOND_NS;
    while course.clock.now_ns() < calm_until_ns && !course.is_stopped() {
        crowd.turn(TURN)?;
        course.sample(&crowd, target)?;
    }
    phase.set(STORMS);
    let mut rounds = Vec::new();
    while rounds.len() < args.rounds as usize && !course.is_stopped() {
        let round;
        (crowd, round) = storm(course, crowd, target)?;
        rounds.push(round);
    }
    course.judge_dropped(crowd.counts().dropped, " after a storm");
    Ok(rounds)
}

/// All go, and come back.
fn storm(
    course: &mut Course<'_>,
    crowd: Crowd<People>,
    target: &Target,
) -> anyhow::Result<(Crowd<People>, Round)> {
    let connections = course.clients.connections;
    course.judge_dropped(crowd.counts().dropped, " before a storm");
    let (start_ns, server_ns) = (course.clock.now_ns(), target.cpu_ns());
    let mut crowd = course.crowd(connections, target, crowd.scatter())?;
    crowd.arrive(connections, course.at_rate(None));
    course.until_arrived(&mut crowd, target, "coming back")?;
    let seconds = (course.clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
    let counts = crowd.counts();
    let round = Round {
        seconds,
        per_second: counts.established as f64 / seconds,
        turned_away: counts.turned_away,
        server_cores: cores(server_ns, target.cpu_ns(), seconds),
    };
    Ok((crowd, round))
}

/// What those who stayed have seen.
struct Stayed {
    calm: TrafficFigures,
    storm: TrafficFigures,
    judged: Judged,
    latencies: Vec<(&'static str, Latency)>,
    void: Vec<String>,
    violations: Vec<String>,
}

/// Some connect before all others, and send messages to each other until it is over.
fn stay(args: &Storm, program: &Program, target: &Target, phase: &Phase) -> anyhow::Result<Stayed> {
    let mut course = Course::begin(&args.clients, program)?;
    let people = course.people(target)?;
    let mut crowd = course.crowd(args.stay, target, people)?;
    course.ramp(&mut crowd, target, args.stay)?;
    phase.set(ARRIVING);
    while phase.is(ARRIVING) && !course.is_stopped() {
        crowd.turn(TURN)?;
    }
    let (calm, storm) = talk(phase, &course, &mut crowd, args.rate)?;
    calm.tell(&mut course, ["calm: acked", "calm: delivered"]);
    storm.tell(&mut course, ["storm: acked", "storm: delivered"]);
    course.judge_dropped(crowd.counts().dropped, ", of those who stayed");
    let mut caught_up = calm.caught_up();
    caught_up.extend(storm.caught_up());
    caught_up.sort_unstable();
    caught_up.dedup();
    let judged = crowd.scatter().judge(caught_up, course.clock.now_ns());
    course.violations.extend(judged.violations.iter().cloned());
    Ok(Stayed {
        calm: calm.figures(),
        storm: storm.figures(),
        judged,
        latencies: course.latencies,
        void: course.void,
        violations: course.violations,
    })
}

/// Messages at their rate, before the storms and during them, until the last has arrived. Those of the second kind begin when
/// the first end: what a server owes then is in their latency.
fn talk(
    phase: &Phase,
    course: &Course<'_>,
    crowd: &mut Crowd<People>,
    rate: u32,
) -> anyhow::Result<(Traffic, Traffic)> {
    let now_ns = || course.clock.now_ns();
    let mut calm = Traffic::new(crowd, 1, (MESSAGES_MAX, rate), now_ns());
    let mut storm = None;
    loop {
        if storm.is_none() && !phase.is(CALM) {
            calm.stop(now_ns());
            storm = Some(Traffic::new(crowd, 1, (MESSAGES_MAX, rate), now_ns()));
        }
        let mut wait = calm.wait(now_ns());
        calm.send_due(crowd, now_ns());
        if let Some(storm) = &mut storm {
            if phase.is(OVER) || course.is_stopped() {
                storm.stop(now_ns());
            }
            storm.send_due(crowd, now_ns());
            wait = wait.min(storm.wait(now_ns()));
        }
        crowd.turn(wait)?;
        let heard = crowd.take_messages();
        calm.hear(&heard, now_ns());
        if let Some(mut storm) = storm.take_if(|storm| {
            storm.hear(&heard, now_ns());
            storm.is_over(now_ns()) && calm.is_over(now_ns())
        }) {
            calm.end();
            storm.end();
            return Ok((calm, storm));
        }
    }
}

/// One storm.
#[derive(Debug, Serialize)]
struct Round {
    /// Until the last one was back.
    seconds: f64,
    per_second: f64,
    turned_away: u64,
    server_cores: Option<f64>,
}

#[derive(Debug, Serialize)]
struct StormFigures {
    connections: u32,
    stayed: u32,
    rounds: Vec<Round>,
    calm: TrafficFigures,
    storm: TrafficFigures,
    judged: Judged,
}

impl Figures for StormFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let mut row = |name: &str, value: Option<f64>| table.numbers(name, [value]);
        let median = |of: fn(&Round) -> Option<f64>| {
            Spread::of(self.rounds.iter().filter_map(of)).map(|spread| spread.median)
        };
        row(
            "connections that go and come back",
            Some(self.connections.into()),
        );
        row("  times", Some(self.rounds.len() as f64));
        row(
            "  back, per second (median)",
            median(|round| Some(round.per_second)),
        );
        row(
            "  all back after, seconds",
            median(|round| Some(round.seconds)),
        );
        let away = self.rounds.iter().map(|round| round.turned_away as f64);
        row("  turned away and come again", Some(away.sum()));
        row("  server, cores", median(|round| round.server_cores));
        row("connections that stay", Some(self.stayed.into()));
        let mut times = |when: &str, of: &Summary| {
            table.numbers(&format!("  delivered {when}, p50 µs"), [of.p50_us]);
            table.numbers("    p99 µs", [of.p99_us]);
        };
        times("before", &self.calm.arrived);
        times("meanwhile", &self.storm.arrived);
        let checked = Some(self.judged.operations as f64);
        table.numbers("operations checked", [checked]);
        table
    }
}
