//! What becomes of a batch before it is sent.

use super::{Key, PART_BYTES_MAX, PART_ROWS_MAX, Plan, Unit};
use crate::schema::{DEDUP, HISTORY};
use crate::timestamp::exact;
use millpond_backplane::conformance::{history_row, inbox_row, marks_row, message_write, user};
use millpond_backplane::row::{PartitionRow, Stage};
use millpond_backplane::store::{Batch, Write};
use millpond_backplane::{ConversationKey, VirtualPartition};

fn direct() -> ConversationKey {
    ConversationKey::direct(user(5), user(9))
}

fn plan(writes: Vec<Write>) -> Plan {
    Plan::of(&Batch { writes }).unwrap()
}

fn partition_write(offset: u64) -> Write {
    Write::Partition {
        stage: Stage::Inboxes,
        partition: VirtualPartition(200),
        row: PartitionRow {
            consumed: history_row(direct(), 1, offset).position,
            time_ms: 1,
            high_water: Vec::new(),
        },
    }
}

fn message_of(payload_bytes: usize, seq: u64) -> Write {
    let mut row = history_row(direct(), seq, seq);
    row.message.payload = vec![7; payload_bytes].into();
    Write::Message { row, hash: 1 }
}

#[test]
fn a_unit_is_one_partition_and_partitions_of_the_log_come_behind_all() {
    let plan = plan(vec![
        partition_write(8),
        message_write(direct(), 2, 2),
        message_write(ConversationKey::Group(3), 1, 3),
        message_write(direct(), 1, 1),
        Write::Marks {
            conversation: direct(),
            row: marks_row(&[user(5)], 1, 4),
        },
    ]);
    let keys: Vec<Key> = plan.units.iter().map(|unit| unit.key).collect();
    let marks = Key::Marks(direct().to_bytes());
    let wanted = [ConversationKey::Group(3), direct()].map(|it| Key::Conversation(it.to_bytes()));
    assert_eq!(keys, [wanted[0], wanted[1], marks]);
    assert_eq!(plan.partitions.len(), 1);
    assert_eq!(plan.partitions[0].key, Key::Partition(1, 200));
    assert_eq!(plan.rows, 8);
    let [part] = plan.units[1].parts.as_slice() else {
        panic!("wanted one part, got {:?}", plan.units[1]);
    };
    let rows = part.rows.iter().map(|row| (row.kind, row.timestamp));
    let at = |offset| exact(history_row(direct(), 1, offset).position).unwrap();
    let wanted = [
        (HISTORY, at(1)),
        (DEDUP, at(1)),
        (HISTORY, at(2)),
        (DEDUP, at(2)),
    ];
    assert_eq!(
        rows.collect::<Vec<_>>(),
        wanted,
        "in order, whatever came first"
    );
}

#[test]
fn of_one_key_the_later_write_is_sent_unless_it_is_older() {
    for (offsets, kept) in [([1, 2], 2), ([2, 1], 2), ([2, 2], 2)] {
        let plan = plan(offsets.map(partition_write).into());
        let [Unit { parts, .. }] = plan.partitions.as_slice() else {
            panic!("wanted one unit");
        };
        let wanted = exact(history_row(direct(), 1, kept).position).unwrap();
        assert_eq!(parts[0].rows.len(), 1);
        assert_eq!(parts[0].rows[0].timestamp, wanted, "{offsets:?}");
    }
    let later = vec![message_of(2, 1)];
    let both = vec![message_of(3, 1), message_of(2, 1)];
    assert_eq!(plan(both).units, plan(later).units, "of one position");
}

#[test]
fn a_long_unit_is_cut_between_messages_and_the_newest_is_last() {
    let plan = plan(
        (1..=50)
            .rev()
            .map(|seq| message_of(60 * 1024, seq))
            .collect(),
    );
    let [unit] = plan.units.as_slice() else {
        panic!("wanted one unit");
    };
    assert_eq!(unit.parts.len(), 3);
    let mut last = 0;
    for part in &unit.parts {
        let bytes: usize = part.rows.iter().map(super::Row::bytes).sum();
        assert!(bytes <= PART_BYTES_MAX, "{bytes}");
        for pair in part.rows.chunks(2) {
            let kinds: Vec<i8> = pair.iter().map(|row| row.kind).collect();
            assert_eq!(
                kinds,
                [HISTORY, DEDUP],
                "a message stays with its dedup row"
            );
            assert!(pair[0].timestamp > last);
            last = pair[0].timestamp;
        }
    }
}

#[test]
fn a_unit_of_many_small_rows_is_cut_too() {
    let write = |cursor| Write::Inbox {
        user: user(5),
        cursor,
        row: inbox_row(direct(), cursor, cursor),
    };
    let plan = plan((1..=10_000).map(write).collect());
    let rows: Vec<usize> = plan.units[0]
        .parts
        .iter()
        .map(|part| part.rows.len())
        .collect();
    assert_eq!(
        rows,
        [PART_ROWS_MAX, PART_ROWS_MAX, 10_000 - 2 * PART_ROWS_MAX]
    );
}

#[test]
fn a_batch_with_a_position_beyond_all_bounds_is_refused_whole() {
    let writes = vec![message_write(direct(), 1, 1), partition_write(1 << 40)];
    let error = Plan::of(&Batch { writes }).unwrap_err().to_string();
    assert!(error.contains("has no write timestamp"), "{error}");
}

#[test]
fn nothing_becomes_nothing() {
    let plan = plan(Vec::new());
    assert!(plan.units.is_empty() && plan.partitions.is_empty());
    assert_eq!((plan.rows, plan.bytes), (0, 0));
}
