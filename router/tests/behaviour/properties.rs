//! What holds for every sequence of records, however often they are repeated and wherever an owner ends.

use crate::people::{acked, ahead, at, read, send};
use crate::stages::{Stages, USERS, first_emissions};
use millpond_backplane::log::{Log, LogError, Topic};
use millpond_backplane::memory::{AppendFault, Atomicity, CommitFault, Crash, MemoryStore};
use millpond_backplane::store::{Batch, Durability, Store, Write};
use millpond_backplane::{
    Command, CommandBody, ConversationKey, Entry, InboxBody, InboxEntry, Position, VirtualPartition,
};
use millpond_router::fused::{Config, FusedCore};
use millpond_router::two_stage::{Half, Owner, OwnerError, Progress};
use millpond_wire::UserId;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn any_user() -> impl Strategy<Value = u64> {
    1..=USERS
}

fn any_send() -> impl Strategy<Value = Entry> {
    let after = prop_oneof![3 => Just(None), 1 => (0..12_u64).prop_map(Some)];
    (any_user(), any_user(), 1..=2_u64, 0..12_u64, after, 0..5_u8).prop_map(
        |(from, to, device, id, after, text)| {
            let text = if text == 0 { "other" } else { "usual" };
            let mut send = send(from, to, id, text).device(device);
            send.after = after;
            send.entry()
        },
    )
}

fn any_mark() -> impl Strategy<Value = Entry> {
    let read =
        (any_user(), any_user(), 0..12_u64).prop_map(|(reader, peer, seq)| read(reader, peer, seq));
    let delivered = (any_user(), any_user(), 0..12_u64).prop_map(|(by, peer, up_to)| {
        let Entry::Command(Command { conversation, .. }) = super::people::read(by, peer, 0) else {
            unreachable!()
        };
        let user = UserId::new(by).unwrap();
        Entry::Command(Command {
            conversation,
            body: CommandBody::Delivered { user, up_to },
        })
    });
    prop_oneof![read, delivered]
}

fn any_command() -> impl Strategy<Value = Entry> {
    prop_oneof![4 => any_send(), 1 => any_mark()]
}

fn any_acked() -> impl Strategy<Value = Entry> {
    prop_oneof![
        6 => (any_user(), 1..=3_u64, 0..30_u64).prop_map(|(id, device, cursor)| acked(id, device, cursor)),
        1 => (any_user(), 1..3_u64, 0..30_u64).prop_map(|(id, epoch, cursor)| ahead(id, 1, epoch, cursor)),
    ]
}

fn any_input() -> impl Strategy<Value = Entry> {
    prop_oneof![3 => any_command(), 2 => any_acked()]
}

/// How an owner ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Kill,
    /// A commit fails after this many units.
    Commit(usize),
    /// An append fails after this many entries.
    Append(usize),
    /// The store loses what it has not synced but for this many batches.
    PowerCut(usize),
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Kill),
        (0..6_usize).prop_map(End::Commit),
        (0..4_usize).prop_map(End::Append),
        (0..4_usize).prop_map(End::PowerCut),
    ]
}

/// Ends after so many steps, one after the other.
fn any_ends() -> impl Strategy<Value = Vec<(usize, End)>> {
    prop::collection::vec((0..25_usize, any_end()), 0..6)
}

/// Runs one stage to its end through all these ends.
fn run_through(stages: &Stages, half: Half, ends: &[(usize, End)]) {
    for (steps, end) in ends {
        let mut owner = stages.owner(half).unwrap();
        for _ in 0..*steps {
            owner.step().unwrap();
        }
        end_owner(stages, owner, *end);
    }
    stages.run(half);
}

fn end_owner(stages: &Stages, mut owner: Owner, end: End) {
    match end {
        End::Kill => {}
        // The store in memory does not count the units of a failed commit among those that a power cut may take.
        End::Commit(_) if stages.store.durability() != Durability::Sync => {}
        End::Commit(units_written) => {
            stages.store.fail_commit(CommitFault { units_written });
            until_error_or_idle(&mut owner);
        }
        End::Append(written) => {
            stages.log.fail_append(AppendFault { written });
            until_error_or_idle(&mut owner);
        }
        End::PowerCut(kept) => stages.store.crash(Crash::PowerCut { kept }),
    }
    // A fault that found nothing to fail must not wait for another owner.
    let _ = stages.store.commit(&Batch::default());
    let partition = VirtualPartition(0);
    let _ = stages.log.clone().append(Topic::Inboxes, partition, &[]);
    stages.store.reopen();
}

