//! The fused core without threads: every batch is committed by hand.

use crate::people::{acked, address, ahead, at, direct, read, send, user};
use millpond_backplane::Entry;
use millpond_backplane::link::{Downlink, DownlinkBody};
use millpond_backplane::memory::{Atomicity, MemoryRoutes, MemoryStore, RecordingLink};
use millpond_backplane::routes::{Route, Routes};
use millpond_backplane::store::{Answer, Durability, Read, Store, Write};
use millpond_router::Releaser;
use millpond_router::fused::{Config, FusedCore, Now, Turn};
use millpond_wire::{AckStatus, Code, Kind, MarkKind, Records};
use std::sync::Arc;
use std::time::Duration;

/// A core over a store in memory, with everybody's routes and a link that remembers.
struct House {
    store: Arc<MemoryStore>,
    routes: Arc<MemoryRoutes>,
    link: RecordingLink,
    core: FusedCore,
    releaser: Releaser,
    now: Now,
}

impl House {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Batch));
        Self::over(store)
    }

    fn over(store: Arc<MemoryStore>) -> Self {
        let routes = Arc::new(MemoryRoutes::new(Duration::from_secs(3600)));
        routes.renew(address(1, 1).gateway, 1).unwrap();
        let link = RecordingLink::default();
        let core = FusedCore::open(Config::default(), store.clone()).unwrap();
        let releaser = Releaser::new(routes.clone(), Box::new(link.clone()));
        Self {
            store,
            routes,
            link,
            core,
            releaser,
            now: at(1_000_000),
        }
    }

    fn online(self, id: u64, device: u64) -> Self {
        let address = address(id, device);
        self.routes
            .put_one(Route {
                address,
                attempt: 1,
            })
            .unwrap();
        self
    }

    fn turn(&mut self, entries: impl IntoIterator<Item = Entry>) -> Turn {
        let mut entries = entries.into_iter().collect();
        self.core.run(&mut entries, self.now).unwrap()
    }

    fn commit(&mut self, turn: Turn) -> Vec<Downlink> {
        if !turn.batch.writes.is_empty() {
            self.store.commit(&turn.batch).unwrap();
        }
        self.core.committed(turn.number, Some(turn.batch));
        self.releaser.release(&turn.effects);
        self.link.take()
    }

    fn run(&mut self, entries: impl IntoIterator<Item = Entry>) -> Vec<Downlink> {
        let turn = self.turn(entries);
        self.commit(turn)
    }

    fn ask(&self, read: Read) -> Answer {
        self.store.read(&[read]).unwrap().remove(0)
    }

    fn pass(&mut self, ms: u64) {
        self.now.wall_ms += ms;
        self.now.steady_ms += ms;
    }
}

fn acks(sent: &[Downlink]) -> Vec<(u64, AckStatus, u64)> {
    let ack = |downlink: &Downlink| match &downlink.body {
        DownlinkBody::Ack(ack) => Some((ack.client_msg_id, ack.status, ack.seq)),
        _ => None,
    };
    sent.iter().filter_map(ack).collect()
}

fn refusals(sent: &[Downlink]) -> Vec<(u64, Code)> {
    let refusal = |downlink: &Downlink| match &downlink.body {
        DownlinkBody::Refused {
            client_msg_id,
            code,
            ..
        } => Some((*client_msg_id, *code)),
        _ => None,
    };
    sent.iter().filter_map(refusal).collect()
}

fn marks(sent: &[Downlink]) -> Vec<(u64, MarkKind, u64)> {
    let mark = |downlink: &Downlink| match &downlink.body {
        DownlinkBody::Mark(mark) => Some((downlink.to.user.value(), mark.kind, mark.up_to)),
        _ => None,
    };
    sent.iter().filter_map(mark).collect()
}

/// (user, device, cursor, how it looks)
fn deliveries(sent: &[Downlink]) -> Vec<(u64, u64, u64, String)> {
    let delivery = |downlink: &Downlink| match &downlink.body {
        DownlinkBody::Deliver { cursor, record } => {
            let to = downlink.to;
            Some((to.user.value(), to.device.0, *cursor, look(record)))
        }
        _ => None,
    };
    sent.iter().filter_map(delivery).collect()
}

fn look(record: &[u8]) -> String {
    let records = Records::parse(record).unwrap();
    let record = records.iter().next().unwrap();
    let text = String::from_utf8_lossy(record.payload);
    match record.origin {
        _ if record.stub => "stub".into(),
        Some(origin) => format!("mine from {}: {text}", origin.device.0),
        None => format!("{text}"),
    }
}

