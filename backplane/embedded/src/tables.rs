//! The engine's keyspaces, one for each kind of row.

use crate::{OpenError, Options};
use fjall::compaction::Leveled;
use fjall::config::{
    BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PinningPolicy,
};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};
use std::path::Path;
use std::sync::Arc;

/// In the order in which a batch is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Table {
    History,
    Dedup,
    Marks,
    Inbox,
    Users,
    Partitions,
    Meta,
}

impl Table {
    pub(crate) const ALL: [Self; 7] = [
        Self::History,
        Self::Dedup,
        Self::Marks,
        Self::Inbox,
        Self::Users,
        Self::Partitions,
        Self::Meta,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Dedup => "dedup",
            Self::Marks => "marks",
            Self::Inbox => "inbox",
            Self::Users => "users",
            Self::Partitions => "partitions",
            Self::Meta => "meta",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Tables([Keyspace; Table::ALL.len()]);

impl Tables {
    pub(crate) fn of(&self, table: Table) -> &Keyspace {
        &self.0[table as usize]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Keyspace> {
        self.0.iter()
    }
}

/// Opens the engine with all tables, which are made if they are not there.
pub(crate) fn open(path: &Path, options: &Options) -> Result<(Database, Tables), OpenError> {
    open_engine(path, options).map_err(|error| {
        let path = path.to_owned();
        if matches!(error, fjall::Error::Locked) {
            OpenError::Locked { path }
        } else {
            OpenError::Engine { path, error }
        }
    })
}

fn open_engine(path: &Path, options: &Options) -> fjall::Result<(Database, Tables)> {
    let database = Database::builder(path)
        .cache_size(options.cache_bytes)
        .max_journaling_size(options.journal_bytes_max)
        .worker_threads(options.workers)
        .max_cached_files(Some(options.open_files_max))
        .journal_compression(CompressionType::None)
        .open()?;
    let mut keyspaces = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        keyspaces.push(database.keyspace(table.name(), || keyspace_options(table, options))?);
    }
    let Ok(keyspaces) = <[Keyspace; Table::ALL.len()]>::try_from(keyspaces) else {
        unreachable!("one keyspace was opened for each table");
    };
    Ok((database, Tables(keyspaces)))
}

/// Filters of the upper levels stay in memory, so that asking for a row that is not there (a new message's dedup row)
/// reads nothing from the disk; those of lower levels are read in parts, or memory would grow with the store. Only
/// history compresses: the other rows are identifiers.
fn keyspace_options(table: Table, options: &Options) -> KeyspaceCreateOptions {
    let compression = match table {
        Table::History => CompressionPolicy::new([
            CompressionType::None,
            CompressionType::None,
            CompressionType::Lz4,
        ]),
        Table::Dedup
        | Table::Marks
        | Table::Inbox
        | Table::Users
        | Table::Partitions
        | Table::Meta => CompressionPolicy::disabled(),
    };
    KeyspaceCreateOptions::default()
        .max_memtable_size(options.memtable_bytes)
        .compaction_strategy(Arc::new(
            Leveled::default().with_table_target_size(options.table_bytes),
        ))
        .data_block_compression_policy(compression)
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
            BloomConstructionPolicy::BitsPerKey(10.0),
        )))
        .filter_block_pinning_policy(PinningPolicy::new([true, true, true, false]))
        .index_block_pinning_policy(PinningPolicy::new([true, true, true, false]))
}
