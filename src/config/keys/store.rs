//! The keys of the embedded store: memory, disk, threads.

use super::{Key, ranged};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) static KEYS: &[Key] = &[
    ranged!(bytes store.memtable_bytes, 64 * KIB..=GIB,
        "Memory of one table before it is written out; small ones keep stalls short. An existing store keeps what it has."),
    ranged!(bytes store.cache_bytes, MIB..=1024 * GIB, "Blocks of tables kept in memory."),
    ranged!(bytes store.journal_bytes_max, 64 * MIB..=64 * GIB,
        "Journals kept before tables are written out; also what a restart reads again."),
    ranged!(count store.workers, 1..=64, "Threads that write out and merge tables."),
    ranged!(count store.open_files_max, 16..=1_000_000, "Open files of tables."),
];
