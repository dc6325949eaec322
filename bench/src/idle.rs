//! `bench idle`: very many connections that stand still. What each costs, whether they stay, what a message to one of them
//! takes among all the others, and how they come back when all have gone at once.
//!
//! In this order, all in one run: the floor (bare sockets on this very kernel); the ramp, with a halt half way for a second
//! size; the hold, with heartbeats; messages to random ones; the storm; the end, and what memory is left behind.

mod figures;

pub use figures::IdleFigures;

use crate::args::Idle;
use crate::clock::SECOND_NS;
use crate::course::{Course, People, TURN, cores, growth, metrics};
use crate::cpu::own_cpu_ns;
use crate::crowd::Crowd;
use crate::floor::{self, Floor};
use crate::look::Look;
use crate::program::Program;
use crate::progress::Progress;
use crate::report::Verdict;
use crate::target::Target;
use crate::traffic::Traffic;
use figures::{Held, Memory, Routes, Storm};
use std::time::{Duration, Instant};

/// Runs the scenario and publishes its report.
pub fn run(args: &Idle, program: &Program) -> anyhow::Result<Verdict> {
    let mut course = Course::begin(&args.clients, program)?;
    eprintln!("floor: bare sockets on this kernel");
    let floor = floor::measure(program, args.clients.connections, &course.quiet)?;
    let before = Look::take(None, &course.quiet)?;
    let target = Target::wanted(program, &args.clients, 0)?;
    let people = course.people(&target)?;
    let crowd = course.crowd(args.clients.connections, &target, people)?;
    let figures = phases(args, &mut course, crowd, &target, &floor, &before)?;
    let parameters = serde_json::json!({
        "hold_s": args.hold,
        "messages": args.messages,
        "messages_per_second": args.rate,
        "storm": !args.no_storm,
    });
    let bars = figures.bars();
    course.publish("idle", parameters, Some(bars), figures)
}

fn phases(
    args: &Idle,
    course: &mut Course<'_>,
    mut crowd: Crowd<People>,
    target: &Target,
    floor: &Floor,
    before: &Look,
) -> anyhow::Result<IdleFigures> {
    let all = args.clients.connections;
    let started = Look::take(Some(target), &course.quiet)?;
    let clock_ns = || (target.cpu_ns(), own_cpu_ns().ok());
    let begun = clock_ns();
    let half = course.ramp(&mut crowd, target, all / 2)?;
    let look_half = Look::take_of(target, &course.quiet, &mut crowd)?;
    let half_standing = crowd.standing();
    let whole = course.ramp(&mut crowd, target, all)?;
    let connected = clock_ns();
    let look = Look::take_of(target, &course.quiet, &mut crowd)?;
    let memory = Memory::new(&figures::Measured {
        before,
        started: &started,
        half: (&look_half, half_standing),
        whole: (&look, crowd.standing()),
        floor,
    });
    let microseconds =
        |before: Option<u64>, now: Option<u64>| cores(before, now, 1e-6 * f64::from(all));
    let ramp_rate = figures::rate(half + whole, crowd.counts().established);
    let connects = std::mem::take(&mut crowd.connects);
    course.latencies.push(("connect", connects));
    let held = hold(args.hold, course, &mut crowd, target)?;
    let traffic = messages(args, course, &mut crowd, target)?;
    let counts = crowd.counts();
    course.judge_dropped(counts.dropped, "");
    let heartbeats = std::mem::take(&mut crowd.heartbeats);
    course.latencies.push(("heartbeat", heartbeats));
    let routes = Routes::read(target)?;
    let (mut people, storm) = storm(args, course, crowd, target)?;
    let judged = people.judge(traffic.caught_up(), course.clock.now_ns());
    course.violations.extend(judged.violations.iter().cloned());
    let left_bytes = left(course, target)?;
    Ok(IdleFigures {
        connections: counts.established,
        dropped: counts.dropped,
        turned_away: counts.turned_away,
        connects_per_second: ramp_rate,
        accepts_per_second: floor.accepts_per_second,
        connects_to_accepts: ramp_rate / floor.accepts_per_second,
        server_us_per_connect: microseconds(begun.0, connected.0),
        generator_us_per_connect: microseconds(begun.1, connected.1),
        memory,
        held,
        messages: traffic.figures(),
        routes,
        storm,
        left_bytes,
        judged,
    })
}

