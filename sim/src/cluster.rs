//! The cluster's routers: owners of partitions of a log, stepped one piece of work at a time. They end anywhere, are
//! replaced while they live, and are resumed much later beside their successors.

use crate::chance::Chance;
use crate::embedded::record_bit;
use crate::plan::Bug;
use crate::shelf::Shelf;
use millpond_backplane::log::{Appender, Full, Log, LogError, Logged, Topic};
use millpond_backplane::memory::{MemoryAppender, MemoryLog, RecordingLink};
use millpond_backplane::routes::Routes;
use millpond_backplane::{ConversationKey, Entry, Position, VirtualPartition};
use millpond_router::two_stage::{Config, Half, Owner, Progress};
use millpond_router::{CacheLimits, Releaser};
use millpond_wire::UserId;
use std::sync::{Arc, Mutex, PoisonError};

/// Owners that were replaced and are still there.
const ZOMBIES_MAX: usize = 3;

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) log: MemoryLog,
    store: Arc<Shelf>,
    routes: Arc<dyn Routes>,
    link: RecordingLink,
    config: Config,
    owners: Vec<Member>,
    zombies: Vec<Owner>,
    pub(crate) seen: Arc<Mutex<u8>>,
    bug: Option<Bug>,
}

/// One place of an owner.
#[derive(Debug)]
struct Member {
    half: Half,
    partitions: Vec<VirtualPartition>,
    owner: Option<Owner>,
}

/// What a cluster is put together from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) log: MemoryLog,
    pub(crate) store: Arc<Shelf>,
    pub(crate) routes: Arc<dyn Routes>,
    pub(crate) link: RecordingLink,
    pub(crate) bug: Option<Bug>,
}

impl Cluster {
    pub(crate) fn new(parts: Parts, users: u64, chance: &mut Chance) -> Self {
        let caches = *chance.of(&[1, 3, 100]);
        let config = Config {
            caches: CacheLimits {
                conversations: caches,
                inboxes: caches,
            },
            batch_entries_max: 1 + chance.index(16),
            lag_entries_max: 1 + chance.index(40),
            ..Config::default()
        };
        let mut owners = Vec::new();
        for (half, all) in [
            (Half::Conversations, conversation_partitions(users)),
            (Half::Inboxes, inbox_partitions(users)),
        ] {
            let members = 1 + chance.index(2);
            let mut shares = vec![Vec::new(); members];
            for (place, partition) in all.into_iter().enumerate() {
                shares[place % members].push(partition);
            }
            let place = |partitions| Member {
                half,
                partitions,
                owner: None,
            };
            owners.extend(shares.into_iter().filter(|it| !it.is_empty()).map(place));
        }
        Self {
            log: parts.log,
            store: parts.store,
            routes: parts.routes,
            link: parts.link,
            config,
            owners,
            zombies: Vec::new(),
            seen: Arc::default(),
            bug: parts.bug,
        }
    }

    pub(crate) fn appender(&self, entries_max: usize) -> Box<dyn Appender> {
        Box::new(Uplink {
            inner: self.log.appender(entries_max),
            seen: Arc::clone(&self.seen),
        })
    }

    pub(crate) fn members(&self) -> usize {
        self.owners.len()
    }

    /// One piece of work of one owner; whoever has failed is replaced. True when there was nothing to do.
    pub(crate) fn step(&mut self, member: usize) -> bool {
        if self.owners[member].owner.is_none() {
            let opened = self.open(member);
            self.owners[member].owner = opened;
            return false;
        }
        let owner = self.owners[member].owner.as_mut().expect("there is one");
        match owner.step() {
            Ok(progress) => progress == Progress::Idle,
            Err(_) => {
                self.owners[member].owner = None;
                false
            }
        }
    }

    fn open(&self, member: usize) -> Option<Owner> {
        let Member {
            half, partitions, ..
        } = &self.owners[member];
        let releaser = Releaser::new(Arc::clone(&self.routes), Box::new(self.link.clone()));
        let log = Box::new(Watched {
            inner: self.log.clone(),
            seen: Arc::clone(&self.seen),
            late: (self.bug == Some(Bug::OffsetBeforeEmissions)).then(Vec::new),
        });
        let store = Arc::clone(&self.store) as _;
        Owner::open(*half, self.config, partitions, log, store, releaser).ok()
    }

