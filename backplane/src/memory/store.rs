//! Rows in ordered maps, with a model of what a crash takes away.
//!
//! Promises what the seam does and no more than it is told to: with [`Atomicity::Unit`] readers may see some units of a
//! batch before others, and a failed commit may leave a prefix of them, which is what a distributed store does.

mod rows;

use crate::store::{Answer, Batch, Durability, Read, Store, StoreError, Write};
use rows::Rows;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is written all or not at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Atomicity {
    Batch,
    Unit,
}

/// What happens to a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitFault {
    /// Units that are written all the same, partition rows last. Only of a store whose atomicity is the unit.
    pub units_written: usize,
}

/// How the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// `kill -9`: what the operating system has, stays.
    Kill,
    /// A power cut: of the batches that were not synced, the first `kept` happen to be on the disk.
    PowerCut { kept: usize },
}

/// What is ordered to happen to the next commit.
#[derive(Clone, Copy, Debug)]
enum Ordered {
    Fault(CommitFault),
    /// Each unit is written or not, as the bits say, and partition rows only behind all others.
    Tear(u64),
}

#[derive(Debug)]
pub struct MemoryStore {
    durability: Durability,
    atomicity: Atomicity,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rows: Rows,
    /// What a power cut leaves; kept only where commits do not sync.
    synced: Rows,
    unsynced: Vec<Batch>,
    epoch: u64,
    commits: u64,
    ordered: Option<Ordered>,
    /// No commit finds room.
    full: bool,
    read_fault: Option<StoreError>,
    failed: bool,
}

/// From one epoch to the next: more than the resets of any inbox, so that the sum of the two never comes again.
const EPOCH_STEP: u64 = 1 << 32;

impl MemoryStore {
    pub fn new(durability: Durability, atomicity: Atomicity) -> Self {
        Self {
            durability,
            atomicity,
            state: Mutex::new(State {
                rows: Rows::default(),
                synced: Rows::default(),
                unsynced: Vec::new(),
                epoch: 1,
                commits: 0,
                ordered: None,
                full: false,
                read_fault: None,
                failed: false,
            }),
        }
    }

    /// Orders the failure of the next commit; afterwards the store takes nothing until [`Self::reopen`].
    pub fn fail_commit(&self, fault: CommitFault) {
        assert!(fault.units_written == 0 || self.atomicity == Atomicity::Unit);
        self.lock().ordered = Some(Ordered::Fault(fault));
    }

    /// Orders that the next commit ends in the middle: of its units any may be written, each whole. For a store whose
    /// atomicity is the unit.
    pub fn tear_commit(&self, units: u64) {
        assert_eq!(self.atomicity, Atomicity::Unit);
        self.lock().ordered = Some(Ordered::Tear(units));
    }

    /// From now on the disk has room, or none; without room a commit fails as ordered ones do.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Orders the answer to the next read.
    pub fn fail_read(&self, error: StoreError) {
        self.lock().read_fault = Some(error);
    }

    /// What a store that syncs at an interval does at each.
    pub fn sync(&self) {
        let mut state = self.lock();
        for batch in std::mem::take(&mut state.unsynced) {
            state.synced.write_all(&batch.writes);
        }
    }

    /// Ends the process and starts it again. Where a commit does not sync, this is an unclean end: a new epoch.
    pub fn crash(&self, crash: Crash) {
        if let Crash::PowerCut { kept } = crash {
            self.lose_unsynced(kept);
        }
        let mut state = self.lock();
        if self.durability != Durability::Sync {
            state.epoch += EPOCH_STEP;
        }
        state.failed = false;
    }

    fn lose_unsynced(&self, kept: usize) {
        if self.durability == Durability::Sync {
            return;
        }
        let mut state = self.lock();
        let unsynced = std::mem::take(&mut state.unsynced);
        for batch in unsynced.iter().take(kept) {
            state.synced.write_all(&batch.writes);
        }
        state.rows = state.synced.clone();
    }

    /// Takes up work again after a failure.
    pub fn reopen(&self) {
        self.lock().failed = false;
    }

    /// From now on an older write wins over a newer one: a bug for simulations to find.
    pub fn forget_positions(&self) {
        self.lock().rows.careless = true;
    }

    /// Commits that succeeded.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Everything that is in it, in the order of keys: two stores are equal when these are.
    pub fn dump(&self) -> Vec<Write> {
        self.lock().rows.dump()
    }

    /// Every change leaves the rows whole, so a panic elsewhere under the lock does no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unit by unit, with the lock let go in between, so that readers see what a distributed store shows them.
    fn commit_units(&self, writes: &[Write], ordered: Option<Ordered>) {
        for unit in picked(writes, ordered) {
            self.lock().rows.write_all(unit);
            std::thread::yield_now();
        }
    }

    /// What a failed commit has written is no more on the disk than a batch, and no less: it stands in their order.
    fn leave_torn(&self, writes: &[Write], ordered: Ordered) {
        if self.durability == Durability::Sync {
            return;
        }
        let units = picked(writes, Some(ordered)).into_iter();
        let writes = units.flatten().cloned().collect();
        self.lock().unsynced.push(Batch { writes });
    }
}

impl Store for MemoryStore {
    fn read(&self, reads: &[Read]) -> Result<Vec<Answer>, StoreError> {
        let mut state = self.lock();
        if let Some(error) = state.read_fault.take() {
            return Err(error);
        }
        Ok(reads.iter().map(|read| state.rows.read(read)).collect())
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let ordered = {
            let mut state = self.lock();
            if state.failed {
                return Err(StoreError::Failed("it failed before".to_owned()));
            }
            let none = CommitFault { units_written: 0 };
            let full = state.full.then_some(Ordered::Fault(none));
            let ordered = full.or_else(|| state.ordered.take());
            state.failed = ordered.is_some();
            ordered
        };
        match self.atomicity {
            Atomicity::Batch if ordered.is_none() => self.lock().rows.write_all(&batch.writes),
            Atomicity::Batch => {}
            Atomicity::Unit => self.commit_units(&batch.writes, ordered),
        }
        if let Some(ordered) = ordered {
            self.leave_torn(&batch.writes, ordered);
            let what = format!("ordered by a test: {ordered:?}");
            return Err(StoreError::Failed(what));
        }
        let mut state = self.lock();
        state.commits += 1;
        if self.durability != Durability::Sync {
            state.unsynced.push(batch.clone());
        }
        Ok(())
    }

    fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn batches_are_atomic(&self) -> bool {
        matches!(self.atomicity, Atomicity::Batch)
    }
}

/// The units of a commit that are written.
fn picked(writes: &[Write], ordered: Option<Ordered>) -> Vec<Vec<&Write>> {
    let units = rows::units(writes);
    match ordered {
        None => units,
        Some(Ordered::Fault(fault)) => units.into_iter().take(fault.units_written).collect(),
        Some(Ordered::Tear(bits)) => {
            let mut whole = true;
            let mut place = 0_u32;
            let is_written = |unit: &Vec<&Write>| {
                let written = if unit
                    .iter()
                    .any(|write| matches!(write, Write::Partition { .. }))
                {
                    whole
                } else {
                    bits.rotate_right(place) & 1 == 1
                };
                place += 1;
                whole &= written;
                written
            };
            units.into_iter().filter(is_written).collect()
        }
    }
}
