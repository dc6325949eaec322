//! The two-stage driver: commands and inboxes are partitions of a log, and an owner works through its partitions.
//!
//! An [`Owner`] of [`Half::Conversations`] reads commands and emits inbox entries; one of [`Half::Inboxes`] reads those
//! and emits commands about what was delivered. Both do the same four things, one per [`Owner::step`], so that a simulation
//! can interleave them and end them anywhere: run a batch of some partitions; append what it emitted; commit its rows;
//! release its effects.
//!
//! What an owner must never do: write a row before everything that was emitted up to its position is durable, or go on
//! after an error. Two owners of one partition at once can only repeat each other.

mod conversations;
mod inboxes;
mod keeper;
mod lane;

use crate::conversation::Rules;
use crate::effects::Effects;
use crate::release::Releaser;
use crate::world::{CacheLimits, Rows, Wants, World};
use lane::Lane;
use millpond_backplane::log::{Log, LogError, Logged, Topic};
use millpond_backplane::metrics::Counter;
use millpond_backplane::position::Stamp;
use millpond_backplane::row::Stage;
use millpond_backplane::store::{Batch, Store, StoreError};
use millpond_backplane::{Entry, Position, VirtualPartition};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use keeper::Keeper;

/// Which half of the router an owner is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// Sequences commands.
    Conversations,
    /// Places messages in inboxes.
    Inboxes,
}

/// Every bound of an owner.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub rules: Rules,
    pub caches: CacheLimits,
    /// Records of one batch.
    pub batch_entries_max: usize,
    /// Records of a partition after which lagging rows and the consumed position are written: what a replay repeats.
    pub lag_entries_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            caches: CacheLimits::default(),
            batch_entries_max: 1024,
            lag_entries_max: 16 * 1024,
        }
    }
}

/// The owner of a set of partitions of one stage.
#[derive(Debug)]
pub struct Owner {
    half: Half,
    config: Config,
    log: Box<dyn Log>,
    store: Arc<dyn Store>,
    releaser: Releaser,
    world: World,
    wants: Wants,
    rows: Rows,
    lanes: Vec<Lane>,
    /// The lane that is asked first next time, so that none is favoured.
    first: usize,
    batch: u64,
    phase: Phase,
    counters: Arc<OwnerCounters>,
}

/// The states, with what they need to step.
#[derive(Debug)]
struct Machines<'a> {
    world: &'a mut World,
    rows: &'a Rows,
    store: &'a dyn Store,
    counters: &'a OwnerCounters,
}

/// What a batch leads to.
#[derive(Debug, Default)]
struct Output {
    rows: Batch,
    emissions: BTreeMap<VirtualPartition, Vec<Entry>>,
    effects: Effects,
}

/// How far the batch at hand has come.
#[derive(Debug)]
enum Phase {
    Idle,
    /// Something may be left to append; then the rows are committed.
    Emitting {
        lanes: Vec<usize>,
        output: Output,
    },
    Committing {
        lanes: Vec<usize>,
        output: Output,
    },
    Releasing(Effects),
    /// An error: memory is ahead of what is durable, and nothing of it may be used.
    Dead,
}

/// What a step has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There was nothing to do: the partitions are read to their ends and all rows are written.
    Idle,
    Busy,
}

/// The numbers of an owner.
#[derive(Debug, Default)]
pub struct OwnerCounters {
    pub entries: Counter,
    /// Records that the rows had seen already: a replay.
    pub repeated: Counter,
    /// Emissions of the other stage that came twice.
    pub dropped: Counter,
    /// Records that no machine can take: skipped, and kept by the log.
    pub dead_letters: Counter,
    pub commits: Counter,
    pub rows: Counter,
}

/// Why an owner ends. The cure is a new owner, which replays.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("this owner has failed before")]
    Dead,
}

