//! The store: opened, read, committed to, closed.

use crate::directory::Directory;
use crate::error::store_error;
use crate::failure::Failure;
use crate::metrics::{EngineNumbers, StoreMetrics};
use crate::read::View;
use crate::syncer::{Outcome, Syncer};
use crate::tables::{self, Tables};
use crate::write::Encoder;
use crate::{OpenError, Options, identity, journal, room};
use fjall::{Database, PersistMode};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Rows on this machine's disk. Dropping it closes it cleanly.
pub struct FjallStore {
    database: Database,
    tables: Tables,
    durability: Durability,
    epoch: u64,
    writer: Mutex<Writer>,
    /// Why this store takes no more.
    failure: Arc<Failure>,
    metrics: StoreMetrics,
    /// Ends before the engine does.
    syncer: Option<Syncer>,
    /// Let go last.
    _directory: Directory,
}

/// Commits go one after the other.
struct Writer {
    encoder: Encoder,
    /// As many as there were after the last commit.
    journals: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            encoder: Encoder::default(),
            journals: 1,
        }
    }
}

impl FjallStore {
    /// Opens the store in this directory, and makes one if there is none.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let start = Instant::now();
        let directory = Directory::lock(path)?;
        let rows = match directory.rows()? {
            Some(rows) => rows,
            None => make(&directory, options)?,
        };
        journal::check(&rows, directory.last_run_synced()?)?;
        directory.this_run_syncs(options.durability == Durability::Sync)?;
        let (database, tables) = tables::open(&rows, options)?;
        let epoch = identity::start(&database, &tables, options)?;
        let (metrics, failure) = (StoreMetrics::default(), Arc::<Failure>::default());
        let outcome = Outcome {
            failure: failure.clone(),
            syncs: metrics.syncs.clone(),
        };
        let syncer = start_syncer(&database, options, outcome).map_err(|error| OpenError::Io {
            path: path.to_owned(),
            error,
        })?;
        tracing::info!(path = %path.display(), took = ?start.elapsed(), "store opened");
        Ok(Self {
            database,
            tables,
            durability: options.durability,
            epoch,
            writer: Mutex::default(),
            failure,
            metrics,
            syncer,
            _directory: directory,
        })
    }

    /// `Err` when a commit or a sync has failed: nothing more is taken until the store is opened again.
    pub fn health(&self) -> Result<(), StoreError> {
        self.failure.check()
    }

    pub fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    pub(crate) fn engine_numbers(&self) -> EngineNumbers {
        let sum = |of: fn(&fjall::Keyspace) -> usize| self.tables.all().map(of).sum::<usize>();
        EngineNumbers {
            journals: self.database.journal_count() as u64,
            table_files: sum(fjall::Keyspace::table_count) as u64,
            sealed: sum(fjall::Keyspace::sealed_memtable_count) as u64,
            memtable_bytes: self.database.write_buffer_size(),
            cache_bytes: self.database.cache_size(),
        }
    }

    /// The right to commit; none after a failure. A panic in a commit is a failure too.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let Ok(writer) = self.writer.lock() else {
            return Err(StoreError::Failed("a commit has panicked".to_owned()));
        };
        self.failure.check().map(|()| writer)
    }

    fn commit_by(&self, writer: &mut Writer, batch: &Batch) -> Result<(), StoreError> {
        let waited = room::wait(&self.database, &self.tables)?;
        self.metrics.waited(waited);
        let start = Instant::now();
        let mode = match self.durability {
            Durability::Sync => PersistMode::SyncData,
            Durability::Interval | Durability::Os => PersistMode::Buffer,
        };
        let mut rows = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), batch.rows())
            .durability(Some(mode));
        let size = writer.encoder.encode(batch, &self.view(), &mut rows)?;
        rows.commit()
            .map_err(|error| store_error("a batch", &error))?;
        self.metrics.committed(size, start.elapsed());
        self.release_journals(writer)
    }

    /// A journal goes when every table has written out what it holds, and tables that are seldom written would keep it
    /// for long: what they hold is small, but a restart reads the whole of it. So when the engine begins a new journal,
    /// all tables write out what they have.
    fn release_journals(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let journals = self.database.journal_count();
        if journals > writer.journals {
            for keyspace in self.tables.all() {
                keyspace
                    .rotate_memtable()
                    .map_err(|error| store_error("a journal", &error))?;
            }
        }
        writer.journals = journals;
        Ok(())
    }

    fn view(&self) -> View<'_> {
        View {
            snapshot: self.database.snapshot(),
            tables: &self.tables,
        }
    }
}

impl Store for FjallStore {
    fn read(&self, reads: &[Read]) -> Result<Vec<Answer>, StoreError> {
        let view = self.view();
        reads.iter().map(|read| view.answer(read)).collect()
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        self.commit_by(&mut writer, batch).inspect_err(|error| {
            tracing::error!(%error, "the store failed and takes no more until it is opened again");
            self.failure.fail(error.to_string());
        })
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn durability(&self) -> Durability {
        self.durability
    }
}

impl Drop for FjallStore {
    fn drop(&mut self) {
        self.syncer.take();
        let Ok(writer) = self.writer() else {
            return;
        };
        if let Err(error) = identity::finish(&self.database, &self.tables) {
            tracing::error!(%error, "the store could not be closed cleanly");
        }
        drop(writer);
    }
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore")
            .field("durability", &self.durability)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// A whole new store; see [`Directory`] for what a crash on the way leaves.
fn make(directory: &Directory, options: &Options) -> Result<std::path::PathBuf, OpenError> {
    let making = directory.start_making()?;
    let (database, tables) = tables::open(&making, options)?;
    identity::start(&database, &tables, options)?;
    identity::finish(&database, &tables)?;
    drop((database, tables));
    directory.finish_making()?;
    let rows = directory.rows()?;
    Ok(rows.expect("a store that was just made is there"))
}

fn start_syncer(
    database: &Database,
    options: &Options,
    outcome: Outcome,
) -> std::io::Result<Option<Syncer>> {
    let database = database.clone();
    let sync = move || {
        let synced = database.persist(PersistMode::SyncData);
        synced.map_err(|error| error.to_string())
    };
    match options.durability {
        Durability::Interval => Syncer::start(options.sync_interval, outcome, sync).map(Some),
        Durability::Sync | Durability::Os => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{FjallStore, Options};
    use millpond_backplane::store::{Batch, Durability, Store as _};
    use tempfile::TempDir;

    #[test]
    fn after_a_failed_sync_the_store_is_ill_and_takes_nothing() {
        let directory = TempDir::new().unwrap();
        let options = Options {
            durability: Durability::Interval,
            ..Options::default()
        };
        let store = FjallStore::open(directory.path(), &options).unwrap();
        let epoch = store.epoch();
        store.commit(&Batch::default()).unwrap();
        store.health().unwrap();
        store.failure.fail("a sync failed".to_owned());
        for error in [
            store.health().unwrap_err(),
            store.commit(&Batch::default()).unwrap_err(),
        ] {
            assert!(error.to_string().contains("a sync failed"), "{error}");
        }
        drop(store);
        let store = FjallStore::open(directory.path(), &options).unwrap();
        assert_ne!(store.epoch(), epoch, "it was not closed cleanly");
    }
}