fn until_error_or_idle(owner: &mut Owner) {
    while let Ok(Progress::Busy) = owner.step() {}
    let _ = owner.step();
}

fn stages_with(entries: &[Entry], durability: Durability) -> Stages {
    let stages = Stages::over(durability);
    for (group, millisecond) in entries.chunks(4).zip(1..) {
        stages.clock.set(1_000_000 + millisecond % 5);
        stages.append(group.iter().cloned());
    }
    stages
}

/// The inboxes' log as the first stage would have made it, with what devices acknowledge in between, and with every
/// emission from some point on repeated, as after a crash of the first stage.
fn inbox_input(commands: &[Entry], acks: &[Entry], repeat_from: usize) -> Vec<Entry> {
    let stages = stages_with(commands, Durability::Sync);
    stages.run(Half::Conversations);
    let mut input = Vec::new();
    for entries in stages.entries(Topic::Inboxes).into_values() {
        let from = repeat_from.min(entries.len());
        let repeated = entries[from..].to_vec();
        input.extend(entries);
        input.extend(repeated);
    }
    let stride = input.len() / (acks.len() + 1);
    for (index, ack) in acks.iter().enumerate().rev() {
        input.insert(stride * (index + 1), ack.clone());
    }
    input
}

/// Emissions of each source partition in their order. How the sources lie between each other is the log's doing: a batch
/// may end elsewhere after a crash.
fn by_source(entries: &[Entry]) -> Vec<Entry> {
    let mut sorted = entries.to_vec();
    sorted.sort_by_key(|entry| match entry {
        Entry::Inbox(InboxEntry {
            body: InboxBody::Message { source, .. },
            ..
        }) => source.partition,
        other => panic!("wanted a message for an inbox, got {other:?}"),
    });
    sorted
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However the first stage ends on its way, rows and emissions are those of a run without an end.
    #[test]
    fn crashes_of_the_first_stage_change_nothing(
        commands in prop::collection::vec(any_command(), 1..60),
        ends in any_ends(),
        os in any::<bool>(),
    ) {
        let durability = if os { Durability::Os } else { Durability::Sync };
        let straight = stages_with(&commands, durability);
        straight.run(Half::Conversations);
        let crashed = stages_with(&commands, durability);
        run_through(&crashed, Half::Conversations, &ends);
        prop_assert_eq!(straight.rows(), crashed.rows());
        for (partition, entries) in crashed.entries(Topic::Inboxes) {
            let expected = &straight.entries(Topic::Inboxes)[&partition];
            prop_assert_eq!(by_source(expected), by_source(&first_emissions(&entries)));
        }
    }

    /// The same for the second stage; its emissions say the same again, which changes no mark.
    #[test]
    fn crashes_of_the_second_stage_change_nothing(
        commands in prop::collection::vec(any_send(), 1..60),
        acks in prop::collection::vec(any_acked(), 0..20),
        repeat_from in 0..30_usize,
        ends in any_ends(),
    ) {
        let input = inbox_input(&commands, &acks, repeat_from);
        let straight = stages_with(&input, Durability::Sync);
        straight.run(Half::Inboxes);
        let crashed = stages_with(&input, Durability::Sync);
        run_through(&crashed, Half::Inboxes, &ends);
        prop_assert_eq!(straight.rows(), crashed.rows());
        for (partition, entries) in crashed.entries(Topic::Commands) {
            let expected = &straight.entries(Topic::Commands)[&partition];
            prop_assert_eq!(delivered(expected), delivered(&entries));
        }
    }

    /// An owner over an empty store reads the same log and ends in the same rows and emissions.
    #[test]
    fn a_replay_from_zero_gives_the_same(input in prop::collection::vec(any_input(), 1..60)) {
        let first = stages_with(&input, Durability::Sync);
        first.run_both();
        let inboxes = first.entries(Topic::Inboxes);
        let again = Stages {
            store: Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Unit)),
            link: Default::default(),
            log: first.log.clone(),
            clock: first.clock.clone(),
            config: first.config,
        };
        again.run(Half::Conversations);
        for (partition, entries) in again.entries(Topic::Inboxes) {
            let (before, repeated) = entries.split_at(inboxes[&partition].len());
            prop_assert_eq!(messages(before), repeated);
        }
        again.run(Half::Inboxes);
        prop_assert_eq!(first.rows_but_partitions(), again.rows_but_partitions());
    }

    /// Two owners of the same partitions at once can only repeat each other.
    #[test]
    fn a_zombie_can_only_repeat(
        commands in prop::collection::vec(any_command(), 1..50),
        turns in prop::collection::vec(any::<bool>(), 0..120),
    ) {
        let straight = stages_with(&commands, Durability::Sync);
        straight.run(Half::Conversations);
        let stages = stages_with(&commands, Durability::Sync);
        let mut owners = [(); 2].map(|()| stages.owner(Half::Conversations).unwrap());
        for second in turns {
            owners[usize::from(second)].step().unwrap();
        }
        let [first, second] = &mut owners;
        while first.step().unwrap() == Progress::Busy {}
        while second.step().unwrap() == Progress::Busy {}
        prop_assert_eq!(straight.rows(), stages.rows());
        for (partition, entries) in stages.entries(Topic::Inboxes) {
            let expected = &straight.entries(Topic::Inboxes)[&partition];
            prop_assert_eq!(expected, &first_emissions(&entries));
        }
    }

    /// Both stages interleaved anyhow and ended anywhere: nothing lost, nothing doubled, no gaps.
    #[test]
    fn the_rows_are_whole_whatever_happens(
        input in prop::collection::vec(any_input(), 1..60),
        schedule in prop::collection::vec((any::<bool>(), 1..8_usize, prop::option::weighted(0.2, any_end())), 0..40),
    ) {
        let stages = stages_with(&input, Durability::Sync);
        let halves = [Half::Conversations, Half::Inboxes];
        let mut owners = halves.map(|half| stages.owner(half).unwrap());
        for (second, steps, end) in schedule {
            let which = usize::from(second);
            for _ in 0..steps {
                owners[which].step().unwrap();
            }
            if let Some(end) = end {
                let fresh = stages.owner(halves[which]).unwrap();
                let ended = std::mem::replace(&mut owners[which], fresh);
                end_owner(&stages, ended, end);
                owners = halves.map(|half| stages.owner(half).unwrap());
            }
        }
        drop(owners);
        stages.run_both();
        check_whole(&stages.rows());
        prop_assert_eq!(sent(&stages.rows()), sent(&run_fused(&input, 1)));
    }

    /// One record at a time, both drivers end in the same rows, positions aside.
    #[test]
    fn fused_and_two_stage_end_in_the_same_rows(input in prop::collection::vec(any_input(), 1..40)) {
        let stages = Stages::new();
        for entry in &input {
            stages.append([entry.clone()]);
            stages.run_both();
        }
        prop_assert_eq!(masked(stages.rows()), masked(run_fused(&input, 1)));
    }

    /// The size of a batch changes nothing but positions.
    #[test]
    fn batches_of_any_size_end_in_the_same_history(
        input in prop::collection::vec(any_send(), 1..60),
        size in 2..30_usize,
    ) {
        let single = run_fused(&input, 1);
        let batched = run_fused(&input, size);
        check_whole(&batched);
        prop_assert_eq!(masked(single), masked(batched));
    }
}

