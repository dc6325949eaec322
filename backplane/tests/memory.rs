//! The in-memory drivers keep the promises of their seams, and fail exactly as ordered.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::conformance::{
    StorePromises, log_suite, message_write, routes_suite, store_suite, user,
};
use millpond_backplane::log::{Log, LogError, Topic};
use millpond_backplane::memory::{
    AppendFault, Atomicity, CommitFault, Crash, ManualClock, MemoryLog, MemoryRoutes, MemoryStore,
    ROUTES_PER_USER_MAX,
};
use millpond_backplane::routes::{Put, Route, Routes};
use millpond_backplane::row::{PartitionRow, Stage};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError, Write};
use millpond_backplane::{
    Address, Command, CommandBody, ConversationKey, Entry, GatewayId, Handle, Position,
    VirtualPartition,
};
use millpond_wire::DeviceId;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_store_of_whole_batches_conforms() {
    let promises = StorePromises {
        whole_batches: true,
    };
    store_suite(promises, || {
        MemoryStore::new(Durability::Sync, Atomicity::Batch)
    });
}

#[test]
fn a_store_of_units_conforms() {
    let promises = StorePromises {
        whole_batches: false,
    };
    store_suite(promises, || {
        MemoryStore::new(Durability::Os, Atomicity::Unit)
    });
}

#[test]
fn logs_conform_on_any_number_of_real_partitions() {
    for real_partitions in [1, 8, 16, 256] {
        log_suite(|| {
            let log = MemoryLog::new(real_partitions, Arc::new(ManualClock::at(5)));
            let appender = log.appender(1_000);
            (log, appender)
        });
    }
}

#[test]
fn routes_conform() {
    let clock = Arc::new(ManualClock::default());
    let lease = Duration::from_secs(10);
    routes_suite(
        || MemoryRoutes::with_clock(lease, clock.clone()),
        |_| clock.advance(10_001),
    );
}

#[test]
fn a_user_with_too_many_devices_loses_a_dead_one_first() {
    let clock = Arc::new(ManualClock::default());
    let routes = MemoryRoutes::with_clock(Duration::from_secs(10), clock.clone());
    let route = |device: u64, gateway: u32, attempt: u32| Route {
        address: Address {
            gateway: GatewayId(gateway),
            gateway_epoch: 1,
            handle: Handle {
                shard: 0,
                slot: attempt,
                generation: 1,
            },
            user: user(1),
            device: DeviceId(device),
        },
        attempt,
    };
    let first = Put::Taken { displaced: None };
    routes.renew(GatewayId(1), 1).unwrap();
    assert_eq!(routes.put_one(route(99, 1, 9)).unwrap(), first);
    clock.advance(10_001);
    routes.renew(GatewayId(2), 1).unwrap();
    let most = ROUTES_PER_USER_MAX as u64;
    for device in 1..=most {
        assert_eq!(
            routes.put_one(route(device, 2, 2)).unwrap(),
            first,
            "{device}"
        );
    }
    let displaced = Some(route(most, 2, 2));
    assert_eq!(
        routes.put_one(route(most, 2, 3)).unwrap(),
        Put::Taken { displaced }
    );
    let displaced = Some(route(1, 2, 2));
    assert_eq!(
        routes.put_one(route(50, 2, 3)).unwrap(),
        Put::Taken { displaced }
    );
}

fn conversation() -> ConversationKey {
    ConversationKey::direct(user(1), user(2))
}

fn batch(seq: u64) -> Batch {
    Batch {
        writes: vec![message_write(conversation(), seq, seq)],
    }
}