fn hold(
    seconds: u32,
    course: &mut Course<'_>,
    crowd: &mut Crowd<People>,
    target: &Target,
) -> anyhow::Result<Held> {
    let mut progress = Progress::new("holding", seconds.into());
    let counts = crowd.counts();
    let (server_ns, own_ns) = (target.cpu_ns(), own_cpu_ns().ok());
    let start_ns = course.clock.now_ns();
    let end_ns = start_ns + u64::from(seconds) * SECOND_NS;
    while course.clock.now_ns() < end_ns && !course.is_stopped() {
        crowd.turn(TURN)?;
        let answered = crowd.counts().heartbeats_answered - counts.heartbeats_answered;
        progress.show(course.clock.now_ns() - start_ns, answered);
        course.sample(crowd, target)?;
    }
    let passed_s = (course.clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
    let now = crowd.counts();
    let heartbeats = now.heartbeats - counts.heartbeats;
    Ok(Held {
        seconds: passed_s,
        heartbeats,
        heartbeats_per_second: heartbeats as f64 / passed_s,
        heartbeats_missed: now.heartbeats_missed - counts.heartbeats_missed,
        dropped: now.dropped - counts.dropped,
        server_cores: cores(server_ns, target.cpu_ns(), passed_s),
        generator_cores: cores(own_ns, own_cpu_ns().ok(), passed_s),
    })
}

fn messages(
    args: &Idle,
    course: &mut Course<'_>,
    crowd: &mut Crowd<People>,
    target: &Target,
) -> anyhow::Result<Traffic> {
    let count = u64::from(args.messages);
    let mut traffic = Traffic::new(crowd, 1, (count, args.rate), course.clock.now_ns());
    traffic.run(course, crowd, target, "messages")?;
    traffic.tell(course, ["message acked", "message delivered"]);
    Ok(traffic)
}

/// Everybody goes at once, and comes back as fast as it can.
fn storm(
    args: &Idle,
    course: &mut Course<'_>,
    crowd: Crowd<People>,
    target: &Target,
) -> anyhow::Result<(People, Option<Storm>)> {
    let all = args.clients.connections;
    let connections = u32::try_from(crowd.len())?;
    let people = crowd.scatter();
    if args.no_storm || course.is_stopped() {
        return Ok((people, None));
    }
    let start_ns = course.clock.now_ns();
    let mut crowd = course.crowd(all, target, people)?;
    let (server_ns, before) = (target.cpu_ns(), metrics(target)?);
    crowd.arrive(connections, course.at_rate(None));
    course.until_arrived(&mut crowd, target, "coming back")?;
    let seconds = (course.clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
    let counts = crowd.counts();
    let connects = std::mem::take(&mut crowd.connects);
    course.latencies.push(("back after the storm", connects));
    let storm = Storm {
        connections: counts.established,
        seconds,
        per_second: counts.established as f64 / seconds,
        turned_away: counts.turned_away,
        dropped: counts.dropped,
        closed_by_the_server: growth(&before, &metrics(target)?, "millpond_gateway_closed_total"),
        server_cores: cores(server_ns, target.cpu_ns(), seconds),
    };
    course.judge_dropped(counts.dropped, " after the storm");
    Ok((crowd.scatter(), Some(storm)))
}

/// How long the server may take to see that all have gone, and then to close the rings that they used; few used only one.
const EMPTY_WITHIN: Duration = Duration::from_secs(60);
const CLOSE_WITHIN: Duration = Duration::from_secs(8);
const SEEN_WITHIN: Duration = Duration::from_secs(1);
const FEW: u32 = 10_000;

/// What the server keeps when all have gone.
fn left(course: &Course<'_>, target: &Target) -> anyhow::Result<Option<u64>> {
    let patience = Instant::now();
    while !course.is_stopped() && patience.elapsed() < EMPTY_WITHIN {
        let held = metrics(target)?.and_then(|metrics| metrics.sum("millpond_gateway_connections"));
        if held.is_none_or(|held| held == 0.0) {
            let rings_close = course.clients.connections > FEW;
            std::thread::sleep(if rings_close {
                CLOSE_WITHIN
            } else {
                SEEN_WITHIN
            });
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(Look::take(Some(target), &course.quiet)?.server_bytes)
}
