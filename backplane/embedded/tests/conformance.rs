//! The embedded store keeps the promises of the seam.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::ConversationKey;
use millpond_backplane::conformance::{StorePromises, message_write, store_suite};
use millpond_backplane::metrics::Source;
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

fn conforms(durability: Durability) {
    let promises = StorePromises {
        whole_batches: true,
    };
    store_suite(promises, || Temporary::open(durability));
}

#[test]
fn conforms_when_it_syncs() {
    conforms(Durability::Sync);
}

#[test]
fn conforms_when_it_syncs_at_an_interval() {
    conforms(Durability::Interval);
}

#[test]
fn conforms_when_the_system_syncs() {
    conforms(Durability::Os);
}

#[test]
fn the_store_shows_its_numbers() {
    let temporary = Temporary::open(Durability::Sync);
    let writes = vec![message_write(ConversationKey::Group(4), 1, 1)];
    temporary.commit(&Batch { writes }).unwrap();
    let mut samples = Vec::new();
    temporary.store.samples(&mut samples);
    let value = |name: &str| {
        samples
            .iter()
            .find(|sample| sample.name == name)
            .unwrap()
            .value
    };
    assert_eq!(
        (value("store_commits_total"), value("store_rows_total")),
        (1.0, 2.0)
    );
    assert!(value("store_bytes_total") > 60.0 && value("store_bytes_total") < 200.0);
    assert!(value("store_commit_microseconds_max") > 0.0);
    assert!(value("store_journals") >= 1.0);
}
