//! What the store remembers of itself: its epoch, and whether it was closed.
//!
//! Cursors may be reused only after something acknowledged was lost, which a mode that syncs never does: so the epoch
//! changes at an open that finds the mark of a running process which did not sync, or is told of a restored backup. It
//! never changes while the store is open: routers and gateways read it once.

use crate::Options;
use crate::error::store_error;
use crate::tables::{Table, Tables};
use fjall::{Database, PersistMode};
use millpond_backplane::store::{Durability, StoreError};
use std::hash::{BuildHasher, RandomState};

const EPOCH: &str = "epoch";
const RUN: &str = "run";
const CLEAN: u8 = 0;
const RUNNING_SYNCED: u8 = 1;
const RUNNING_UNSYNCED: u8 = 2;

/// Epochs leave room above for the resets that are added to them.
const EPOCH_MAX: u64 = (1 << 62) - 1;

/// Marks the store as running and says which epoch this run has.
pub(crate) fn start(
    database: &Database,
    tables: &Tables,
    options: &Options,
) -> Result<u64, StoreError> {
    let epoch = match (read_epoch(tables)?, read_run(tables)?) {
        (Some(epoch), Some(CLEAN | RUNNING_SYNCED | RUNNING_UNSYNCED)) if options.restored => {
            another_epoch(epoch)
        }
        (Some(epoch), Some(CLEAN | RUNNING_SYNCED)) => epoch,
        (Some(epoch), Some(RUNNING_UNSYNCED)) => another_epoch(epoch),
        (None, None) => another_epoch(0),
        (epoch, run) => return corrupt(format!("epoch {epoch:?} with run {run:?}")),
    };
    let run = match options.durability {
        Durability::Sync => RUNNING_SYNCED,
        Durability::Interval | Durability::Os => RUNNING_UNSYNCED,
    };
    write(database, tables, Some(epoch), run)?;
    Ok(epoch)
}

/// What the last run had, without a mark that anybody looked.
pub(crate) fn epoch(tables: &Tables) -> Result<u64, StoreError> {
    match (read_epoch(tables)?, read_run(tables)?) {
        (Some(epoch), Some(CLEAN | RUNNING_SYNCED | RUNNING_UNSYNCED)) => Ok(epoch),
        (epoch, run) => corrupt(format!("epoch {epoch:?} with run {run:?}")),
    }
}

/// Syncs everything and marks the store as closed.
pub(crate) fn finish(database: &Database, tables: &Tables) -> Result<(), StoreError> {
    write(database, tables, None, CLEAN)
}

fn write(
    database: &Database,
    tables: &Tables,
    epoch: Option<u64>,
    run: u8,
) -> Result<(), StoreError> {
    let meta = tables.of(Table::Meta);
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    if let Some(epoch) = epoch {
        batch.insert(meta, EPOCH, epoch.to_be_bytes().as_slice());
    }
    batch.insert(meta, RUN, [run].as_slice());
    batch.commit().map_err(|error| engine(&error))
}

fn read_epoch(tables: &Tables) -> Result<Option<u64>, StoreError> {
    let value = tables.of(Table::Meta).get(EPOCH);
    let Some(value) = value.map_err(|error| engine(&error))? else {
        return Ok(None);
    };
    match <[u8; 8]>::try_from(&*value) {
        Ok(bytes) => Ok(Some(u64::from_be_bytes(bytes))),
        Err(_) => corrupt(format!("epoch of {} bytes", value.len())),
    }
}

fn read_run(tables: &Tables) -> Result<Option<u8>, StoreError> {
    let value = tables.of(Table::Meta).get(RUN);
    let Some(value) = value.map_err(|error| engine(&error))? else {
        return Ok(None);
    };
    match *value {
        [run] => Ok(Some(run)),
        _ => corrupt(format!("run mark of {} bytes", value.len())),
    }
}

/// The standard library's hash keys come from the operating system, which is random enough not to meet again.
fn another_epoch(epoch: u64) -> u64 {
    let drawn = RandomState::new().hash_one(epoch) & EPOCH_MAX;
    if drawn == epoch || drawn == 0 {
        epoch % EPOCH_MAX + 1
    } else {
        drawn
    }
}

fn engine(error: &fjall::Error) -> StoreError {
    store_error(Table::Meta.name(), error)
}

fn corrupt<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::Corrupt {
        table: Table::Meta.name(),
        what,
    })
}
