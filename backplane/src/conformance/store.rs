//! The suite of stores.

use super::samples::{history_row, inbox_row, marks_row, message_write, position, user};
use crate::row::{
    DedupKey, DedupRow, DeviceCursor, HighWater, HistoryRow, InboxRow, PartitionRow, Stage, UserRow,
};
use crate::store::{Answer, Batch, Read, Store, Write};
use crate::{ConversationKey, Position, VirtualPartition};
use millpond_wire::DeviceId;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a driver promises beyond the seam.
#[derive(Clone, Copy, Debug)]
pub struct StorePromises {
    /// A reader sees all of a batch or none, and not only each unit.
    pub whole_batches: bool,
}

pub fn store_suite<S: Store>(promises: StorePromises, mut make: impl FnMut() -> S) {
    missing_rows_are_none(&make());
    history_pages_in_both_directions(&make());
    neighbours_do_not_leak(&make());
    dedup_rows_come_with_messages(&make());
    inbox_pages_ascend(&make());
    replaced_rows_keep_the_newest_position(&make());
    every_field_comes_back(&make());
    the_end_of_a_record_is_a_position(&make());
    the_later_write_of_a_batch_wins(&make());
    writing_again_changes_nothing(&make());
    an_empty_batch_is_fine(&make());
    large_payloads_come_back(&make());
    readers_see_whole_units(&make(), promises);
}

fn direct() -> ConversationKey {
    ConversationKey::direct(user(5), user(9))
}

fn commit(store: &dyn Store, writes: Vec<Write>) {
    store.commit(&Batch { writes }).expect("a commit succeeds");
}

fn ask(store: &dyn Store, read: Read) -> Answer {
    let mut answers = store.read(&[read]).expect("a read succeeds");
    assert_eq!(answers.len(), 1, "one answer to one read");
    answers.remove(0)
}

fn seqs(answer: &Answer) -> Vec<u64> {
    let Answer::History(rows) = answer else {
        panic!("wanted history, got {answer:?}");
    };
    rows.iter().map(|row| row.message.seq).collect()
}

fn cursors(answer: &Answer) -> Vec<u64> {
    let Answer::Inbox(rows) = answer else {
        panic!("wanted an inbox, got {answer:?}");
    };
    rows.iter().map(|(cursor, _)| *cursor).collect()
}

fn dedup_key(conversation: ConversationKey, client_msg_id: u64) -> DedupKey {
    DedupKey {
        conversation,
        user: history_row(conversation, 1, 1).message.sender,
        device: DeviceId(7),
        client_msg_id,
    }
}

fn missing_rows_are_none(store: &dyn Store) {
    let conversation = direct();
    let answers = store
        .read(&[
            Read::HistoryHead(conversation),
            Read::HistoryAt {
                conversation,
                seq: 1,
            },
            Read::Dedup(dedup_key(conversation, 1)),
            dedup_highest(conversation),
            Read::Marks(conversation),
            Read::InboxHead(user(5)),
            Read::User(user(5)),
            Read::Partition {
                stage: Stage::Inboxes,
                partition: VirtualPartition(3),
            },
        ])
        .expect("a read succeeds");
    let none = vec![
        Answer::History(Vec::new()),
        Answer::History(Vec::new()),
        Answer::Dedup(None),
        Answer::DedupHighest(None),
        Answer::Marks(None),
        Answer::Inbox(Vec::new()),
        Answer::User(None),
        Answer::Partition(None),
    ];
    assert_eq!(answers, none, "answers stand where their reads do");
    assert_eq!(store.read(&[]).expect("a read succeeds"), Vec::new());
}

fn history_pages_in_both_directions(store: &dyn Store) {
    let conversation = direct();
    // Numbers around the places where an encoding changes its length.
    let all = [
        1,
        2,
        254,
        255,
        256,
        257,
        65_535,
        65_536,
        u64::MAX - 1,
        u64::MAX,
    ];
    let mut writes: Vec<_> = all.map(|seq| message_write(conversation, seq, seq)).into();
    writes.reverse();
    commit(store, writes);
    let after = |after, rows| {
        let read = Read::HistoryAfter {
            conversation,
            after,
            rows,
            bytes: usize::MAX,
        };
        seqs(&ask(store, read))
    };
    let before = |before, rows| {
        let read = Read::HistoryBefore {
            conversation,
            before,
            rows,
            bytes: usize::MAX,
        };
        seqs(&ask(store, read))
    };
    assert_eq!(after(0, 100), all);
    assert_eq!(after(2, 3), [254, 255, 256]);
    assert_eq!(after(65_535, 1), [65_536]);
    assert_eq!(after(u64::MAX - 1, 9), [u64::MAX]);
    assert_eq!(after(u64::MAX, 9), [0; 0]);
    assert_eq!(after(0, 0), [0; 0]);
    assert_eq!(
        before(u64::MAX, 2),
        [u64::MAX - 1, 65_536],
        "before is not included"
    );
    assert_eq!(before(256, 100), [255, 254, 2, 1]);
    assert_eq!(before(1, 100), [0; 0]);
    assert_eq!(before(0, 100), [0; 0]);
    assert_eq!(before(9, 0), [0; 0]);
    assert_eq!(
        seqs(&ask(store, Read::HistoryHead(conversation))),
        [u64::MAX]
    );
    let at = Read::HistoryAt {
        conversation,
        seq: 257,
    };
    let row = history_row(conversation, 257, 257);
    assert_eq!(ask(store, at), Answer::History(vec![row]));
    pages_end_at_their_bytes(store, conversation);
}