/// The fused driver over the same input, in batches, with a restart in the middle.
fn run_fused(input: &[Entry], size: usize) -> Vec<Write> {
    let store = Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Batch));
    let mut core = FusedCore::open(Config::default(), store.clone()).unwrap();
    for (batch, count) in input.chunks(size).zip(0..) {
        if count == input.len() / size / 2 {
            commit_last(&mut core, &store);
            core = FusedCore::open(Config::default(), store.clone()).unwrap();
        }
        let turn = core.run(&mut batch.to_vec(), at(1_000_000)).unwrap();
        if !turn.batch.writes.is_empty() {
            store.commit(&turn.batch).unwrap();
        }
        core.committed(turn.number, None);
    }
    commit_last(&mut core, &store);
    store.dump()
}

fn commit_last(core: &mut FusedCore, store: &MemoryStore) {
    let turn = core.run_last(at(1_000_000));
    store.commit(&turn.batch).unwrap();
    core.committed(turn.number, None);
}

fn messages(entries: &[Entry]) -> Vec<Entry> {
    let is_message = |entry: &&Entry| {
        matches!(
            entry,
            Entry::Inbox(InboxEntry {
                body: InboxBody::Message { .. },
                ..
            })
        )
    };
    entries.iter().filter(is_message).cloned().collect()
}

