//! Runs seeds: one with its timeline, or many.

#![expect(clippy::print_stdout, reason = "a program for a person")]

use clap::Parser;
use millpond_sim::{Plan, Tally, Watch, run};
use std::time::Instant;

/// Simulates Millpond under accidents, and says what breaks.
#[derive(Parser, Debug)]
struct Args {
    /// Replays one seed, with the timeline.
    #[arg(long)]
    seed: Option<u64>,
    /// The first of many seeds.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
}

fn main() {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        let plan = Plan::of(seed);
        println!("{plan:?}");
        let outcome = run(
            &plan,
            Watch {
                timeline: true,
                seen: false,
            },
        );
        for line in &outcome.timeline {
            println!(
                "{:>12.6} {:<24} {}",
                line.at_us as f64 / 1e6,
                line.actor,
                line.what
            );
        }
        println!("{:#?}", outcome.findings);
        return;
    }
    let began = Instant::now();
    let mut tally = Tally::default();
    for seed in args.from..args.from + args.seeds {
        let outcome = run(&Plan::of(seed), Watch::default());
        tally.add(&outcome.tally);
        if let Some(first) = outcome.findings.first() {
            println!(
                "seed {seed}: {} findings; {}: {}",
                outcome.findings.len(),
                first.rule,
                first.what
            );
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{tally:#?}");
    println!(
        "{} messages/s, {:.0} runs/s",
        tally.messages as f64 / seconds,
        tally.runs as f64 / seconds
    );
}