/// At the row with which the payloads reach the bound, which is there; so one row is always found.
fn pages_end_at_their_bytes(store: &dyn Store, conversation: ConversationKey) {
    let payload = |seq| history_row(conversation, seq, seq).message.payload.len();
    for (bytes, forward, backward) in [
        (0, vec![1], vec![257]),
        (1, vec![1], vec![257]),
        (payload(1), vec![1], vec![257]),
        (payload(257) + 1, vec![1, 2], vec![257, 256]),
    ] {
        let after = Read::HistoryAfter {
            conversation,
            after: 0,
            rows: 100,
            bytes,
        };
        let before = Read::HistoryBefore {
            conversation,
            before: 258,
            rows: 100,
            bytes,
        };
        assert_eq!(seqs(&ask(store, after)), forward, "{bytes} bytes");
        assert_eq!(seqs(&ask(store, before)), backward, "{bytes} bytes");
    }
}

fn neighbours_do_not_leak(store: &dyn Store) {
    let conversations = [
        ConversationKey::direct(user(5), user(8)),
        direct(),
        ConversationKey::direct(user(5), user(10)),
        ConversationKey::direct(user(5), user(5)),
        ConversationKey::Group(5),
        ConversationKey::Group(9),
    ];
    let one_each = conversations.map(|conversation| message_write(conversation, 3, 1));
    commit(store, one_each.into());
    for conversation in conversations {
        let page = Read::HistoryAfter {
            conversation,
            after: 0,
            rows: 10,
            bytes: usize::MAX,
        };
        let only = vec![history_row(conversation, 3, 1)];
        assert_eq!(ask(store, page), Answer::History(only.clone()));
        assert_eq!(
            ask(store, Read::HistoryHead(conversation)),
            Answer::History(only)
        );
    }
    let nobody = ConversationKey::direct(user(5), user(11));
    assert_eq!(seqs(&ask(store, Read::HistoryHead(nobody))), [0; 0]);
}

fn dedup_highest(conversation: ConversationKey) -> Read {
    let key = dedup_key(conversation, 0);
    Read::DedupHighest {
        conversation,
        user: key.user,
        device: key.device,
    }
}

fn dedup_rows_come_with_messages(store: &dyn Store) {
    for conversation in [direct(), ConversationKey::Group(77)] {
        let writes = (1..=20).map(|seq| message_write(conversation, seq, seq));
        commit(store, writes.collect());
        let row = DedupRow {
            seq: 13,
            server_ms: 1_700_000_000_013,
            hash: 13,
        };
        let key = dedup_key(conversation, 1_013);
        assert_eq!(ask(store, Read::Dedup(key)), Answer::Dedup(Some(row)));
        let other_device = DedupKey {
            device: DeviceId(8),
            ..key
        };
        let other_user = DedupKey {
            user: user(9),
            ..key
        };
        for other in [other_device, other_user, dedup_key(conversation, 1_021)] {
            assert_eq!(ask(store, Read::Dedup(other)), Answer::Dedup(None));
        }
        let highest = ask(store, dedup_highest(conversation));
        assert_eq!(highest, Answer::DedupHighest(Some(1_020)));
        let other = Read::DedupHighest {
            conversation,
            user: key.user,
            device: DeviceId(6),
        };
        assert_eq!(ask(store, other), Answer::DedupHighest(None));
    }
}