fn head(store: &MemoryStore) -> u64 {
    match &store.read(&[Read::HistoryHead(conversation())]).unwrap()[..] {
        [Answer::History(rows)] => rows.first().map_or(0, |row| row.message.seq),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_changes_the_epoch() {
    let store = MemoryStore::new(Durability::Interval, Atomicity::Batch);
    let epoch = store.epoch();
    for seq in 1..=3 {
        store.commit(&batch(seq)).unwrap();
    }
    store.sync();
    for seq in 4..=7 {
        store.commit(&batch(seq)).unwrap();
    }
    store.crash(Crash::Kill);
    assert_eq!(head(&store), 7, "kill -9 loses nothing");
    assert!(
        store.epoch() > epoch + u64::from(u32::MAX),
        "resets that were lost must not lead to it"
    );
    store.crash(Crash::PowerCut { kept: 1 });
    assert_eq!(head(&store), 4);
    store.crash(Crash::PowerCut { kept: 9 });
    assert_eq!(head(&store), 4, "what was kept is on the disk");
}

#[test]
fn a_power_cut_takes_nothing_from_a_store_that_syncs() {
    let store = MemoryStore::new(Durability::Sync, Atomicity::Batch);
    let epoch = store.epoch();
    store.commit(&batch(1)).unwrap();
    store.crash(Crash::PowerCut { kept: 0 });
    assert_eq!((head(&store), store.epoch()), (1, epoch));
}

#[test]
fn a_failed_commit_leaves_nothing_and_ends_the_store_until_it_is_reopened() {
    let store = MemoryStore::new(Durability::Sync, Atomicity::Batch);
    store.commit(&batch(1)).unwrap();
    store.fail_commit(CommitFault { units_written: 0 });
    for seq in [2, 3] {
        let failed = store.commit(&batch(seq));
        assert!(matches!(failed, Err(StoreError::Failed(_))));
    }
    assert_eq!(head(&store), 1);
    store.reopen();
    store.commit(&batch(2)).unwrap();
    assert_eq!((head(&store), store.commits()), (2, 2));
}

#[test]
fn a_torn_commit_leaves_whole_units_and_partitions_last() {
    let store = MemoryStore::new(Durability::Sync, Atomicity::Unit);
    let mut writes: Vec<_> = (1..=2)
        .map(|seq| message_write(conversation(), seq, seq))
        .collect();
    writes.insert(0, message_write(ConversationKey::Group(9), 1, 3));
    store.fail_commit(CommitFault { units_written: 1 });
    store.commit(&Batch { writes }).unwrap_err();
    let kept = store.dump();
    assert!(matches!(
        &kept[..],
        [Write::Message { .. }, Write::Message { .. }]
    ));
    assert_eq!(
        head(&store),
        2,
        "two messages of one conversation are one unit"
    );
}

#[test]
fn of_a_commit_that_ends_in_the_middle_any_units_are_there_and_a_partition_only_behind_all() {
    let partition = Write::Partition {
        stage: Stage::Conversations,
        partition: VirtualPartition::of_conversation(conversation()),
        row: PartitionRow {
            consumed: Position {
                epoch: 1,
                offset: 3,
                index: 0,
            },
            time_ms: 1,
            high_water: Vec::new(),
        },
    };
    for bits in 0..8_u64 {
        let store = MemoryStore::new(Durability::Sync, Atomicity::Unit);
        let writes = vec![
            partition.clone(),
            message_write(conversation(), 1, 1),
            message_write(ConversationKey::Group(9), 1, 2),
            message_write(conversation(), 2, 3),
        ];
        store.tear_commit(bits);
        store.commit(&Batch { writes }).unwrap_err();
        let kept = store.dump();
        let partitions = kept.iter().any(|it| matches!(it, Write::Partition { .. }));
        let messages = kept.len() - usize::from(partitions);
        assert_eq!(messages, [0, 2, 1, 3][(bits & 3) as usize], "{kept:?}");
        assert_eq!(partitions, bits & 3 == 3);
    }
}

#[test]
fn a_full_disk_takes_nothing_until_there_is_room() {
    let store = MemoryStore::new(Durability::Sync, Atomicity::Batch);
    store.set_full(true);
    store.commit(&batch(1)).unwrap_err();
    store.reopen();
    store.commit(&batch(1)).unwrap_err();
    store.set_full(false);
    store.commit(&batch(1)).unwrap_err();
    store.reopen();
    store.commit(&batch(1)).unwrap();
    assert_eq!(head(&store), 1);
}

#[test]
fn a_power_cut_keeps_units_of_a_failed_commit_that_are_older_than_what_it_keeps() {
    let store = MemoryStore::new(Durability::Interval, Atomicity::Unit);
    store.commit(&batch(1)).unwrap();
    store.fail_commit(CommitFault { units_written: 1 });
    let mut torn = batch(2);
    let other = message_write(ConversationKey::Group(9), 1, 2);
    torn.writes.push(other);
    store.commit(&torn).unwrap_err();
    store.reopen();
    store.commit(&batch(3)).unwrap();
    let before = store.dump();
    assert_eq!(before.len(), 3, "two batches and one unit");
    store.crash(Crash::PowerCut { kept: 3 });
    assert_eq!(store.dump(), before);
}

#[test]
fn an_ordered_read_fault_comes_once() {
    let store = MemoryStore::new(Durability::Sync, Atomicity::Batch);
    store.fail_read(StoreError::Failed("as ordered".to_owned()));
    store.read(&[]).unwrap_err();
    store.read(&[]).unwrap();
}

fn read_marks(count: u64) -> Vec<Entry> {
    let mark = |up_to| {
        Entry::Command(Command {
            conversation: conversation(),
            body: CommandBody::Read {
                user: user(1),
                up_to,
            },
        })
    };
    (1..=count).map(mark).collect()
}

fn partition() -> VirtualPartition {
    VirtualPartition::of_conversation(conversation())
}

#[test]
fn a_failed_append_leaves_the_prefix_that_was_ordered() {
    for (written, left) in [(0, 0), (2, 2), (usize::MAX, 5)] {
        let mut log = MemoryLog::new(8, Arc::new(ManualClock::at(5)));
        log.fail_append(AppendFault { written });
        let failed = log.append(Topic::Commands, partition(), &read_marks(5));
        assert!(matches!(failed, Err(LogError::Append(_))));
        let kept = log.entries(Topic::Commands, partition());
        let kept: Vec<_> = kept.into_iter().map(|logged| logged.entry).collect();
        assert_eq!(kept, read_marks(5)[..left]);
        log.append(Topic::Commands, partition(), &read_marks(1))
            .unwrap();
    }
}

#[test]
fn what_was_truncated_is_an_error_and_not_a_jump() {
    let mut log = MemoryLog::new(8, Arc::new(ManualClock::at(5)));
    log.append(Topic::Commands, partition(), &read_marks(5))
        .unwrap();
    let all = log.entries(Topic::Commands, partition());
    log.truncate(Topic::Commands, partition(), all[2].position);
    for after in [Position::ZERO, all[1].position] {
        let lost = log.read(Topic::Commands, partition(), after, 9);
        assert!(matches!(lost, Err(LogError::Truncated { .. })));
    }
    let rest = log.read(Topic::Commands, partition(), all[2].position, 9);
    assert_eq!(rest.unwrap(), all[3..]);
}

#[test]
fn an_epoch_switch_starts_offsets_again_and_positions_still_grow() {
    let clock = Arc::new(ManualClock::at(5));
    let mut log = MemoryLog::new(8, clock.clone());
    log.append(Topic::Commands, partition(), &read_marks(3))
        .unwrap();
    log.switch_epoch();
    clock.set(3);
    log.append(Topic::Commands, partition(), &read_marks(3))
        .unwrap();
    let all = log.entries(Topic::Commands, partition());
    assert!(all.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!((all[3].position.offset, all[3].append_ms), (0, 3));
}