const NEW: AckStatus = AckStatus::New;
const DUPLICATE: AckStatus = AckStatus::Duplicate;

#[test]
fn a_message_costs_four_rows_and_reaches_every_device_as_it_should() {
    let mut house = House::new()
        .online(1, 1)
        .online(1, 2)
        .online(2, 1)
        .online(2, 7);
    let turn = house.turn([send(1, 2, 10, "hello").entry()]);
    assert_eq!(turn.batch.rows(), 4 + 1, "four rows and the partition's");
    let sent = house.commit(turn);
    assert_eq!(acks(&sent), [(10, NEW, 1)]);
    assert_eq!(
        deliveries(&sent),
        [
            (1, 1, 1, "stub".into()),
            (1, 2, 1, "mine from 1: hello".into()),
            (2, 1, 1, "hello".into()),
            (2, 7, 1, "hello".into()),
        ]
    );
}

#[test]
fn notes_to_self_have_one_member() {
    let mut house = House::new().online(1, 1).online(1, 2);
    let turn = house.turn([send(1, 1, 10, "milk").entry()]);
    assert_eq!(turn.batch.rows(), 3 + 1);
    let sent = house.commit(turn);
    let expected = [
        (1, 1, 1, "stub".into()),
        (1, 2, 1, "mine from 1: milk".into()),
    ];
    assert_eq!(deliveries(&sent), expected);
    assert_eq!(house.run([acked(1, 2, 1)]), [], "nobody else cares");
}

#[test]
fn sequences_and_cursors_have_no_gaps_across_conversations() {
    let mut house = House::new().online(2, 1);
    let entries = (0..30).map(|n| send(1 + 2 * (n % 2), 2, n, "x").entry());
    let sent = house.run(entries);
    let cursors: Vec<u64> = deliveries(&sent)
        .iter()
        .map(|delivery| delivery.2)
        .collect();
    assert_eq!(cursors, (1..=30).collect::<Vec<_>>());
    let seqs: Vec<u64> = acks(&sent).iter().map(|ack| ack.2).collect();
    assert_eq!(seqs, (0..30).map(|n| n / 2 + 1).collect::<Vec<_>>());
}

#[test]
fn a_resend_returns_the_first_result_in_the_same_batch_in_flight_and_after_a_restart() {
    let mut house = House::new();
    let message = || send(1, 2, 10, "hello").entry();
    let first = house.turn([message(), message()]);
    let second = house.turn([message(), send(1, 2, 10, "other").entry()]);
    assert!(second.batch.writes.is_empty());
    let sent = house.commit(first);
    assert_eq!(acks(&sent), [(10, NEW, 1), (10, DUPLICATE, 1)]);
    let sent = house.commit(second);
    assert_eq!(acks(&sent), [(10, DUPLICATE, 1)]);
    assert_eq!(refusals(&sent), [(10, Code::ID_REUSED)]);
    let sent = house.run([message()]);
    assert_eq!(acks(&sent), [(10, DUPLICATE, 1)]);

    let mut house = House::over(house.store);
    let turn = house.turn([message(), send(1, 2, 10, "other").entry()]);
    assert!(turn.batch.writes.is_empty());
    let sent = house.commit(turn);
    assert_eq!(acks(&sent), [(10, DUPLICATE, 1)]);
    assert_eq!(refusals(&sent), [(10, Code::ID_REUSED)]);
}

#[test]
fn all_that_was_unacknowledged_may_be_resent_after_a_restart() {
    let mut house = House::new();
    house.run((10..20).map(|id| send(1, 2, id, "x").entry()));
    let mut house = House::over(house.store);
    // One batch, in order, as a client does: after the first duplicate the higher ids are still known.
    let sent = house.run((10..22).map(|id| send(1, 2, id, "x").after(id - 1).entry()));
    let seqs: Vec<_> = acks(&sent).iter().map(|ack| (ack.1, ack.2)).collect();
    let expected: Vec<_> = (1..=12)
        .map(|seq| (if seq <= 10 { DUPLICATE } else { NEW }, seq))
        .collect();
    assert_eq!(seqs, expected);
}

