//! The store over a real Cassandra: one node that all tests of this file share, a keyspace for each store.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod order;
mod pages;
mod schema;

use millpond_backplane::ConversationKey;
use millpond_backplane::conformance::{StorePromises, message_write, store_suite, user};
use millpond_backplane::metrics::Source;
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, Write};
use millpond_cassandra::{CassandraStore, Keyspace, Options, Replication, schema as tables};
use millpond_testbed::{Backends, skip};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// `None`, and a line that says so, where this machine lacks what it takes.
fn server() -> Option<&'static Backends> {
    static SERVER: OnceLock<Result<Backends, String>> = OnceLock::new();
    match SERVER.get_or_init(|| Backends::start(&["cassandra"])) {
        Ok(server) => Some(server),
        // Each test says so, and is counted.
        Err(said) => {
            skip(said);
            None
        }
    }
}

/// Of a keyspace that is not there yet.
fn options(server: &Backends) -> Options {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let keyspace = Keyspace::parse(&format!("test_{number}")).unwrap();
    let contact_points = vec![server.address("cassandra").to_owned()];
    Options {
        replication: Replication::Simple { copies: 1 },
        durability: Durability::Sync,
        ..Options::new(contact_points, keyspace)
    }
}

fn open(options: &Options) -> CassandraStore {
    tables::apply(options).unwrap();
    CassandraStore::open(options).unwrap()
}

fn direct() -> ConversationKey {
    ConversationKey::direct(user(5), user(9))
}

fn commit(store: &CassandraStore, writes: Vec<Write>) {
    store.commit(&Batch { writes }).unwrap();
}

fn ask(store: &CassandraStore, read: Read) -> Answer {
    store.read(&[read]).unwrap().remove(0)
}

fn value(store: &CassandraStore, name: &str) -> f64 {
    let mut samples = Vec::new();
    store.samples(&mut samples);
    let found = samples.iter().find(|sample| sample.name == name);
    found.unwrap_or_else(|| panic!("no {name}")).value
}

#[test]
fn conforms() {
    let Some(server) = server() else { return };
    let promises = StorePromises {
        whole_batches: false,
    };
    store_suite(promises, || open(&options(server)));
}

#[test]
fn many_callers_share_a_bound() {
    let Some(server) = server() else { return };
    let options = Options {
        in_flight_max: 3,
        ..options(server)
    };
    let store = open(&options);
    std::thread::scope(|scope| {
        for group in 1..=8 {
            let store = &store;
            scope.spawn(move || {
                let conversation = ConversationKey::Group(group);
                for seq in 1..=20 {
                    commit(store, vec![message_write(conversation, seq, seq)]);
                    let heads = [Read::HistoryHead(conversation); 5];
                    let row = millpond_backplane::conformance::history_row(conversation, seq, seq);
                    let wanted = vec![Answer::History(vec![row]); 5];
                    assert_eq!(store.read(&heads).unwrap(), wanted);
                    assert!(value(store, "store_requests_in_flight") <= 3.0);
                }
            });
        }
    });
    assert_eq!(value(&store, "store_requests_in_flight"), 0.0);
    assert_eq!(value(&store, "store_requests_total"), 8.0 * 20.0 * 6.0);
    assert_eq!(value(&store, "store_commits_total"), 160.0);
    assert_eq!(value(&store, "store_rows_total"), 320.0);
    assert!(value(&store, "store_bytes_total") > 160.0 * 60.0);
    assert!(value(&store, "store_commit_microseconds_max") > 0.0);
    assert_eq!(value(&store, "store_retries_total"), 0.0);
}
