//! Runs seeds: one with its timeline, many on all cores, or the table of planted bugs.

#![expect(clippy::print_stdout, reason = "a program for a person")]

use clap::Parser;
use millpond_sim::{
    Bug, Driver, Finding, Outcome, Plan, Real, RealOutcome, Tally, Watch, drive, run, shrink,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Simulates Millpond under accidents, and says what breaks.
#[derive(Parser, Debug)]
struct Args {
    /// Replays one seed, with the timeline of each actor.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: reduces a failing run first.
    #[arg(long)]
    shrink: bool,
    /// With --seed: the last lines shown of each actor.
    #[arg(long, default_value_t = 40)]
    lines: usize,
    /// The first of many seeds.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Runs on all cores for so long instead.
    #[arg(long)]
    minutes: Option<u64>,
    /// Runs until each planted bug is found, and prints how many seeds that took.
    #[arg(long)]
    planted: bool,
    /// Drives a real server over loopback, for some seconds; --seed varies what is done.
    #[arg(long)]
    real: bool,
    /// With --real: how long accidents go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// With --real: the server's program; the one beside this one if it is not named.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Plants a bug, by the number of its line in the table.
    #[arg(long)]
    bug: Option<usize>,
}

/// A run allocates a little for each message it moves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds that a planted bug may take.
const PLANTED_SEEDS_MAX: u64 = 10_000;
/// Findings shown of many seeds.
const SHOWN_MAX: usize = 20;

fn main() -> ExitCode {
    let args = Args::parse();
    let bug = args
        .bug
        .and_then(|number| Bug::ALL.get(number.checked_sub(1)?));
    if args.planted {
        return planted();
    }
    if args.real {
        return real(&args);
    }
    match args.seed {
        Some(seed) => one(
            Plan::of(seed).with_bug(bug.copied()),
            args.shrink,
            args.lines,
        ),
        None => many(&args),
    }
}

fn one(plan: Plan, shrunk: bool, lines: usize) -> ExitCode {
    let mut plan = plan;
    let first = run(&plan, Watch::default());
    if let (true, Some(finding)) = (shrunk, first.findings.first()) {
        plan = shrink(&plan, &finding.rule);
    }
    let watch = Watch {
        timeline: true,
        seen: false,
    };
    let outcome = run(&plan, watch);
    println!(
        "{plan:?}\nfaults: {:?}",
        plan.faults.iter().collect::<Vec<_>>()
    );
    tell(&outcome, lines);
    ended(outcome.is_clean())
}

/// A real server, for as long as it was told.
fn real(args: &Args) -> ExitCode {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("millpond"));
    let Some(program) = args.program.clone().or_else(beside) else {
        println!("say which program to drive: --program target/release/millpond");
        return ExitCode::FAILURE;
    };
    let real = Real {
        program,
        seed: args.seed.unwrap_or_default(),
        lasts: Duration::from_secs(args.seconds),
    };
    let began = Instant::now();
    match drive(&real) {
        Ok(outcome) => {
            tell_real(&outcome, began.elapsed());
            ended(outcome.is_clean())
        }
        Err(why) => {
            println!("{why}\nbuild it first: cargo build --release");
            ExitCode::FAILURE
        }
    }
}

fn tell_real(outcome: &RealOutcome, took: Duration) {
    let (tally, counts) = (&outcome.tally, &outcome.counts);
    println!(
        "{took:.1?} with quiet and audit: {} sent, {} acknowledged, {} refused, {} unanswered by {} devices; \
         {} delivered, {} read in history",
        counts.sent,
        counts.acked,
        counts.refused,
        counts.unanswered,
        counts.devices,
        counts.delivered,
        counts.history
    );
    for (fault, count) in &tally.faults {
        println!("{count:>10} {fault:?}");
    }
    println!("operations: {:?}", tally.operations);
    told(&outcome.findings);
    println!("{} findings", outcome.findings.len());
}

