//! The running driver: threads, queues, failures.

use crate::people::{acked, address, read, send, user};
use millpond_backplane::Entry;
use millpond_backplane::link::{Downlink, DownlinkBody};
use millpond_backplane::log::Appender;
use millpond_backplane::memory::{
    Atomicity, CommitFault, MemoryRoutes, MemoryStore, RecordingLink,
};
use millpond_backplane::metrics::Source;
use millpond_backplane::routes::{Route, Routes};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError, Write};
use millpond_router::fused::{Config, Fused, Now, intake};
use millpond_wire::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Running {
    store: Arc<MemoryStore>,
    link: RecordingLink,
    shards: Vec<Box<dyn Appender>>,
    fused: Fused,
    wall: Arc<AtomicU64>,
}

fn start(shards: usize, capacity: usize) -> Running {
    let store = Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Batch));
    let running = start_over(store.clone(), shards, capacity);
    Running { store, ..running }
}

fn start_over(store: Arc<dyn Store>, shards: usize, capacity: usize) -> Running {
    let routes = Arc::new(MemoryRoutes::new(Duration::from_secs(3600)));
    routes.renew(address(1, 1).gateway, 1).unwrap();
    routes
        .put_one(Route {
            address: address(2, 1),
            attempt: 1,
        })
        .unwrap();
    let link = RecordingLink::default();
    let (shards, intake) = intake(shards, capacity);
    let (wall, begun) = (Arc::new(AtomicU64::new(1_000_000)), Instant::now());
    let hands = wall.clone();
    let clock = move || Now {
        wall_ms: hands.load(Ordering::SeqCst),
        steady_ms: u64::try_from(begun.elapsed().as_millis()).unwrap(),
    };
    let link_end = Box::new(link.clone());
    let fused = Fused::start(Config::default(), store, routes, link_end, intake, clock);
    Running {
        store: Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Batch)),
        link,
        shards,
        fused: fused.unwrap(),
        wall,
    }
}

impl Running {
    fn append(&mut self, shard: usize, entry: Entry) {
        let mut waiting = Some(entry);
        while let Some(entry) = waiting.take() {
            waiting = self.shards[shard].append(entry).err().map(|full| full.0);
            self.shards[shard].flush();
        }
    }

    /// Downlinks until there are `count` that match.
    fn wait_for(&self, count: usize, matches: impl Fn(&DownlinkBody) -> bool) -> Vec<Downlink> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut sent = Vec::new();
        while sent
            .iter()
            .filter(|downlink: &&Downlink| matches(&downlink.body))
            .count()
            < count
        {
            assert!(Instant::now() < deadline, "only {sent:?}");
            std::thread::sleep(Duration::from_millis(1));
            sent.extend(self.link.take());
        }
        sent
    }
}

fn is_mark(body: &DownlinkBody) -> bool {
    matches!(body, DownlinkBody::Mark(_))
}

fn is_ack(body: &DownlinkBody) -> bool {
    matches!(body, DownlinkBody::Ack(_))
}

fn is_unavailable(body: &DownlinkBody) -> bool {
    matches!(
        body,
        DownlinkBody::Refused {
            code: Code::UNAVAILABLE,
            ..
        }
    )
}

#[test]
fn messages_of_many_shards_are_acknowledged_delivered_and_stored() {
    let mut running = start(3, 64);
    for id in 0..3000 {
        let shard = usize::try_from(id % 3).unwrap();
        running.append(shard, send(3 + id % 3, 2, id, "hello").entry());
    }
    let sent = running.wait_for(3000, is_ack);
    let cursors: Vec<u64> = sent
        .iter()
        .filter_map(|downlink| match downlink.body {
            DownlinkBody::Deliver { cursor, .. } => Some(cursor),
            _ => None,
        })
        .collect();
    assert!(
        cursors.is_sorted() && cursors.len() >= 2990,
        "{}",
        cursors.len()
    );
    running.append(0, acked(2, 1, 3000));
    let mut samples = Vec::new();
    running.fused.samples(&mut samples);
    let value = |name: &str| {
        samples
            .iter()
            .find(|sample| sample.name == name)
            .unwrap()
            .value
    };
    assert_eq!(value("router_messages_total"), 3000.0);
    running.fused.stop().unwrap();
    let rows = running.store.dump();
    let users = rows
        .iter()
        .filter(|write| matches!(write, Write::User { .. }));
    assert_eq!(users.count(), 1, "what lags is written at the end");
    let messages = rows
        .iter()
        .filter(|write| matches!(write, Write::Message { .. }));
    assert_eq!(messages.count(), 3000);
}

