//! Owners on threads of their own: what fails is opened again, and nothing is lost or doubled.

use crate::people::send;
use crate::stages::{Stages, USERS, partitions};
use millpond_backplane::log::{Log, LogError, Logged, Topic};
use millpond_backplane::memory::{AppendFault, MemoryLog, MemoryRoutes};
use millpond_backplane::metrics::Source;
use millpond_backplane::store::Write;
use millpond_backplane::{Entry, Position, VirtualPartition};
use millpond_router::Releaser;
use millpond_router::two_stage::{Half, Keeper, Owner, Progress};
use millpond_testbed::eventually;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn keep(stages: &Stages, half: Half) -> Keeper {
    let (log, store, link) = (
        stages.log.clone(),
        stages.store.clone(),
        stages.link.clone(),
    );
    let config = stages.config;
    let open = move || {
        let routes = Arc::new(MemoryRoutes::new(Duration::from_secs(60)));
        let releaser = Releaser::new(routes, Box::new(link.clone()));
        let log = Box::new(log.clone());
        Owner::open(
            half,
            config,
            &partitions(half),
            log,
            store.clone(),
            releaser,
        )
    };
    Keeper::start(format!("{half:?}"), open).unwrap()
}

fn count(keeper: &Keeper, name: &str) -> f64 {
    let mut samples = Vec::new();
    Source::samples(&*keeper.counts(), &mut samples);
    samples
        .iter()
        .find(|sample| sample.name == name)
        .unwrap()
        .value
}

#[test]
fn a_keeper_opens_again_what_fails() {
    let stages = Stages::new();
    stages
        .log
        .fail_read(LogError::Append("ordered by a test".into()));
    for written in [0, 1, usize::MAX] {
        stages.log.fail_append(AppendFault { written });
    }
    let keepers = [Half::Conversations, Half::Inboxes].map(|half| keep(&stages, half));
    for id in 1..=50 {
        stages.append([send(1, 2, id, "x").entry()]);
    }
    let placed = || {
        let rows = stages.rows();
        let of = |wanted| {
            let inbox =
                |row: &&Write| matches!(row, Write::Inbox { user, .. } if user.value() == wanted);
            rows.iter().filter(inbox).count()
        };
        (1..=USERS).map(of).collect::<Vec<_>>()
    };
    eventually("all is placed", || placed() == [50, 50, 0, 0]);
    let failures: f64 = keepers
        .iter()
        .map(|it| count(it, "router_owner_failures_total"))
        .sum();
    assert!(
        failures >= 4.0,
        "every ordered fault ended an owner: {failures}"
    );
    eventually("both stand", || {
        keepers.iter().all(|it| it.health().is_ok())
    });
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(placed(), [50, 50, 0, 0], "nothing is doubled");
}

/// A log whose neighbours have gone on.
#[derive(Debug)]
struct Passed(MemoryLog, Position);

impl Log for Passed {
    fn read(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        after: Position,
        max: usize,
    ) -> Result<Vec<Logged>, LogError> {
        self.0.read(topic, partition, after, max)
    }

    fn passed(&self, _topic: Topic, _partition: VirtualPartition) -> Position {
        self.1
    }

    fn append(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        entries: &[Entry],
    ) -> Result<(), LogError> {
        self.0.append(topic, partition, entries)
    }
}

/// What is consumed of a partition follows its neighbours: once when it is opened, and when it is told to.
#[test]
fn a_partition_where_nothing_happens_follows_its_neighbours() {
    let stages = Stages::new();
    let end = |offset| Position::end_of(1, offset);
    let run = |owner: &mut Owner| while owner.step().unwrap() == Progress::Busy {};
    let open = |offset| {
        let releaser = Releaser::new(
            Arc::new(MemoryRoutes::new(Duration::from_secs(60))),
            Box::new(stages.link.clone()),
        );
        let log = Box::new(Passed(stages.log.clone(), end(offset)));
        let all = partitions(Half::Inboxes);
        Owner::open(
            Half::Inboxes,
            stages.config,
            &all,
            log,
            stages.store.clone(),
            releaser,
        )
        .unwrap()
    };
    let consumed = || {
        let rows = stages.rows();
        let consumed = rows.into_iter().filter_map(|row| match row {
            Write::Partition { row, .. } => Some(row.consumed),
            _ => None,
        });
        consumed
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    let mut owner = open(700);
    run(&mut owner);
    assert_eq!(consumed(), [end(700)]);
    run(&mut open(600));
    assert_eq!(consumed(), [end(700)], "it never goes back");
    run(&mut open(900));
    assert_eq!(consumed(), [end(900)]);
}

#[test]
fn a_keeper_that_cannot_open_says_why() {
    let open = || Err(LogError::Append("ordered by a test".into()).into());
    let keeper = Keeper::start("conversations".into(), open).unwrap();
    eventually("it has tried", || {
        count(&keeper, "router_owner_failures_total") > 0.0
    });
    let why = keeper.health().unwrap_err();
    assert_eq!(why, "conversations: append failed: ordered by a test");
    assert!(count(&keeper, "router_owner_stands") < 1.0);
    let begun = Instant::now();
    drop(keeper);
    assert!(begun.elapsed() < Duration::from_secs(2), "it ends soon");
}