/// What each user is said to have, by conversation: only the highest counts.
fn delivered(entries: &[Entry]) -> BTreeMap<(ConversationKey, UserId), u64> {
    let mut delivered = BTreeMap::new();
    for entry in entries {
        if let Entry::Command(Command {
            conversation,
            body: CommandBody::Delivered { user, up_to },
        }) = entry
        {
            let place = delivered.entry((*conversation, *user)).or_insert(0);
            *place = (*place).max(*up_to);
        }
    }
    delivered
}

/// Which ids became messages: what a SEND is told must not depend on the driver.
fn sent(rows: &[Write]) -> BTreeSet<(ConversationKey, UserId, u64, u64)> {
    let message = |row: &Write| match row {
        Write::Message { row, .. } => {
            let message = &row.message;
            Some((
                message.conversation,
                message.sender,
                message.device.0,
                message.client_msg_id,
            ))
        }
        _ => None,
    };
    rows.iter().filter_map(message).collect()
}

/// Rows without what may differ between drivers: positions, and the partitions they count in.
fn masked(rows: Vec<Write>) -> Vec<Write> {
    let mask = |mut write: Write| {
        match &mut write {
            Write::Message { row, .. } => row.position = Position::ZERO,
            Write::Marks { row, .. } => row.position = Position::ZERO,
            Write::Inbox { row, .. } => row.position = Position::ZERO,
            Write::User { row, .. } => row.position = Position::ZERO,
            Write::Partition { .. } => return None,
        }
        Some(write)
    };
    rows.into_iter().filter_map(mask).collect()
}

/// Sequences and cursors have no gaps; each message lies once in each member's inbox, in the order of its conversation;
/// no mark lies beyond the last message; no client message id has two messages.
fn check_whole(rows: &[Write]) {
    let mut last_seq: BTreeMap<ConversationKey, u64> = BTreeMap::new();
    let mut last_cursor: BTreeMap<UserId, u64> = BTreeMap::new();
    let mut placed: BTreeMap<(UserId, ConversationKey), u64> = BTreeMap::new();
    for row in rows {
        match row {
            Write::Message { row, .. } => {
                let seq = last_seq.entry(row.message.conversation).or_insert(0);
                *seq += 1;
                assert_eq!(row.message.seq, *seq);
            }
            Write::Inbox { user, cursor, row } => {
                let last = last_cursor.entry(*user).or_insert(0);
                *last += 1;
                assert_eq!(cursor, last);
                let seq = placed.entry((*user, row.conversation)).or_insert(0);
                *seq += 1;
                assert_eq!(row.seq, *seq, "{user} {:?}", row.conversation);
            }
            Write::Marks { .. } | Write::User { .. } | Write::Partition { .. } => {}
        }
    }
    let messages = rows
        .iter()
        .filter(|row| matches!(row, Write::Message { .. }))
        .count();
    assert_eq!(sent(rows).len(), messages, "no id has two messages");
    for (key, seq) in &last_seq {
        for user in millpond_router::conversation::members(*key) {
            assert_eq!(placed.get(&(user, *key)), Some(seq));
        }
    }
    check_state(rows, &last_seq, &last_cursor);
}