#[test]
fn a_message_waits_for_the_one_before_it() {
    let mut house = House::new();
    let sent = house.run([
        send(1, 2, 11, "second").after(10).entry(),
        send(1, 2, 10, "first").entry(),
        send(1, 2, 11, "second").after(10).entry(),
        send(1, 2, 12, "third").after(10).entry(),
        send(1, 2, 13, "from elsewhere").device(2).after(10).entry(),
    ]);
    assert_eq!(acks(&sent), [(10, NEW, 1), (11, NEW, 2), (12, NEW, 3)]);
    let expected = [(11, Code::OUT_OF_ORDER), (13, Code::OUT_OF_ORDER)];
    assert_eq!(refusals(&sent), expected);
}

#[test]
fn old_ids_are_too_old() {
    let mut house = House::new();
    house.run([send(1, 2, 10, "hello").entry()]);
    house.pass(30 * 86_400_000 + 1);
    let sent = house.run([send(1, 2, 10, "hello").entry()]);
    assert_eq!(refusals(&sent), [(10, Code::TOO_OLD)]);
}

#[test]
fn what_cannot_be_sent_is_refused_and_leaves_nothing() {
    let mut house = House::new();
    let mut stranger = send(1, 2, 10, "x").command();
    stranger.conversation = direct(2, 3);
    let mut group = send(1, 2, 11, "x").command();
    group.conversation = millpond_backplane::ConversationKey::Group(5);
    let large = send(1, 2, 12, &"x".repeat(60 * 1024 + 1)).entry();
    let turn = house.turn([Entry::Command(stranger), Entry::Command(group), large]);
    assert!(turn.batch.writes.is_empty());
    let sent = house.commit(turn);
    let expected = [
        (10, Code::FORBIDDEN),
        (11, Code::NOT_FOUND),
        (12, Code::TOO_LARGE),
    ];
    assert_eq!(refusals(&sent), expected);
    let sent = house.run([send(1, 2, 12, &"x".repeat(60 * 1024)).entry()]);
    assert_eq!(acks(&sent), [(12, NEW, 1)]);
}

#[test]
fn an_acknowledged_cursor_becomes_a_delivered_mark_for_the_other() {
    let mut house = House::new().online(1, 1).online(1, 2).online(2, 1);
    house.run([send(1, 2, 10, "a").entry(), send(1, 2, 11, "b").entry()]);
    let sent = house.run([acked(2, 1, 1)]);
    assert_eq!(
        marks(&sent),
        [(1, MarkKind::Delivered, 1), (1, MarkKind::Delivered, 1)]
    );
    assert_eq!(
        house.run([acked(2, 1, 1), acked(2, 3, 1)]),
        [],
        "nothing new"
    );
    assert_eq!(
        house.run([acked(2, 1, 99)]),
        [],
        "told later: one hint a second"
    );
    house.pass(1000);
    let sent = house.run([]);
    assert_eq!(
        marks(&sent),
        [(1, MarkKind::Delivered, 2), (1, MarkKind::Delivered, 2)]
    );
    let Answer::Marks(Some(row)) = house.ask(Read::Marks(direct(1, 2))) else {
        panic!("the marks were written within a second")
    };
    assert_eq!((row.members[1].delivered, row.members[1].read), (2, 0));
    let Answer::User(Some(row)) = house.ask(Read::User(user(2))) else {
        panic!("so were the devices")
    };
    assert_eq!(
        row.devices
            .iter()
            .map(|known| known.cursor)
            .collect::<Vec<_>>(),
        [2, 1]
    );
}

#[test]
fn a_cursor_acknowledged_long_after_is_looked_up() {
    let mut house = House::new();
    house.run((0..200).map(|id| send(1 + 2 * (id % 2), 2, id, "x").entry()));
    let mut house = House::over(house.store).online(1, 1).online(3, 1);
    let sent = house.run([acked(2, 1, 150), acked(2, 1, 199)]);
    let expected = [(1, MarkKind::Delivered, 75), (3, MarkKind::Delivered, 75)];
    assert_eq!(marks(&sent), expected);
    house.pass(1000);
    let expected = [(1, MarkKind::Delivered, 100), (3, MarkKind::Delivered, 99)];
    assert_eq!(marks(&house.run([])), expected);
}

#[test]
fn a_cursor_acknowledged_before_its_batch_is_durable_needs_no_store() {
    let mut house = House::new();
    let messages = (0..100).map(|id| send(if id < 50 { 3 } else { 1 }, 2, id, "x").entry());
    let first = house.turn(messages);
    let second = house.turn([acked(2, 1, 100)]);
    house.commit(first);
    house.commit(second);
    let last = house.core.run_last(house.now);
    house.commit(last);
    for (low, high, member) in [(1, 2, 1), (2, 3, 0)] {
        let Answer::Marks(Some(row)) = house.ask(Read::Marks(direct(low, high))) else {
            panic!("the marks of {low} and {high} moved")
        };
        assert_eq!(row.members[member].delivered, 50);
    }
}

