//! Two stages over a log and a store in memory, stepped by hand, ended anywhere.

use crate::people::{direct, user};
use millpond_backplane::link::Downlink;
use millpond_backplane::log::{Appender, Log, Topic};
use millpond_backplane::memory::{
    Atomicity, ManualClock, MemoryLog, MemoryRoutes, MemoryStore, RecordingLink,
};
use millpond_backplane::store::{Durability, Write};
use millpond_backplane::{Entry, InboxBody, Position, VirtualPartition};
use millpond_router::Releaser;
use millpond_router::two_stage::{Config, Half, Owner, OwnerError, Progress};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Users in these tests have ids from 1 up to this.
pub(crate) const USERS: u64 = 4;

#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) log: MemoryLog,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) link: RecordingLink,
    pub(crate) config: Config,
}

impl Stages {
    pub(crate) fn new() -> Self {
        Self::over(Durability::Sync)
    }

    pub(crate) fn over(durability: Durability) -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        Self {
            log: MemoryLog::new(4, clock.clone()),
            store: Arc::new(MemoryStore::new(durability, Atomicity::Unit)),
            clock,
            link: RecordingLink::default(),
            config: Config {
                batch_entries_max: 3,
                lag_entries_max: 7,
                ..Config::default()
            },
        }
    }

    pub(crate) fn append(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut appender = self.log.appender(usize::MAX);
        for entry in entries {
            appender.append(entry).unwrap();
        }
        appender.flush();
    }

    pub(crate) fn owner(&self, half: Half) -> Result<Owner, OwnerError> {
        self.owner_of(half, &partitions(half))
    }

    pub(crate) fn owner_of(
        &self,
        half: Half,
        partitions: &[VirtualPartition],
    ) -> Result<Owner, OwnerError> {
        let routes = Arc::new(MemoryRoutes::new(Duration::from_secs(60)));
        let releaser = Releaser::new(routes, Box::new(self.link.clone()));
        let log: Box<dyn Log> = Box::new(self.log.clone());
        Owner::open(
            half,
            self.config,
            partitions,
            log,
            self.store.clone(),
            releaser,
        )
    }

    /// Runs one stage until it has nothing to do.
    pub(crate) fn run(&self, half: Half) {
        let mut owner = self.owner(half).unwrap();
        while owner.step().unwrap() == Progress::Busy {}
    }

    /// Runs both stages until neither has anything to do.
    pub(crate) fn run_both(&self) -> Vec<Downlink> {
        let mut owners = [Half::Conversations, Half::Inboxes].map(|half| self.owner(half).unwrap());
        loop {
            let [first, second] = owners.each_mut().map(|owner| owner.step().unwrap());
            if (first, second) == (Progress::Idle, Progress::Idle) && self.is_read() {
                return self.link.take();
            }
        }
    }

    /// Whether both stages would find nothing new.
    fn is_read(&self) -> bool {
        let halves = [Half::Conversations, Half::Inboxes];
        halves.iter().all(|half| {
            let mut owner = self.owner(*half).unwrap();
            while owner.counters().entries.value() == 0 {
                if owner.step().unwrap() == Progress::Idle {
                    return true;
                }
            }
            false
        })
    }

    pub(crate) fn rows(&self) -> Vec<Write> {
        self.store.dump()
    }

    pub(crate) fn rows_but_partitions(&self) -> Vec<Write> {
        let mut rows = self.rows();
        rows.retain(|row| !matches!(row, Write::Partition { .. }));
        rows
    }

    /// What one topic holds, by partition, in order.
    pub(crate) fn entries(&self, topic: Topic) -> BTreeMap<VirtualPartition, Vec<Entry>> {
        let half = match topic {
            Topic::Commands => Half::Conversations,
            Topic::Inboxes => Half::Inboxes,
        };
        let entries = |partition: VirtualPartition| {
            let logged = self.log.entries(topic, partition);
            (
                partition,
                logged.into_iter().map(|logged| logged.entry).collect(),
            )
        };
        partitions(half).into_iter().map(entries).collect()
    }
}

/// Every partition that the users of these tests can touch.
pub(crate) fn partitions(half: Half) -> Vec<VirtualPartition> {
    let mut partitions: Vec<VirtualPartition> = match half {
        Half::Conversations => (1..=USERS)
            .flat_map(|low| (low..=USERS).map(move |high| direct(low, high)))
            .map(VirtualPartition::of_conversation)
            .collect(),
        Half::Inboxes => (1..=USERS)
            .map(|id| VirtualPartition::of_user(user(id)))
            .collect(),
    };
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

/// The emissions that the inbox side would take: those above the high-water mark of their source.
pub(crate) fn first_emissions(entries: &[Entry]) -> Vec<Entry> {
    let mut last: BTreeMap<VirtualPartition, (Position, u32)> = BTreeMap::new();
    let is_first = |entry: &&Entry| match entry {
        Entry::Inbox(entry) => match &entry.body {
            InboxBody::Message { source, .. } => {
                let this = (source.position, source.emission);
                let mark = last.entry(source.partition).or_insert((Position::ZERO, 0));
                let first = this > *mark;
                *mark = this.max(*mark);
                first
            }
            InboxBody::Acked { .. } | InboxBody::Ahead { .. } => true,
        },
        Entry::Command(_) => true,
    };
    entries.iter().filter(is_first).cloned().collect()
}
