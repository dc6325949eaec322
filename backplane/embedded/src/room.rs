//! Waiting until the engine has room for a batch.
//!
//! The engine's own back-pressure sits inside its commit: it sleeps 100 ms at a time while four memtables of a table wait
//! to be written out, and goes on sleeping when the threads that write them have died (its issue 257 describes what that
//! looks like after a restart). So a commit is held back here before it gets that far: in short sleeps, watching
//! whether the engine still lives, and for a bounded time.

use crate::tables::Tables;
use fjall::{AbstractTree, Database, Keyspace, PersistMode};
use millpond_backplane::store::StoreError;
use std::time::{Duration, Instant};

/// Memtables of one table that wait to be written out. One less than where the engine sleeps: a commit can add one.
const SEALED_MEMTABLES_MAX: usize = 2;
/// Runs of a table's first level. The engine stops at 30.
const FIRST_LEVEL_RUNS_MAX: usize = 27;
const SLEEP: Duration = Duration::from_micros(500);
/// Longer means that the engine has stopped for good.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Says how long it waited.
pub(crate) fn wait(database: &Database, tables: &Tables) -> Result<Duration, StoreError> {
    if has_room(tables) {
        return Ok(Duration::ZERO);
    }
    let start = Instant::now();
    while !has_room(tables) {
        if let Err(error) = database.persist(PersistMode::Buffer) {
            return Err(StoreError::Failed(format!("writing out rows: {error}")));
        }
        if start.elapsed() > WAIT_MAX {
            let what = format!("rows were not written out for {WAIT_MAX:?}");
            return Err(StoreError::Failed(what));
        }
        std::thread::sleep(SLEEP);
    }
    Ok(start.elapsed())
}

fn has_room(tables: &Tables) -> bool {
    tables.all().all(table_has_room)
}

fn table_has_room(keyspace: &Keyspace) -> bool {
    keyspace.sealed_memtable_count() <= SEALED_MEMTABLES_MAX
        && keyspace.tree.l0_run_count() <= FIRST_LEVEL_RUNS_MAX
}