impl Owner {
    /// Goes on where the rows of these partitions end.
    pub fn open(
        half: Half,
        config: Config,
        partitions: &[VirtualPartition],
        mut log: Box<dyn Log>,
        store: Arc<dyn Store>,
        releaser: Releaser,
    ) -> Result<Self, OwnerError> {
        let lanes = Lane::open_all(&*store, half.stage(), partitions)?;
        for lane in &lanes {
            log.begin(half.reads(), lane.at.partition, lane.at.position);
        }
        Ok(Self {
            world: World::new(config.rules, config.caches, store.epoch(), 0),
            config,
            log,
            store,
            releaser,
            wants: Wants::default(),
            rows: Rows::default(),
            lanes,
            first: 0,
            batch: 0,
            phase: Phase::Idle,
            counters: Arc::default(),
            half,
        })
    }

    pub fn counters(&self) -> Arc<OwnerCounters> {
        self.counters.clone()
    }

    /// Goes on with the numbers of the owner before it.
    pub fn counting(mut self, counters: Arc<OwnerCounters>) -> Self {
        self.counters = counters;
        self
    }

    /// Lets partitions where nothing happens follow their neighbours: to be called now and then, far more often than the
    /// log forgets.
    pub fn pass_soon(&mut self) {
        self.lanes.iter_mut().for_each(Lane::pass_soon);
    }

    /// Does one bounded piece of work. After an error only [`OwnerError::Dead`] comes.
    pub fn step(&mut self) -> Result<Progress, OwnerError> {
        match std::mem::replace(&mut self.phase, Phase::Dead) {
            Phase::Idle => self.run_next()?,
            Phase::Emitting { lanes, output } => self.emit(lanes, output)?,
            Phase::Committing { lanes, output } => self.commit(&lanes, output)?,
            Phase::Releasing(effects) => {
                self.releaser.release(&effects);
                self.phase = Phase::Idle;
            }
            Phase::Dead => return Err(OwnerError::Dead),
        }
        let idle = matches!(self.phase, Phase::Idle) && self.lanes.iter().all(Lane::is_idle);
        Ok(if idle { Progress::Idle } else { Progress::Busy })
    }

    /// Runs a batch of the next partitions that have something, as many as fit; without any, writes what lags. One append
    /// and one commit are for all of them: what each of those costs does not grow with the partitions.
    fn run_next(&mut self) -> Result<(), OwnerError> {
        let (mut lanes, mut output) = (Vec::new(), Output::default());
        let mut room = self.config.batch_entries_max;
        let first = self.first;
        for turn in 0..self.lanes.len() {
            let lane = (first + turn) % self.lanes.len();
            let logged = self.read(lane, room)?;
            if logged.is_empty() && !self.lanes[lane].lags() {
                continue;
            }
            if lanes.is_empty() {
                self.batch += 1;
                self.world.begin(self.batch);
            }
            self.first = lane + 1;
            self.run(lane, &logged, &mut output)?;
            lanes.push(lane);
            room = room.saturating_sub(logged.len());
            if room == 0 {
                break;
            }
        }
        self.phase = if lanes.is_empty() {
            Phase::Idle
        } else {
            Phase::Emitting { lanes, output }
        };
        Ok(())
    }

