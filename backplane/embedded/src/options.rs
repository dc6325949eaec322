//! What can be chosen when a store is opened.

use millpond_backplane::store::Durability;
use std::time::Duration;

/// `examples/store_rate.rs` measures what a choice costs.
#[derive(Clone, Debug)]
pub struct Options {
    pub durability: Durability,
    /// How often [`Durability::Interval`] syncs.
    pub sync_interval: Duration,
    /// Bytes of one table's memtable before it is written out. Small ones keep stalls short. Taken when the store is
    /// created; an existing one keeps what it has.
    pub memtable_bytes: u64,
    /// Bytes of one table file after a merge. The first level holds four of them, and random keys make every merge into
    /// it rewrite all of it: so not much larger than a memtable. Taken when the store is created.
    pub table_bytes: u64,
    /// Bytes of blocks kept in memory, all tables together.
    pub cache_bytes: u64,
    /// Bytes of journals before tables that hold them back are written out; also what a restart has to read again.
    pub journal_bytes_max: u64,
    /// Threads that write out memtables and merge tables. The engine's first one only writes out, and hands merges back
    /// to the queue over and over while the others are busy: with two that costs a core, with one merges hold up commits.
    pub workers: usize,
    /// That the rows come from a backup: cursors may have been given out that they do not know, so every inbox takes a
    /// new epoch. For one open only.
    pub restored: bool,
    /// Open files of tables.
    pub open_files_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            sync_interval: Duration::from_millis(100),
            memtable_bytes: 4 << 20,
            table_bytes: 16 << 20,
            cache_bytes: 64 << 20,
            journal_bytes_max: JOURNAL_BYTES,
            workers: 3,
            restored: false,
            open_files_max: 512,
        }
    }
}

/// One journal; the engine's constant, and the least it accepts for all of them.
const JOURNAL_BYTES: u64 = 64 << 20;
