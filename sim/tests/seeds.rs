//! A fixed set of seeds over both drivers, the regression list, and the proof that the generator makes every frame and
//! every record there is.

use millpond_sim::{Bug, Plan, RECORDS, Tally, Watch, by_frame, run};
use millpond_wire::Tag;
use std::collections::BTreeSet;
use std::time::Instant;

/// Seeds of every run of the gate, half of them for each driver.
const SEEDS: u64 = 2_000;
/// Seeds that once found a bug, and what it was.
const REGRESSIONS: &[(u64, &str)] = &[
    (
        50,
        "a refusal that came twice made the outbox of the SDK turn for ever",
    ),
    (16_441, "a displaced connection outlived the newer one"),
    (70_763, "a displaced connection outlived the newer one"),
    (
        3_274,
        "a full log dropped the last mark of a RECEIPT each time",
    ),
    (28_892, "the same"),
    (33_924, "the same"),
    (45_942, "the same"),
    (84_240, "the same"),
    (201_936, "the same"),
    (
        39_310,
        "a SYNC without room was repeated later than the audit waited",
    ),
];
/// The same, since there are all kinds of accidents.
const REGRESSIONS_LATER: &[(u64, &str)] = &[
    (
        32_478,
        "the epoch after a power cut was one that a lost reset had led to before",
    ),
    (51_242, "the same"),
    (66_446, "the same"),
    (98_852, "the same"),
    (103_758, "the same"),
];
/// Seeds in which every frame and record has to come up.
const SEEN_SEEDS: u64 = 60;

#[test]
fn nothing_breaks_in_the_fixed_seeds() {
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    let began = Instant::now();
    for seed in 0..SEEDS {
        let outcome = run(&Plan::of(seed), Watch::default());
        tally.add(&outcome.tally);
        if let Some(first) = outcome.findings.first() {
            failed.push(format!("seed {seed}: {}: {:.300}", first.rule, first.what));
        }
    }
    let took = began.elapsed();
    let hours = tally.virtual_us / 3_600_000_000;
    let (runs, messages) = (tally.runs, tally.messages);
    let rate = u128::from(messages) * 1_000 / took.as_millis().max(1);
    println!(
        "{runs} runs in {took:.1?}: {hours} virtual hours, {messages} messages acknowledged, {rate}/s"
    );
    println!("accidents: {:?}", tally.faults);
    assert!(
        failed.is_empty(),
        "{failed:#?}\nreplay: cargo run --release -p millpond-sim -- --seed N --shrink"
    );
}

#[test]
fn what_was_found_once_stays_mended() {
    let earlier = REGRESSIONS
        .iter()
        .map(|(seed, what)| (Plan::of(*seed).earlier(), what));
    let later = REGRESSIONS_LATER
        .iter()
        .map(|(seed, what)| (Plan::of(*seed), what));
    for (plan, what) in earlier.chain(later) {
        let (seed, outcome) = (plan.seed, run(&plan, Watch::default()));
        assert!(outcome.is_clean(), "seed {seed}, {what}: {outcome:?}");
    }
}

#[test]
fn a_seed_is_one_run() {
    let plan = Plan::of(7);
    let watch = Watch {
        timeline: true,
        seen: false,
    };
    let [one, other] = [0, 1].map(|_| run(&plan, watch).timeline);
    let told = |lines: &[millpond_sim::Line]| format!("{lines:?}");
    assert!(told(&one) == told(&other), "the same seed went two ways");
}

#[test]
fn the_generator_makes_every_frame_and_every_record() {
    let watch = Watch {
        timeline: false,
        seen: true,
    };
    let mut seen = BTreeSet::new();
    for seed in 0..SEEN_SEEDS {
        seen.extend(run(&Plan::of(seed), watch).seen);
    }
    let frames = Tag::ALL.into_iter().filter(|tag| by_frame(*tag).is_some());
    let wanted = frames.map(Tag::name).chain(RECORDS);
    let missed: Vec<_> = wanted.filter(|name| !seen.contains(name)).collect();
    assert!(missed.is_empty(), "no operation brings about {missed:?}");
}

/// A bug of each driver is found soon; `--planted` prints the whole table.
#[test]
fn planted_bugs_are_found() {
    for bug in [Bug::AckBeforeSync, Bug::HighWaterOffByOne] {
        let plans = (0..200).map(|seed| Plan::of(seed).with_bug(Some(bug)));
        let found = plans
            .into_iter()
            .any(|plan| !run(&plan, Watch::default()).is_clean());
        assert!(found, "{} was not found", bug.name());
    }
}
