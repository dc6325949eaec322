//! The embedded store keeps the promises of the seam.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::conformance::{StorePromises, store_suite};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError};
use millpond_embedded::{FjallStore, Options};
use tempfile::TempDir;

/// A store with its directory, which outlives it.
#[derive(Debug)]
struct Temporary {
    store: FjallStore,
    _directory: TempDir,
}

impl Temporary {
    fn open(durability: Durability) -> Self {
        let directory = TempDir::new().unwrap();
        let options = Options {
            durability,
            ..Options::default()
        };
        Self {
            store: FjallStore::open(directory.path(), &options).unwrap(),
            _directory: directory,
        }
    }
}

impl Store for Temporary {
    fn read(&self, reads: &[Read]) -> Result<Vec<Answer>, StoreError> {
        self.store.read(reads)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.store.commit(batch)
    }

    fn epoch(&self) -> u64 {
        self.store.epoch()
    }

    fn durability(&self) -> Durability {
        self.store.durability()
    }
}

#[test]
fn conforms_in_every_mode() {
    let promises = StorePromises {
        whole_batches: true,
    };
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        store_suite(promises, || Temporary::open(durability));
    }
}