fn inbox_pages_ascend(store: &dyn Store) {
    let all = [1, 2, 255, 256, 70_000, u64::MAX];
    let write = |owner, cursor| Write::Inbox {
        user: user(owner),
        cursor,
        row: inbox_row(direct(), cursor, cursor),
    };
    let others = [write(4, 7), write(6, 7)];
    commit(
        store,
        all.iter()
            .map(|&cursor| write(5, cursor))
            .chain(others)
            .collect(),
    );
    let after = |after, rows| {
        let read = Read::InboxAfter {
            user: user(5),
            after,
            rows,
        };
        ask(store, read)
    };
    assert_eq!(cursors(&after(0, 100)), all);
    assert_eq!(cursors(&after(2, 2)), [255, 256]);
    assert_eq!(cursors(&after(u64::MAX, 2)), [0; 0]);
    assert_eq!(cursors(&after(0, 0)), [0; 0]);
    let row = inbox_row(direct(), 70_000, 70_000);
    assert_eq!(after(256, 1), Answer::Inbox(vec![(70_000, row)]));
    assert_eq!(cursors(&ask(store, Read::InboxHead(user(5)))), [u64::MAX]);
    assert_eq!(cursors(&ask(store, Read::InboxHead(user(7)))), [0; 0]);
}

fn replaced_rows_keep_the_newest_position(store: &dyn Store) {
    for (offset, kept) in [(5, 5), (4, 5), (6, 6), (6, 6), (1, 6)] {
        let rows = Replaced::at(offset);
        commit(store, rows.writes());
        assert_eq!(
            Replaced::read(store),
            Replaced::at(kept).answers(),
            "after {offset}"
        );
    }
}

/// One of each row that is replaced all the time.
struct Replaced {
    offset: u64,
}

impl Replaced {
    fn at(offset: u64) -> Self {
        Self { offset }
    }

    fn devices(&self) -> UserRow {
        UserRow {
            position: position(self.offset),
            resets: 3,
            devices: vec![
                DeviceCursor {
                    device: DeviceId(0),
                    cursor: self.offset,
                },
                DeviceCursor {
                    device: DeviceId(u64::MAX),
                    cursor: u64::MAX,
                },
            ],
        }
    }

    fn consumed(&self) -> PartitionRow {
        let mark = |partition| HighWater {
            partition: VirtualPartition(partition),
            position: position(self.offset),
            emission: u32::MAX,
        };
        PartitionRow {
            consumed: position(self.offset),
            time_ms: self.offset,
            high_water: vec![mark(0), mark(255)],
        }
    }

    fn writes(&self) -> Vec<Write> {
        vec![
            Write::Partition {
                stage: Stage::Inboxes,
                partition: VirtualPartition(200),
                row: self.consumed(),
            },
            Write::Marks {
                conversation: direct(),
                row: marks_row(&[user(5), user(9)], self.offset, self.offset),
            },
            Write::User {
                user: user(5),
                row: self.devices(),
            },
        ]
    }

    fn answers(&self) -> Vec<Answer> {
        let marks = marks_row(&[user(5), user(9)], self.offset, self.offset);
        vec![
            Answer::Partition(Some(self.consumed())),
            Answer::Partition(None),
            Answer::Marks(Some(marks)),
            Answer::User(Some(self.devices())),
        ]
    }

    fn read(store: &dyn Store) -> Vec<Answer> {
        let partition = |stage| Read::Partition {
            stage,
            partition: VirtualPartition(200),
        };
        let reads = [
            partition(Stage::Inboxes),
            partition(Stage::Conversations),
            Read::Marks(direct()),
            Read::User(user(5)),
        ];
        store.read(&reads).expect("a read succeeds")
    }
}

fn every_field_comes_back(store: &dyn Store) {
    let mut row = history_row(direct(), 1, u64::MAX);
    row.position.epoch = u32::MAX;
    row.position.index = u32::MAX;
    row.message.sender = user(9);
    row.message.device = DeviceId(u64::MAX);
    row.message.client_msg_id = u64::MAX;
    row.message.server_ms = u64::MAX;
    row.message.kind = millpond_wire::Kind(255);
    row.message.payload = Vec::new().into();
    let pointer = InboxRow {
        position: row.position,
        conversation: ConversationKey::Group((1 << 63) - 1),
        seq: u64::MAX,
    };
    let inbox = Write::Inbox {
        user: user((1 << 63) - 1),
        cursor: 1,
        row: pointer,
    };
    let message = Write::Message {
        row: row.clone(),
        hash: u32::MAX,
    };
    commit(store, vec![message, inbox]);
    let head = ask(store, Read::HistoryHead(direct()));
    assert_eq!(head, Answer::History(vec![row]));
    let inbox = ask(store, Read::InboxHead(user((1 << 63) - 1)));
    assert_eq!(inbox, Answer::Inbox(vec![(1, pointer)]));
}