    fn read(&mut self, lane: usize, max: usize) -> Result<Vec<Logged>, OwnerError> {
        let lane = &mut self.lanes[lane];
        let after = lane.at.position;
        match self
            .log
            .read(self.half.reads(), lane.at.partition, after, max)
        {
            Ok(logged) => {
                lane.read_to_end = logged.is_empty();
                if lane.read_to_end {
                    lane.pass(&*self.log, self.half.reads());
                }
                Ok(logged)
            }
            Err(LogError::Corrupt { offset, what })
                if offset > after.offset || after == Position::ZERO =>
            {
                tracing::error!(offset, %what, "skipped a record that does not decode");
                self.counters.dead_letters.add(1);
                lane.skip(offset);
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keys of different partitions are different ones, so what one leads to is nothing to the others.
    fn run(
        &mut self,
        lane: usize,
        logged: &[Logged],
        output: &mut Output,
    ) -> Result<(), OwnerError> {
        self.load(logged)?;
        let lane = &mut self.lanes[lane];
        lane.durable = lane.at.position;
        let mut machines = Machines {
            world: &mut self.world,
            rows: &self.rows,
            store: &*self.store,
            counters: &self.counters,
        };
        for Logged {
            position,
            append_ms,
            entry,
        } in logged
        {
            let stamp = lane.advance(*position, *append_ms);
            self.half.take(&mut machines, lane, stamp, entry, output)?;
        }
        self.counters.entries.add(logged.len() as u64);
        if lane.must_write(self.config.lag_entries_max) {
            lane.write(&mut self.world, self.half.stage(), &mut output.rows);
        }
        Ok(())
    }

    fn load(&mut self, logged: &[Logged]) -> Result<(), StoreError> {
        for Logged { entry, .. } in logged {
            self.half.want(&self.world, entry, &mut self.wants);
        }
        self.world.load(&*self.store, &mut self.wants)?;
        self.rows.clear();
        for Logged {
            entry, position, ..
        } in logged
        {
            self.half
                .look_up(&self.world, *position, entry, &mut self.rows);
        }
        self.world.look_up(&*self.store, &mut self.rows)
    }

    /// Appends what goes to the other stage, some partitions at a time; every stream of ours is a gap-free prefix.
    fn emit(&mut self, lanes: Vec<usize>, mut output: Output) -> Result<(), OwnerError> {
        self.log
            .append_some(self.half.emits(), &mut output.emissions)?;
        self.phase = if output.emissions.is_empty() {
            Phase::Committing { lanes, output }
        } else {
            Phase::Emitting { lanes, output }
        };
        Ok(())
    }

    fn commit(&mut self, lanes: &[usize], output: Output) -> Result<(), OwnerError> {
        if !output.rows.writes.is_empty() {
            self.store.commit(&output.rows)?;
            self.counters.commits.add(1);
            self.counters.rows.add(output.rows.rows() as u64);
        }
        for lane in lanes {
            self.lanes[*lane].committed();
        }
        self.world.committed(self.batch);
        self.phase = Phase::Releasing(output.effects);
        Ok(())
    }
}

impl Half {
    fn stage(self) -> Stage {
        match self {
            Self::Conversations => Stage::Conversations,
            Self::Inboxes => Stage::Inboxes,
        }
    }

    fn reads(self) -> Topic {
        match self {
            Self::Conversations => Topic::Commands,
            Self::Inboxes => Topic::Inboxes,
        }
    }

    fn emits(self) -> Topic {
        match self {
            Self::Conversations => Topic::Inboxes,
            Self::Inboxes => Topic::Commands,
        }
    }

    fn want(self, world: &World, entry: &Entry, wants: &mut Wants) {
        match (self, entry) {
            (Self::Conversations, Entry::Command(command)) => wants.command(world, command),
            (Self::Inboxes, Entry::Inbox(entry)) => wants.inbox(world, entry.user),
            (Self::Conversations, Entry::Inbox(_)) | (Self::Inboxes, Entry::Command(_)) => {}
        }
    }

    fn look_up(self, world: &World, position: Position, entry: &Entry, rows: &mut Rows) {
        match (self, entry) {
            (Self::Conversations, Entry::Command(command)) => {
                rows.command(world, position, command);
            }
            (Self::Inboxes, Entry::Inbox(entry)) => rows.entry(world, position, entry),
            (Self::Conversations, Entry::Inbox(_)) | (Self::Inboxes, Entry::Command(_)) => {}
        }
    }

    fn take(
        self,
        machines: &mut Machines<'_>,
        lane: &mut Lane,
        stamp: Stamp,
        entry: &Entry,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        match (self, entry) {
            (Self::Conversations, Entry::Command(command)) => {
                conversations::take(machines, lane, stamp, command, output)
            }
            (Self::Inboxes, Entry::Inbox(entry)) => {
                inboxes::take(machines, lane, stamp, entry, output)
            }
            (Self::Conversations, Entry::Inbox(_)) | (Self::Inboxes, Entry::Command(_)) => {
                tracing::error!(
                    ?stamp,
                    "skipped a record that does not belong into this topic"
                );
                machines.counters.dead_letters.add(1);
                Ok(())
            }
        }
    }
}

impl Output {
    fn emit(&mut self, entry: Entry) {
        self.emissions
            .entry(entry.partition())
            .or_default()
            .push(entry);
    }
}