fn check_state(
    rows: &[Write],
    last_seq: &BTreeMap<ConversationKey, u64>,
    last_cursor: &BTreeMap<UserId, u64>,
) {
    for row in rows {
        match row {
            Write::Marks { conversation, row } => {
                let last = last_seq[conversation];
                assert!(
                    row.members
                        .iter()
                        .all(|member| member.delivered <= last && member.read <= member.delivered)
                );
            }
            Write::User { user, row } => {
                let head = last_cursor.get(user).copied().unwrap_or(0);
                assert!(row.devices.iter().all(|device| device.cursor <= head));
            }
            Write::Message { .. } | Write::Inbox { .. } | Write::Partition { .. } => {}
        }
    }
}

/// The log's clock may jump back, also while no owner runs; the partition's time does not.
#[test]
fn the_time_of_a_partition_never_goes_back() {
    let stages = Stages::new();
    for (millisecond, id) in [(5_000_000, 1), (1_000_000, 2), (2_000_000, 3)] {
        stages.clock.set(millisecond);
        stages.append([send(1, 2, id, "x").entry(), acked(1, 1, id)]);
        stages.run_both();
    }
    let times = stages.rows().into_iter().filter_map(|row| match row {
        Write::Partition { row, .. } => Some(row.time_ms),
        _ => None,
    });
    let times: Vec<u64> = times.collect();
    assert!(
        times.len() > 2 && times.iter().all(|time| *time == 5_000_000),
        "{times:?}"
    );
}

/// An envelope that does not decode is skipped and counted, and what follows is taken.
#[test]
fn a_record_that_does_not_decode_is_skipped() {
    let stages = Stages::new();
    let mut owner = stages.owner(Half::Conversations).unwrap();
    stages.log.fail_read(LogError::Corrupt {
        offset: 0,
        what: "ordered by a test".into(),
    });
    stages.append([send(1, 2, 1, "x").entry()]);
    stages.append([send(1, 2, 2, "y").entry()]);
    while owner.step().unwrap() == Progress::Busy {}
    assert_eq!(owner.counters().dead_letters.value(), 1);
    assert!(!sent(&stages.rows()).is_empty());
}

/// Both inboxes of a message may lie in one partition: the high-water mark tells its two emissions apart.
#[test]
fn both_members_in_one_partition_get_the_message() {
    let partition = |id| VirtualPartition::of_user(UserId::new(id).unwrap());
    let other = (2..).find(|id| partition(*id) == partition(1)).unwrap();
    let stages = Stages::new();
    let command = send(1, other, 1, "x").command();
    let conversation = VirtualPartition::of_conversation(command.conversation);
    stages.append([Entry::Command(command)]);
    for (half, partition) in [
        (Half::Conversations, conversation),
        (Half::Inboxes, partition(1)),
    ] {
        let mut owner = stages.owner_of(half, &[partition]).unwrap();
        while owner.step().unwrap() == Progress::Busy {}
    }
    let rows = stages.rows();
    let placed = rows.iter().filter(|row| matches!(row, Write::Inbox { .. }));
    assert_eq!(placed.count(), 2);
}

/// A log that has lost what an owner has not read yet ends that owner.
#[test]
fn a_hole_in_the_log_is_an_error() {
    let stages = Stages::new();
    stages.append([send(1, 2, 1, "x").entry()]);
    let partition = VirtualPartition::of_conversation(crate::people::direct(1, 2));
    let position = stages.log.entries(Topic::Commands, partition)[0].position;
    stages.log.truncate(Topic::Commands, partition, position);
    let mut owner = stages.owner(Half::Conversations).unwrap();
    while owner.step().is_ok() {}
    assert!(matches!(owner.step(), Err(OwnerError::Dead)));
}

/// The users of these tests must not all live in one partition, or nothing would interleave.
#[test]
fn users_and_conversations_lie_in_several_partitions() {
    let partitions = |half| -> Vec<VirtualPartition> { crate::stages::partitions(half) };
    assert!(partitions(Half::Conversations).len() > 5);
    assert!(partitions(Half::Inboxes).len() > 2);
}