    /// An owner ends where it stands.
    pub(crate) fn crash(&mut self, member: usize) {
        self.owners[member].owner = None;
    }

    /// An owner is thought dead and replaced, and goes on some time later.
    pub(crate) fn replace(&mut self, member: usize) {
        if let Some(owner) = self.owners[member].owner.take()
            && self.zombies.len() < ZOMBIES_MAX
        {
            self.zombies.push(owner);
        }
    }

    /// A zombie does a piece of work; after an error it ends.
    pub(crate) fn stir(&mut self, chance: &mut Chance) -> bool {
        if self.zombies.is_empty() {
            return false;
        }
        let place = chance.index(self.zombies.len());
        if self.zombies[place].step().is_err() || chance.one_in(60) {
            self.zombies.remove(place);
        }
        true
    }

    pub(crate) fn zombies(&self) -> usize {
        self.zombies.len()
    }

    pub(crate) fn bury(&mut self) {
        self.zombies.clear();
    }

    /// A partition moves between two owners of a half, whatever they are doing.
    pub(crate) fn rebalance(&mut self, chance: &mut Chance) {
        let from = chance.index(self.owners.len());
        let half = self.owners[from].half;
        let others: Vec<_> = (0..self.owners.len())
            .filter(|place| *place != from && self.owners[*place].half == half)
            .collect();
        if others.is_empty() || self.owners[from].partitions.len() < 2 {
            return self.replace(from);
        }
        let to = *chance.of(&others);
        let place = chance.index(self.owners[from].partitions.len());
        let moved = self.owners[from].partitions.remove(place);
        self.owners[to].partitions.push(moved);
        self.replace(from);
        self.replace(to);
    }
}

fn conversation_partitions(users: u64) -> Vec<VirtualPartition> {
    let pairs = (1..=users).flat_map(|low| (low..=users).map(move |high| (low, high)));
    let user = |id| UserId::new(id).expect("users are small numbers");
    let mut all: Vec<_> = pairs
        .map(|(low, high)| ConversationKey::direct(user(low), user(high)))
        .map(VirtualPartition::of_conversation)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn inbox_partitions(users: u64) -> Vec<VirtualPartition> {
    let mut all: Vec<_> = (1..=users)
        .filter_map(UserId::new)
        .map(VirtualPartition::of_user)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[derive(Debug)]
struct Uplink {
    inner: MemoryAppender,
    seen: Arc<Mutex<u8>>,
}

impl Appender for Uplink {
    fn append(&mut self, entry: Entry) -> Result<(), Full> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) |= record_bit(&entry);
        self.inner.append(entry)
    }

    fn flush(&mut self) {
        self.inner.flush();
    }
}

/// The log as an owner sees it.
#[derive(Debug)]
struct Watched {
    inner: MemoryLog,
    seen: Arc<Mutex<u8>>,
    /// A bug: what is emitted is appended only when the next batch is read, long after its offset was stored.
    late: Option<Vec<(Topic, VirtualPartition, Vec<Entry>)>>,
}

impl Log for Watched {
    fn read(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        after: Position,
        max: usize,
    ) -> Result<Vec<Logged>, LogError> {
        for (topic, partition, entries) in self.late.iter_mut().flat_map(std::mem::take) {
            self.inner.append(topic, partition, &entries)?;
        }
        self.inner.read(topic, partition, after, max)
    }

    fn append(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        entries: &[Entry],
    ) -> Result<(), LogError> {
        let bits = entries.iter().map(record_bit);
        let bits = bits.fold(0, |all, bit| all | bit);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) |= bits;
        match &mut self.late {
            Some(late) => {
                late.push((topic, partition, entries.to_vec()));
                Ok(())
            }
            None => self.inner.append(topic, partition, entries),
        }
    }
}