fn ended(clean: bool) -> ExitCode {
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The last lines of each actor, in the order of time.
fn tell(outcome: &Outcome, lines_max: usize) {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines: Vec<_> = outcome.timeline.iter().rev().collect();
    lines.retain(|line| {
        let count = left.entry(&line.actor).or_default();
        *count += 1;
        *count <= lines_max
    });
    for line in lines.into_iter().rev() {
        let (s, us) = (line.at_us / 1_000_000, line.at_us % 1_000_000);
        println!("{s:>5}.{us:06} {:<28} {}", line.actor, line.what);
    }
    told(&outcome.findings);
}

fn told(findings: &[Finding]) {
    for finding in findings {
        println!("\n{}: {}", finding.rule, finding.what);
        for step in &finding.steps {
            println!("    {step}");
        }
    }
}

/// What all cores share.
struct Shared {
    next: AtomicU64,
    tally: Mutex<Tally>,
    failed: Mutex<Vec<(u64, String)>>,
}

fn many(args: &Args) -> ExitCode {
    let began = Instant::now();
    let until = args
        .minutes
        .map(|minutes| began + Duration::from_secs(60 * minutes));
    let end = until.map_or(args.from + args.seeds, |_| u64::MAX);
    let shared = Shared {
        next: AtomicU64::new(args.from),
        tally: Mutex::default(),
        failed: Mutex::default(),
    };
    let cores = match until {
        Some(_) => std::thread::available_parallelism().map_or(1, usize::from),
        None => 1,
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| work(&shared, end, until));
        }
        while let Some(left) = until.and_then(|until| until.checked_duration_since(Instant::now()))
        {
            std::thread::sleep(left.min(Duration::from_secs(10)));
            progress(&shared, began);
        }
    });
    let tally = shared.tally.into_inner().expect("no thread has panicked");
    let failed = shared.failed.into_inner().expect("no thread has panicked");
    figures(&tally, began.elapsed(), cores);
    for (seed, what) in failed.iter().take(SHOWN_MAX) {
        println!("seed {seed}: {what:.200}");
    }
    println!("{} of {} runs failed", failed.len(), tally.runs);
    if let Some((seed, _)) = failed.first() {
        println!("look at one: cargo run --release -p millpond-sim -- --seed {seed} --shrink");
    }
    ended(failed.is_empty())
}

fn work(shared: &Shared, end: u64, until: Option<Instant>) {
    while until.is_none_or(|until| Instant::now() < until) {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let outcome = run(&Plan::of(seed), Watch::default());
        shared
            .tally
            .lock()
            .expect("no thread has panicked")
            .add(&outcome.tally);
        if let Some(first) = outcome.findings.first() {
            let what = format!("{}: {}", first.rule, first.what);
            let mut failed = shared.failed.lock().expect("no thread has panicked");
            failed.push((seed, what));
        }
    }
}

fn progress(shared: &Shared, began: Instant) {
    let tally = shared.tally.lock().expect("no thread has panicked").clone();
    let failed = shared.failed.lock().expect("no thread has panicked").len();
    println!(
        "{} runs, {:.0}/s, {:.3} virtual years, {} accidents, {failed} failed",
        tally.runs,
        per_second(tally.runs, began.elapsed()),
        years(tally.virtual_us),
        tally.faults.values().sum::<u64>()
    );
}

fn figures(tally: &Tally, took: Duration, cores: usize) {
    println!(
        "{} runs in {took:.1?} on {cores} cores: {:.2} virtual days, {} messages acknowledged, {} delivered",
        tally.runs,
        years(tally.virtual_us) * 365.25,
        tally.messages,
        tally.deliveries
    );
    let per_core = took * u32::try_from(cores).expect("few cores");
    println!(
        "{:.0} messages/s on one core",
        per_second(tally.messages, per_core)
    );
    for (fault, count) in &tally.faults {
        println!("{count:>10} {fault:?}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
fn years(us: u64) -> f64 {
    us as f64 / 1e6 / 86_400.0 / 365.25
}

fn planted() -> ExitCode {
    println!("| planted | driver | seeds to catch | as |\n| --- | --- | --- | --- |");
    let mut all = true;
    for bug in Bug::ALL {
        let plans = (0..PLANTED_SEEDS_MAX).map(|seed| Plan::of(seed).with_bug(Some(bug)));
        let caught = plans.zip(1..).find_map(|(plan, runs)| {
            let finding = run(&plan, Watch::default()).findings.into_iter().next()?;
            // What is wrong without the bug does not count.
            let clean = run(&plan.with_bug(None), Watch::default()).is_clean();
            clean.then_some((plan, runs, finding.rule))
        });
        match caught {
            Some((plan, runs, rule)) => {
                let driver = match plan.driver {
                    Driver::Fused => "fused",
                    Driver::TwoStage => "two-stage",
                };
                println!("| {} | {driver} | {runs} | {rule} |", bug.name());
            }
            None => {
                all = false;
                println!("| {} | | not in {PLANTED_SEEDS_MAX} | |", bug.name());
            }
        }
    }
    ended(all)
}
