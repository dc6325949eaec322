//! A store that no server has open, to be looked at: nothing of ours is written to it.
//!
//! The lock is held as long as this lives. A journal that a crash tore is mended and replayed as at any start, but the
//! marks of how the last run ended stay, so the next server draws the same conclusions as without this look. Called by
//! `millpond verify` and `millpond why`.

use crate::directory::Directory;
use crate::error::store_error;
use crate::tables::{self, Table as Kept, Tables};
use crate::{OpenError, Options, identity, journal};
use fjall::{Database, Guard, Readable, Snapshot};
use millpond_backplane::audit::{KeyValue, Rows, Scan, Table};
use millpond_backplane::store::StoreError;
use std::path::Path;

/// The rows of one moment.
pub struct OfflineRows {
    snapshot: Snapshot,
    tables: Tables,
    epoch: u64,
    /// Closed after what reads from it.
    _database: Database,
    /// Let go last.
    _directory: Directory,
}

impl OfflineRows {
    /// Opens the store in this directory; it must be there.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let directory = Directory::lock_existing(path)?;
        let Some(rows) = directory.rows()? else {
            return Err(OpenError::NoStore {
                path: path.to_owned(),
            });
        };
        journal::check(&rows, directory.last_run_synced()?)?;
        let (database, tables) = tables::open(&rows, options)?;
        let epoch = identity::epoch(&tables)?;
        Ok(Self {
            snapshot: database.snapshot(),
            tables,
            epoch,
            _database: database,
            _directory: directory,
        })
    }

    /// Epoch of all inboxes, as the last run had it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Rows for OfflineRows {
    fn scan(&self, table: Table, from: &[u8]) -> Scan<'_> {
        let kept = kept(table);
        let rows = self.snapshot.range(self.tables.of(kept), from.to_vec()..);
        Box::new(rows.map(move |guard| key_value(kept, guard)))
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let kept = kept(table);
        let value = self.snapshot.get(self.tables.of(kept), key);
        let value = value.map_err(|error| store_error(kept.name(), &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<KeyValue>, StoreError> {
        let kept = kept(table);
        let mut rows = self.snapshot.prefix(self.tables.of(kept), prefix);
        rows.next_back()
            .map(|guard| key_value(kept, guard))
            .transpose()
    }
}

fn key_value(table: Kept, guard: Guard) -> Result<KeyValue, StoreError> {
    let (key, value) = guard
        .into_inner()
        .map_err(|error| store_error(table.name(), &error))?;
    Ok((key.to_vec(), value.to_vec()))
}

fn kept(table: Table) -> Kept {
    match table {
        Table::History => Kept::History,
        Table::Dedup => Kept::Dedup,
        Table::Marks => Kept::Marks,
        Table::Inbox => Kept::Inbox,
        Table::Users => Kept::Users,
        Table::Partitions => Kept::Partitions,
    }
}

impl std::fmt::Debug for OfflineRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfflineRows")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