#[test]
fn lagging_rows_cost_at_most_one_row_per_message() {
    let mut house = House::new();
    let mut rows = 0;
    for round in 1..=50 {
        let messages = (0..40).map(|n| send(2 * n + 1, 2 * n + 2, round, "x").entry());
        let acks = (1..=80).map(|id| acked(id, 1, round - 1));
        let turn = house.turn(messages.chain(acks).collect::<Vec<_>>());
        rows += turn.batch.rows();
        house.commit(turn);
        house.pass(1000);
    }
    assert!(rows <= 50 * (40 * 5 + 1), "{rows}");
    assert!(
        rows > 50 * 40 * 4 + 1000,
        "{rows}: some of what lags is written"
    );
    while house.core.has_dirty() {
        let turn = house.core.run_last(house.now);
        house.commit(turn);
    }
    let users = house
        .store
        .dump()
        .into_iter()
        .filter(|row| matches!(row, Write::User { .. }));
    assert_eq!(users.count(), 80);
}

#[test]
fn what_was_read_is_told_to_the_author_and_the_readers_other_devices() {
    let mut house = House::new().online(1, 1).online(2, 1).online(2, 2);
    house.run([send(1, 2, 10, "a").entry()]);
    let sent = house.run([read(2, 1, 1), read(2, 1, 7), read(2, 1, 0)]);
    let read = MarkKind::Read;
    assert_eq!(marks(&sent), [(1, read, 1), (2, read, 1), (2, read, 1)]);
}

#[test]
fn a_cursor_beyond_the_head_gives_the_inbox_a_new_epoch() {
    let mut house = House::new().online(2, 1);
    house.run([send(1, 2, 10, "a").entry()]);
    assert_eq!(house.run([ahead(2, 1, 1, 1)]), [], "not beyond");
    assert_eq!(house.run([ahead(2, 1, 9, 5)]), [], "another epoch");
    let sent = house.run([ahead(2, 1, 1, 5)]);
    assert_eq!(sent[0].body, DownlinkBody::Kick(Code::UNKNOWN_EPOCH));
    let Answer::User(Some(row)) = house.ask(Read::User(user(2))) else {
        panic!("written at once")
    };
    assert_eq!(row.resets, 1);
    assert_eq!(house.run([ahead(2, 1, 1, 5)]), [], "said twice, done once");
}

#[test]
fn time_and_positions_never_go_back() {
    let mut house = House::new();
    house.run([send(1, 2, 10, "a").entry()]);
    let mut house = House::over(house.store);
    house.now.wall_ms = 5;
    house.run([send(1, 2, 11, "b").entry()]);
    let Answer::History(rows) = house.ask(Read::HistoryAfter {
        conversation: direct(1, 2),
        after: 0,
        rows: 9,
        bytes: usize::MAX,
    }) else {
        panic!("history")
    };
    assert_eq!(rows[0].message.server_ms, rows[1].message.server_ms);
    assert!(rows[0].position < rows[1].position);
    assert_eq!(rows[1].message.kind, Kind::TEXT);
}

#[test]
fn a_small_cache_changes_nothing() {
    let config = Config {
        caches: millpond_router::CacheLimits {
            conversations: 2,
            inboxes: 2,
        },
        ..Config::default()
    };
    let run = |config: Config| {
        let store = Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Batch));
        let mut house = House::over(store.clone());
        house.core = FusedCore::open(config, store.clone()).unwrap();
        for round in 0..40 {
            let entries =
                (0..8_u64).map(|n| send(1 + n, 20 + (n * round) % 5, round % 30, "x").entry());
            house.run(entries);
            house.run((0..5).map(|n| acked(20 + n, 1, round)));
            house.pass(300);
        }
        house.pass(1000);
        house.run([]);
        (store.dump(), house)
    };
    let (small, house) = run(config);
    let (large, _) = run(Config::default());
    assert!(small.len() > 300, "it did something");
    assert_eq!(small, large);
    let counters = house.core.counters();
    assert!(
        counters.conversations.value() < 40,
        "{:?}",
        counters.conversations
    );
    let partitions = small
        .iter()
        .filter(|write| matches!(write, Write::Partition { .. }));
    assert_eq!(partitions.count(), 1);
}
