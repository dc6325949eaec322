//! One way of damage for each code at least: what is done to the rows of the good store.

use crate::good::{direct, user};
use crate::pile::{Pile, dedup_key, history_key, inbox_key, partition_key};
use millpond_backplane::audit::{Code, Table};
use millpond_backplane::row::{DEVICES_MAX, DedupRow, DeviceCursor};
use millpond_wire::DeviceId;

pub(crate) type Damage = (Code, &'static str, fn(&mut Pile));

pub(crate) const DAMAGES: &[Damage] = &[
    (
        Code::SequenceGap,
        "the last one is 11 instead of 10",
        |pile| {
            let mut row = pile.remove_message(direct(1, 2), 10);
            row.message.seq = 11;
            pile.put_message(&row);
            for (id, cursor) in [(1, 10), (2, 10)] {
                let mut pointer = pile.inbox(id, cursor);
                pointer.seq = 11;
                pile.put_inbox(id, cursor, &pointer);
            }
        },
    ),
    (Code::HistoryPosition, "two at one position", |pile| {
        let mut row = pile.history(direct(1, 2), 5);
        row.position = pile.history(direct(1, 2), 4).position;
        pile.put_history(&row);
    }),
    (Code::ServerTime, "later messages are earlier", |pile| {
        let mut row = pile.history(direct(1, 2), 5);
        row.message.server_ms = pile.history(direct(1, 2), 4).message.server_ms - 1;
        pile.put_message(&row);
    }),
    (Code::StrangeAuthor, "9 wrote to 1-2", |pile| {
        let mut row = pile.remove_message(direct(1, 2), 5);
        row.message.sender = user(9);
        pile.put_message(&row);
    }),
    (Code::NoDedup, "a row less", |pile| {
        let key = dedup_key(&pile.history(direct(1, 2), 5).message);
        pile.table(Table::Dedup).remove(&key);
    }),
    (Code::DedupDiffers, "another hash", |pile| {
        with_dedup(pile, |row| row.hash ^= 1)
    }),
    (Code::DedupDiffers, "another time", |pile| {
        with_dedup(pile, |row| row.server_ms += 1)
    }),
    (Code::DedupDiffers, "another's sequence", |pile| {
        with_dedup(pile, |row| row.seq = 6)
    }),
    (Code::DedupDiffers, "nobody's sequence", |pile| {
        with_dedup(pile, |row| row.seq = 600)
    }),
    (Code::DedupDiffers, "another payload", |pile| {
        let mut row = pile.history(direct(1, 2), 5);
        row.message.payload = b"something else".as_slice().into();
        pile.put_history(&row);
    }),
    (Code::IdTwice, "a resend was taken again", |pile| {
        let first = pile.history(direct(1, 2), 1).message;
        let mut again = pile.remove_message(direct(1, 2), 7);
        again.message.client_msg_id = first.client_msg_id;
        assert_eq!(again.message.device, first.device);
        pile.put_history(&again);
    }),
    (Code::DedupAlone, "its message is another's", |pile| {
        alone(pile, 5)
    }),
    (Code::DedupAlone, "its message is not there", |pile| {
        alone(pile, 500)
    }),
    (Code::CursorGap, "the last one is one too high", |pile| {
        let head = pile.inbox_head(2);
        let row = pile.inbox(2, head);
        pile.table(Table::Inbox).remove(&inbox_key(2, head));
        pile.put_inbox(2, head + 1, &row);
    }),
    (Code::InboxPosition, "two at one position", |pile| {
        let mut row = pile.inbox(2, 5);
        row.position = pile.inbox(2, 4).position;
        pile.put_inbox(2, 5, &row);
    }),
    (Code::StrangeInbox, "4 sees 1-2", |pile| {
        pile.append_inbox(4, direct(1, 2), 1)
    }),
    (Code::PointerToNothing, "beyond the last one", |pile| {
        pile.append_inbox(2, direct(1, 2), 11);
    }),
    (
        Code::PointerToNothing,
        "a conversation that never was",
        |pile| {
            pile.append_inbox(2, direct(2, 8), 1);
        },
    ),
    (Code::PointerToNothing, "before the first one", |pile| {
        pile.append_inbox(2, direct(1, 2), 0);
    }),
    (Code::NotInInbox, "the newest is gone", |pile| {
        let head = pile.inbox_head(5);
        pile.table(Table::Inbox).remove(&inbox_key(5, head));
    }),
    (
        Code::NotInInbox,
        "one from the middle is gone, its place is filled",
        |pile| {
            let head = pile.inbox_head(2);
            for cursor in 4..head {
                let next = pile.inbox(2, cursor + 1);
                pile.put_inbox(2, cursor, &next);
            }
            pile.table(Table::Inbox).remove(&inbox_key(2, head));
        },
    ),
    (Code::NotInInbox, "the whole inbox is gone", |pile| {
        for cursor in 1..=pile.inbox_head(6) {
            pile.table(Table::Inbox).remove(&inbox_key(6, cursor));
        }
    }),
    (Code::TwiceInInbox, "once more at the end", |pile| {
        pile.append_inbox(2, direct(1, 2), 4)
    }),
    (Code::InboxOrder, "two have changed places", |pile| {
        let (mut a, mut b) = (pile.inbox(2, 4), pile.inbox(2, 5));
        std::mem::swap(&mut a.seq, &mut b.seq);
        pile.put_inbox(2, 4, &a);
        pile.put_inbox(2, 5, &b);
    }),
    (Code::MarksMembers, "of somebody else", |pile| {
        let mut marks = pile.marks(direct(1, 2));
        marks.members[1].user = user(4);
        pile.put_marks(direct(1, 2), &marks);
    }),
    (Code::MarksMembers, "of one only", |pile| {
        let mut marks = pile.marks(direct(1, 2));
        marks.members.pop();
        pile.put_marks(direct(1, 2), &marks);
    }),
    (
        Code::MarkBeyondHead,
        "delivered before it was sent",
        |pile| {
            let mut marks = pile.marks(direct(1, 2));
            marks.members[0].delivered = 11;
            pile.put_marks(direct(1, 2), &marks);
        },
    ),
    (Code::MarksVersion, "never changed", |pile| {
        let mut marks = pile.marks(direct(1, 2));
        marks.version = 0;
        pile.put_marks(direct(1, 2), &marks);
    }),
    (
        Code::ReadNotDelivered,
        "read on a device that has it not",
        |pile| {
            let mut marks = pile.marks(direct(1, 2));
            marks.members[1].read = marks.members[1].delivered + 1;
            pile.put_marks(direct(1, 2), &marks);
        },
    ),
    (Code::TooManyDevices, "one too many", |pile| {
        let mut row = pile.user(2);
        let ids = 1..=DEVICES_MAX as u64 + 1;
        let device = |id| DeviceCursor {
            device: DeviceId(id),
            cursor: 1,
        };
        row.devices = ids.map(device).collect();
        pile.put_user(2, &row);
    }),
    (
        Code::DeviceBeyondHead,
        "acknowledged before it was there",
        |pile| {
            let mut row = pile.user(2);
            row.devices[0].cursor = pile.inbox_head(2) + 1;
            pile.put_user(2, &row);
        },
    ),
    (
        Code::BeyondConsumed,
        "the partition stands before its rows",
        |pile| {
            let mut row = pile.partition();
            row.consumed.offset = 3;
            pile.put_partition(&row);
        },
    ),
    (Code::BeyondConsumed, "the partition has no row", |pile| {
        pile.table(Table::Partitions).remove(&partition_key());
    }),
    (Code::BeyondConsumed, "marks from the future", |pile| {
        let mut marks = pile.marks(direct(1, 2));
        marks.position.epoch += 1;
        pile.put_marks(direct(1, 2), &marks);
    }),
    (Code::BeyondConsumed, "devices from the future", |pile| {
        let mut row = pile.user(2);
        row.position.epoch += 1;
        pile.put_user(2, &row);
    }),
    (
        Code::BeyondTime,
        "the partition's clock stands before its messages",
        |pile| {
            let mut row = pile.partition();
            row.time_ms = 1;
            pile.put_partition(&row);
        },
    ),
    (Code::Undecodable, "a message of a later version", |pile| {
        pile.table(Table::History)
            .get_mut(&history_key(direct(1, 2), 5))
            .unwrap()[0] = 2;
    }),
    (Code::Undecodable, "half a dedup row", |pile| {
        let key = dedup_key(&pile.history(direct(1, 2), 5).message);
        pile.table(Table::Dedup).get_mut(&key).unwrap().truncate(3);
    }),
    (
        Code::Undecodable,
        "an inbox row with more behind it",
        |pile| {
            pile.table(Table::Inbox)
                .get_mut(&inbox_key(2, 5))
                .unwrap()
                .push(0);
        },
    ),
    (Code::Undecodable, "the only row of an inbox", |pile| {
        pile.table(Table::Inbox)
            .get_mut(&inbox_key(4, 1))
            .unwrap()
            .clear();
        pile.table(Table::Inbox)
            .get_mut(&inbox_key(4, 2))
            .unwrap()
            .clear();
    }),
    (
        Code::Undecodable,
        "empty rows of marks, devices and partitions",
        |pile| {
            for table in [Table::Marks, Table::Users, Table::Partitions] {
                pile.table(table).values_mut().for_each(Vec::clear);
            }
        },
    ),
    (Code::Undecodable, "keys that name nothing", |pile| {
        for table in Table::ALL {
            pile.table(table).insert(vec![0, 7, 7], vec![1]);
        }
    }),
    (Code::UnreadableTable, "a block of history", |pile| {
        pile.broken = Some(Table::History)
    }),
    (Code::UnreadableTable, "a block of users", |pile| {
        pile.broken = Some(Table::Users)
    }),
];

fn with_dedup(pile: &mut Pile, change: impl FnOnce(&mut DedupRow)) {
    let message = pile.history(direct(1, 2), 5).message;
    let key = dedup_key(&message);
    let mut row =
        millpond_backplane::codec::decode_dedup(&pile.tables[&Table::Dedup][&key]).unwrap();
    change(&mut row);
    pile.put_dedup(&key, row);
}

/// A dedup row of an id that no message has.
fn alone(pile: &mut Pile, seq: u64) {
    let mut message = pile.history(direct(1, 2), 5).message;
    message.client_msg_id = 999;
    let row = DedupRow {
        seq,
        server_ms: message.server_ms,
        hash: 1,
    };
    pile.put_dedup(&dedup_key(&message), row);
}