#[test]
fn a_wall_clock_that_is_set_back_holds_nothing_up() {
    const YEAR_2038: u64 = 2_145_916_800_000;
    let mut running = start(1, 64);
    running.wall.store(YEAR_2038, Ordering::SeqCst);
    running.append(0, send(1, 2, 1, "a").entry());
    running.append(0, send(1, 2, 2, "b").entry());
    running.append(0, read(1, 2, 1));
    running.wait_for(1, is_mark);
    running.wall.store(1_000_000, Ordering::SeqCst);
    running.append(0, read(1, 2, 2));
    running.append(0, acked(2, 1, 2));
    let told = running.wait_for(1, is_mark);
    let up_to = told.iter().filter_map(|downlink| match downlink.body {
        DownlinkBody::Mark(mark) => Some(mark.up_to),
        _ => None,
    });
    assert!(up_to.max() == Some(2), "{told:?}");
    let deadline = Instant::now() + Duration::from_secs(20);
    let cursor = Read::User(user(2));
    while running.store.read(&[cursor]).unwrap() == [Answer::User(None)] {
        assert!(Instant::now() < deadline, "the cursor is not written");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.fused.stop().unwrap();
}

#[test]
fn a_failed_commit_acknowledges_nothing_ever_again() {
    let mut running = start(1, 1024);
    running.append(0, send(1, 2, 1, "kept").entry());
    running.wait_for(1, is_ack);
    running.store.fail_commit(CommitFault { units_written: 0 });
    for id in 2..200 {
        running.append(0, send(1, 2, id, "lost").entry());
    }
    let sent = running.wait_for(198, is_unavailable);
    // A restored store does not help: memory is not trusted any more.
    running.store.reopen();
    for id in 1..100 {
        running.append(0, send(1, 2, id, "later").entry());
    }
    let later = running.wait_for(99, is_unavailable);
    let leaked = sent
        .iter()
        .chain(&later)
        .filter(|downlink| !is_unavailable(&downlink.body));
    assert_eq!(leaked.count(), 0, "no ack and no delivery");
    let why = running.fused.health().unwrap_err();
    assert!(why.to_string().contains("ordered by a test"), "{why}");
    assert!(running.fused.stop().is_err());
    assert_eq!(running.store.commits(), 1);
}

/// A slow store whose second commit fails, and which would take a third.
#[derive(Debug)]
struct FailsOnce {
    rows: MemoryStore,
    commits: AtomicU64,
}

impl Store for FailsOnce {
    fn read(&self, reads: &[Read]) -> Result<Vec<Answer>, StoreError> {
        self.rows.read(reads)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        std::thread::sleep(Duration::from_millis(20));
        match self.commits.fetch_add(1, Ordering::SeqCst) {
            1 => Err(StoreError::Failed("once".into())),
            _ => self.rows.commit(batch),
        }
    }

    fn epoch(&self) -> u64 {
        1
    }

    fn durability(&self) -> Durability {
        Durability::Sync
    }
}

#[test]
fn no_batch_is_committed_behind_one_that_failed() {
    let store = Arc::new(FailsOnce {
        rows: MemoryStore::new(Durability::Sync, Atomicity::Batch),
        commits: AtomicU64::new(0),
    });
    let mut running = start_over(store.clone(), 1, 1024);
    for id in 0..20 {
        running.append(0, send(1, 2, id, "x").entry());
        std::thread::sleep(Duration::from_millis(5));
    }
    running.wait_for(10, is_unavailable);
    assert!(running.fused.stop().is_err());
    assert_eq!(store.commits.load(Ordering::SeqCst), 2, "tried");
    assert_eq!(store.rows.commits(), 1, "succeeded");
}

#[test]
fn a_failed_read_stops_the_driver_too() {
    let mut running = start(1, 16);
    assert!(running.fused.health().is_ok());
    running.store.fail_read(StoreError::Corrupt {
        table: "history",
        what: "ordered by a test".into(),
    });
    running.append(0, send(1, 2, 1, "x").entry());
    let sent = running.wait_for(1, is_unavailable);
    assert_eq!(sent.len(), 1);
    assert!(running.fused.stop().is_err());
}

#[test]
fn a_full_queue_gives_the_record_back() {
    let (mut shards, intake) = intake(1, 2);
    for id in 0..2 {
        shards[0].append(send(1, 2, id, "x").entry()).unwrap();
    }
    let refused = send(1, 2, 2, "x").entry();
    assert_eq!(shards[0].append(refused.clone()).unwrap_err().0, refused);
    drop(intake);
    assert!(shards[0].append(refused).is_err(), "nobody listens");
}
