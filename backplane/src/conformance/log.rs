//! The suite of logs.

use super::samples::user;
use crate::log::{Appender, Log, Logged, Topic};
use crate::{
    Command, CommandBody, ConversationKey, Entry, InboxBody, InboxEntry, Position, VirtualPartition,
};
use millpond_wire::DeviceId;
use std::collections::BTreeMap;

/// `make` gives a fresh log, as seen by an owner and by a gateway.
pub fn log_suite<L: Log, A: Appender>(mut make: impl FnMut() -> (L, A)) {
    an_empty_partition_reads_empty(make().0);
    what_is_appended_is_read_in_order(make().0);
    pages_join_without_gap_or_repeat(make().0);
    partitions_do_not_leak(make().0);
    gateways_and_owners_share_the_log(make());
    a_full_appender_gives_the_entry_back(make());
}

/// Told apart by `up_to`.
fn read_mark(conversation: ConversationKey, up_to: u64) -> Entry {
    Entry::Command(Command {
        conversation,
        body: CommandBody::Read {
            user: user(1),
            up_to,
        },
    })
}

fn acked(id: u64, cursor: u64) -> Entry {
    Entry::Inbox(InboxEntry {
        user: user(id),
        body: InboxBody::Acked {
            device: DeviceId(1),
            cursor,
        },
    })
}

fn read_all(log: &mut impl Log, topic: Topic, partition: VirtualPartition) -> Vec<Logged> {
    log.read(topic, partition, Position::ZERO, usize::MAX)
        .expect("a read succeeds")
}

fn entries(logged: &[Logged]) -> Vec<Entry> {
    logged.iter().map(|logged| logged.entry.clone()).collect()
}

fn an_empty_partition_reads_empty(mut log: impl Log) {
    for topic in [Topic::Commands, Topic::Inboxes] {
        assert_eq!(read_all(&mut log, topic, VirtualPartition(0)), Vec::new());
    }
}

fn what_is_appended_is_read_in_order(mut log: impl Log) {
    let conversation = ConversationKey::Group(4);
    let partition = VirtualPartition::of_conversation(conversation);
    let all: Vec<_> = (1..=50)
        .map(|up_to| read_mark(conversation, up_to))
        .collect();
    for few in all.chunks(7) {
        log.append(Topic::Commands, partition, few)
            .expect("an append succeeds");
    }
    log.append(Topic::Commands, partition, &[])
        .expect("nothing can be appended too");
    let logged = read_all(&mut log, Topic::Commands, partition);
    assert_eq!(entries(&logged), all);
    assert!(
        logged.is_sorted_by(|a, b| a.position < b.position),
        "positions only grow"
    );
    assert!(
        logged[0].position > Position::ZERO,
        "ZERO is before every record"
    );
    assert!(logged.is_sorted_by_key(|logged| logged.append_ms));
    let again = read_all(&mut log, Topic::Commands, partition);
    assert_eq!(again, logged, "reading takes nothing away");
}

fn pages_join_without_gap_or_repeat(mut log: impl Log) {
    let conversation = ConversationKey::Group(4);
    let partition = VirtualPartition::of_conversation(conversation);
    let all: Vec<_> = (1..=50)
        .map(|up_to| read_mark(conversation, up_to))
        .collect();
    for few in all.chunks(8) {
        log.append(Topic::Commands, partition, few)
            .expect("an append succeeds");
    }
    for page in [1, 3, 8, 50, 51] {
        let (mut joined, mut after) = (Vec::new(), Position::ZERO);
        loop {
            let read = log.read(Topic::Commands, partition, after, page);
            let read = read.expect("a read succeeds");
            assert!(read.len() <= page);
            let Some(last) = read.last() else {
                break;
            };
            after = last.position;
            joined.extend(entries(&read));
        }
        assert_eq!(joined, all, "in pages of {page}");
    }
    let none = log.read(Topic::Commands, partition, Position::ZERO, 0);
    assert_eq!(none.expect("a read succeeds"), Vec::new());
}

fn partitions_do_not_leak(mut log: impl Log) {
    let mut expected: BTreeMap<VirtualPartition, Vec<Entry>> = BTreeMap::new();
    for id in 1..=500 {
        let entry = acked(id, id);
        let partition = entry.partition();
        log.append(Topic::Inboxes, partition, std::slice::from_ref(&entry))
            .expect("an append succeeds");
        expected.entry(partition).or_default().push(entry);
    }
    assert!(expected.len() > 100, "the samples spread");
    for partition in (0..=255).map(VirtualPartition) {
        let read = entries(&read_all(&mut log, Topic::Inboxes, partition));
        assert_eq!(read, expected.remove(&partition).unwrap_or_default());
        assert_eq!(read_all(&mut log, Topic::Commands, partition), Vec::new());
    }
}

fn gateways_and_owners_share_the_log((mut log, mut appender): (impl Log, impl Appender)) {
    let conversation = ConversationKey::Group(4);
    let partition = VirtualPartition::of_conversation(conversation);
    let all: Vec<_> = (1..=4)
        .map(|up_to| read_mark(conversation, up_to))
        .collect();
    for entry in &all[..2] {
        appender.append(entry.clone()).expect("there is room");
    }
    for id in 1..=20 {
        appender.append(acked(id, 1)).expect("there is room");
    }
    appender.flush();
    appender.flush();
    log.append(Topic::Commands, partition, &all[2..3])
        .expect("an append succeeds");
    appender.append(all[3].clone()).expect("there is room");
    appender.flush();
    let logged = read_all(&mut log, Topic::Commands, partition);
    assert_eq!(entries(&logged), all);
    assert!(logged.is_sorted_by(|a, b| a.position < b.position));
    let inboxes = (0..=255).map(VirtualPartition);
    let inboxes = inboxes.map(|partition| read_all(&mut log, Topic::Inboxes, partition).len());
    assert_eq!(inboxes.sum::<usize>(), 20);
}

/// Some bound there is; what did not fit comes back whole, and what did is in the log.
fn a_full_appender_gives_the_entry_back((mut log, mut appender): (impl Log, impl Appender)) {
    const ENOUGH: u64 = 10_000_000;
    let conversation = ConversationKey::Group(4);
    let partition = VirtualPartition::of_conversation(conversation);
    let full = (0..ENOUGH).find_map(|up_to| {
        let entry = read_mark(conversation, up_to);
        let refused = appender.append(entry.clone()).err()?;
        assert_eq!(refused.0, entry);
        Some(up_to)
    });
    let taken = full.expect("an appender has a bound");
    appender.flush();
    assert_eq!(
        read_all(&mut log, Topic::Commands, partition).len() as u64,
        taken
    );
    appender
        .append(read_mark(conversation, 0))
        .expect("there is room after a flush");
}