/// A partition is consumed up to the end of a record when nothing of it was its own.
fn the_end_of_a_record_is_a_position(store: &dyn Store) {
    let (stage, partition) = (Stage::Inboxes, VirtualPartition(9));
    let row = PartitionRow {
        consumed: Position::end_of(1, 1 << 39),
        time_ms: 1,
        high_water: Vec::new(),
    };
    let write = Write::Partition {
        stage,
        partition,
        row: row.clone(),
    };
    commit(store, vec![write]);
    let answer = ask(store, Read::Partition { stage, partition });
    assert_eq!(answer, Answer::Partition(Some(row)));
}

fn the_later_write_of_a_batch_wins(store: &dyn Store) {
    let with_payload = |payload: &str| {
        let mut row = history_row(direct(), 1, 1);
        row.message.payload = payload.as_bytes().into();
        row
    };
    let write = |row: &HistoryRow| Write::Message {
        row: row.clone(),
        hash: 1,
    };
    let rows = ["first", "second", "third"].map(with_payload);
    let mut writes: Vec<_> = rows.iter().map(write).collect();
    writes.insert(1, message_write(direct(), 2, 2));
    writes.extend(Replaced::at(3).writes());
    writes.extend(Replaced::at(4).writes());
    commit(store, writes);
    let at = Read::HistoryAt {
        conversation: direct(),
        seq: 1,
    };
    assert_eq!(ask(store, at), Answer::History(vec![rows[2].clone()]));
    assert_eq!(Replaced::read(store), Replaced::at(4).answers());
}

fn writing_again_changes_nothing(store: &dyn Store) {
    let mut writes: Vec<_> = (1..=9)
        .map(|seq| message_write(direct(), seq, seq))
        .collect();
    writes.extend(Replaced::at(9).writes());
    commit(store, writes.clone());
    let page = || {
        let all = Read::HistoryAfter {
            conversation: direct(),
            after: 0,
            rows: 100,
            bytes: usize::MAX,
        };
        (ask(store, all), Replaced::read(store))
    };
    let first = page();
    assert_eq!(seqs(&first.0), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    commit(store, writes);
    assert_eq!(page(), first);
}

fn an_empty_batch_is_fine(store: &dyn Store) {
    commit(store, Vec::new());
    assert_eq!(seqs(&ask(store, Read::HistoryHead(direct()))), [0; 0]);
}

fn large_payloads_come_back(store: &dyn Store) {
    let mut rows: Vec<_> = (1..=8).map(|seq| history_row(direct(), seq, seq)).collect();
    for (row, fill) in rows.iter_mut().zip(0_u8..) {
        row.message.payload = vec![fill; millpond_wire::PAYLOAD_BYTES_MAX].into();
    }
    let writes = rows.iter().map(|row| Write::Message {
        row: row.clone(),
        hash: 0,
    });
    commit(store, writes.collect());
    let page = Read::HistoryAfter {
        conversation: direct(),
        after: 0,
        rows: 100,
        bytes: usize::MAX,
    };
    assert_eq!(ask(store, page), Answer::History(rows));
}

/// One thread commits batches that say the same number everywhere; readers must never see two numbers in one unit, nor
/// a partition row that is ahead of the others.
fn readers_see_whole_units(store: &dyn Store, promises: StorePromises) {
    const ROUNDS: u64 = 300;
    let done = AtomicBool::new(false);
    let batch = |round: u64| {
        let mut writes = Replaced::at(round).writes();
        writes.extend([2 * round - 1, 2 * round].map(|seq| message_write(direct(), seq, round)));
        writes
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                commit(store, batch(round));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let reads = [
                Read::Partition {
                    stage: Stage::Inboxes,
                    partition: VirtualPartition(200),
                },
                Read::HistoryHead(direct()),
                Read::Marks(direct()),
            ];
            // One call may read its answers at different moments, the first before the others.
            let answers = store.read(&reads).expect("a read succeeds");
            check_view(&answers, promises);
        }
    });
}

fn check_view(answers: &[Answer], promises: StorePromises) {
    let [
        Answer::Partition(partition),
        Answer::History(head),
        Answer::Marks(marks),
    ] = answers
    else {
        panic!("wanted three answers, got {answers:?}");
    };
    let consumed = partition.as_ref().map_or(0, |row| row.consumed.offset);
    let head = head.first().map_or(0, |row| row.message.seq);
    let marked = marks.as_ref().map_or(0, |row| row.position.offset);
    assert_eq!(head % 2, 0, "a conversation's messages are one unit");
    assert!(
        consumed <= head / 2,
        "partition {consumed} is ahead of history {head}"
    );
    assert!(
        consumed <= marked,
        "partition {consumed} is ahead of marks {marked}"
    );
    if promises.whole_batches {
        assert_eq!((consumed, consumed), (head / 2, marked), "a batch is whole");
    }
}
