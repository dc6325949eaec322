//! `kill -9` of the server under a store that writes: what it acknowledged is there, and the store goes on by itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::ConversationKey;
use millpond_backplane::conformance::{history_row, message_write};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError};
use millpond_cassandra::{CassandraStore, Keyspace, Options, Replication, schema};
use millpond_testbed::{Backends, eventually_within};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Each takes one conversation. So many writers, and so many commits before the end, that a node whose commit log syncs at
/// an interval is seen to lose some: with one from `dev/backends` as it is, none may be missing.
const WRITERS: u64 = 64;
const COMMITS_BEFORE: u64 = 8_000;
/// A node of Cassandra takes some ten seconds to start.
const BACK_MAX: Duration = Duration::from_secs(120);

fn put(store: &CassandraStore, group: u64, seq: u64) -> Result<(), StoreError> {
    let writes = vec![message_write(ConversationKey::Group(group), seq, seq)];
    store.commit(&Batch { writes })
}

/// Writes until told to stop; the highest sequence that was acknowledged.
fn write(store: &CassandraStore, group: u64, acknowledged: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut seq = 0;
    while !stop.load(Ordering::Acquire) {
        put(store, group, seq + 1).unwrap();
        seq += 1;
        acknowledged.fetch_add(1, Ordering::AcqRel);
    }
    seq
}

/// A test that fails must not wait for its writers for ever.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn what_was_acknowledged_is_there_and_the_store_goes_on() {
    let Some(server) = Backends::start_or_skip(&["cassandra"]) else {
        return;
    };
    let contact_points = vec![server.address("cassandra").to_owned()];
    let options = Options {
        replication: Replication::Simple { copies: 1 },
        durability: Durability::Sync,
        retry_for: BACK_MAX,
        ..Options::new(contact_points, Keyspace::parse("kill").unwrap())
    };
    schema::apply(&options).unwrap();
    let store = CassandraStore::open(&options).unwrap();
    let impatient = CassandraStore::open(&Options {
        retry_for: Duration::from_secs(1),
        request_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        ..options.clone()
    });
    let impatient = impatient.unwrap();
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let written: Vec<u64> = std::thread::scope(|scope| {
        let writers = (1..=WRITERS).map(|group| {
            let (store, acknowledged, stop) = (&store, &acknowledged, &stop);
            scope.spawn(move || write(store, group, acknowledged, stop))
        });
        let writers: Vec<_> = writers.collect();
        let stopping = StopWhenDropped(&stop);
        kill_and_restart(&server, &impatient, &acknowledged);
        drop(stopping);
        let written = writers.into_iter().map(|writer| writer.join().unwrap());
        written.collect()
    });
    assert!(store.metrics().retries.value() > 0, "nobody noticed");
    for (group, &last) in (1..).zip(&written) {
        check(&store, ConversationKey::Group(group), last);
    }
}

/// Between the two the impatient store fails in time and in words; afterwards both work as they are.
fn kill_and_restart(server: &Backends, impatient: &CassandraStore, acknowledged: &AtomicU64) {
    let count = || acknowledged.load(Ordering::Acquire);
    eventually_within(BACK_MAX, "commits", || count() > COMMITS_BEFORE);
    server.kill("cassandra");
    let start = Instant::now();
    let error = put(impatient, 99, 1).unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let before = count();
    server.restart("cassandra");
    let start = Instant::now();
    eventually_within(BACK_MAX, "commits again", || count() > before + WRITERS);
    let _told = writeln!(
        std::io::stderr(),
        "\nback {:.1} s after the restart",
        start.elapsed().as_secs_f64()
    );
    eventually_within(BACK_MAX, "the impatient store works again", || {
        put(impatient, 99, 1).is_ok()
    });
}

fn check(store: &CassandraStore, conversation: ConversationKey, last: u64) {
    let read = Read::HistoryAfter {
        conversation,
        after: 0,
        rows: usize::MAX,
        bytes: usize::MAX,
    };
    let Answer::History(rows) = store.read(&[read]).unwrap().remove(0) else {
        panic!("wanted history");
    };
    let wanted = (1..=last).map(|seq| history_row(conversation, seq, seq));
    assert!(
        rows.iter().eq(wanted.collect::<Vec<_>>().iter()),
        "{conversation:?}: {} rows, {last} were acknowledged",
        rows.len()
    );
}
