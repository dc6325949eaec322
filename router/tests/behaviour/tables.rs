//! The machines as tables: every state, every record, what comes of it. Reviewed as text.

use crate::people::{direct, send, user};
use millpond_backplane::position::Stamp;
use millpond_backplane::row::{
    DedupRow, DeviceCursor, HistoryRow, InboxRow, MarksRow, MemberMarks, UserRow,
};
use millpond_backplane::{
    Command, CommandBody, ConversationKey, InboxBody, InboxEntry, Message, Position, Source,
    VirtualPartition,
};
use millpond_router::conversation::{self, Conversation, Found, Rules};
use millpond_router::digest::digest;
use millpond_router::inbox::{self, Inbox};
use millpond_wire::{DeviceId, Kind};
use std::fmt::Write as _;

const DAY_MS: u64 = 86_400_000;

fn at(offset: u64) -> Position {
    Position {
        epoch: 1,
        offset,
        index: 0,
    }
}

fn stamp(offset: u64, time_ms: u64) -> Stamp {
    Stamp {
        partition: VirtualPartition(0),
        position: at(offset),
        time_ms,
    }
}

fn message(key: ConversationKey, seq: u64, id: u64) -> Message {
    Message {
        conversation: key,
        seq,
        sender: user(1),
        device: DeviceId(1),
        client_msg_id: id,
        server_ms: 1000,
        kind: Kind::TEXT,
        payload: b"hello".as_slice().into(),
    }
}

/// Two messages of user 1 with ids 10 and 20, at positions 2 and 5; user 2 has the first and has read nothing.
fn loaded() -> Conversation {
    let head = HistoryRow {
        position: at(5),
        message: message(direct(1, 2), 2, 20),
    };
    let members = [(1, 0, 0), (2, 1, 0)].map(|(id, delivered, read)| MemberMarks {
        user: user(id),
        delivered,
        read,
    });
    let marks = MarksRow {
        position: at(3),
        version: 7,
        members: members.into(),
    };
    let mut conversation = Conversation::from_rows(direct(1, 2), Some(&head), Some(marks));
    conversation.learn(user(1), DeviceId(1), Some(20));
    conversation.learn(user(1), DeviceId(2), None);
    conversation
}

fn sent_once_more() -> Conversation {
    let mut conversation = loaded();
    let command = send(1, 2, 30, "hello").command();
    conversation.step(
        &Rules::default(),
        stamp(6, 1100),
        &command,
        &Found::default(),
    );
    conversation
}

/// What the store holds of [`loaded`], and of an owner that is one message ahead of it.
fn row(id: u64, ahead: bool) -> Option<DedupRow> {
    let seq = match id {
        10 => 1,
        20 => 2,
        15 if ahead => 3,
        _ => return None,
    };
    let hash = digest(Kind::TEXT, b"hello");
    Some(DedupRow {
        seq,
        server_ms: 1000,
        hash,
    })
}

fn commands() -> Vec<(&'static str, Command)> {
    let hello = |id| send(1, 2, id, "hello");
    let mark = |body| Command {
        conversation: direct(1, 2),
        body,
    };
    let delivered = |id, up_to| {
        mark(CommandBody::Delivered {
            user: user(id),
            up_to,
        })
    };
    let read = |id, up_to| {
        mark(CommandBody::Read {
            user: user(id),
            up_to,
        })
    };
    let mut stranger = hello(40).command();
    stranger.conversation = direct(2, 3);
    let mut group = hello(40).command();
    group.conversation = ConversationKey::Group(5);
    vec![
        ("SEND 40", hello(40).command()),
        ("SEND 40 after 30", hello(40).after(30).command()),
        ("SEND 40 after 20", hello(40).after(20).command()),
        ("SEND 40 after 10", hello(40).after(10).command()),
        ("SEND 40 after 12", hello(40).after(12).command()),
        ("SEND 10 again", hello(10).command()),
        ("SEND 10 again, after 9", hello(10).after(9).command()),
        ("SEND 10, other body", send(1, 2, 10, "other").command()),
        ("SEND 15, of another owner", hello(15).command()),
        ("SEND 10, second device", hello(10).device(2).command()),
        (
            "SEND 40, too large",
            send(1, 2, 40, &"x".repeat(61_441)).command(),
        ),
        ("SEND 40, not a member", stranger),
        ("SEND 40, group", group),
        ("Delivered 0 to 2", delivered(2, 0)),
        ("Delivered 1 to 2", delivered(2, 1)),
        ("Delivered 2 to 2", delivered(2, 2)),
        ("Delivered 9 to 2", delivered(2, 9)),
        ("Delivered 1 to 3", delivered(3, 1)),
        ("Read 1 by 2", read(2, 1)),
        ("Read 2 by 1", read(1, 2)),
        ("Read 9 by 2", read(2, 9)),
    ]
}

fn conversation_line(state: &Conversation, stamp: Stamp, command: &Command) -> String {
    let mut state = state.clone();
    if let Err(code) = conversation::admit(command) {
        return format!("at the door: {code}");
    }
    if state.reflects(stamp.position, command) {
        return "skipped, its rows are there".into();
    }
    let lookups = state.lookups(stamp.position, command);
    let found = Found {
        id: lookups.id.and_then(|key| row(key.client_msg_id, true)),
        after: lookups.after.and_then(|key| row(key.client_msg_id, true)),
        seq: lookups
            .seq
            .filter(|seq| *seq > 0)
            .map(|seq| at(3 * seq - 1)),
    };
    let outcome = state.step(&Rules::default(), stamp, command, &found);
    let asks = [
        lookups.id.map(|_| "id"),
        lookups.after.map(|_| "after"),
        lookups.seq.map(|_| "seq"),
    ];
    let asks: Vec<&str> = asks.into_iter().flatten().collect();
    let asks = if asks.is_empty() {
        String::new()
    } else {
        format!("[reads {}] ", asks.join(", "))
    };
    format!("{asks}{}", told(&outcome, &state))
}

fn told(outcome: &conversation::Outcome, state: &Conversation) -> String {
    match outcome {
        conversation::Outcome::Sequenced { message, .. } => {
            let to = conversation::members(message.conversation).map(|user| user.to_string());
            let to = to.collect::<Vec<_>>().join(", ");
            format!(
                "seq {} at {} ms, ack, inboxes of {to}",
                message.seq, message.server_ms
            )
        }
        conversation::Outcome::Duplicate(ack) => {
            format!("duplicate of seq {} at {} ms", ack.seq, ack.server_ms)
        }
        conversation::Outcome::Refused(code) => format!("refused {code}"),
        conversation::Outcome::Marked(hint) => {
            let marks = state.marks();
            let members = marks.members.iter();
            let members = members.map(|one| format!("{}:{}/{}", one.user, one.delivered, one.read));
            let members = members.collect::<Vec<_>>().join(" ");
            format!(
                "hint {:?} {} by {}; version {} {members}",
                hint.kind, hint.up_to, hint.author, marks.version
            )
        }
        conversation::Outcome::Unchanged => "nothing".into(),
    }
}

#[test]
fn the_conversation_machine() {
    let empty = Conversation::from_rows(direct(1, 2), None, None);
    let states = [
        ("no message yet", empty, stamp(9, 2000)),
        ("two messages, loaded", loaded(), stamp(9, 2000)),
        (
            "two messages, and 30 just now",
            sent_once_more(),
            stamp(9, 2000),
        ),
        ("the clock went back", loaded(), stamp(9, 500)),
        ("a month later", loaded(), stamp(9, 1001 + 30 * DAY_MS)),
        (
            "replay: a record from between the two messages",
            loaded(),
            stamp(4, 1000),
        ),
    ];
    let mut table = String::new();
    for (name, state, stamp) in &states {
        writeln!(table, "{name}").unwrap();
        for (event, command) in commands() {
            writeln!(
                table,
                "  {event:26} → {}",
                conversation_line(state, *stamp, &command)
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// Pointers of user 2 at positions 2, 4, 6, 8: two of one conversation, notes to self, another conversation.
fn pointers() -> Vec<(u64, InboxRow)> {
    let rows = [
        (direct(1, 2), 1),
        (direct(1, 2), 2),
        (direct(2, 2), 1),
        (direct(2, 3), 1),
    ];
    let pointer = |((conversation, seq), cursor): ((ConversationKey, u64), u64)| {
        let row = InboxRow {
            position: at(2 * cursor),
            conversation,
            seq,
        };
        (cursor, row)
    };
    rows.into_iter().zip(1..).map(pointer).collect()
}

fn with_devices(devices: &[(u64, u64)]) -> UserRow {
    let device = |(device, cursor): &(u64, u64)| DeviceCursor {
        device: DeviceId(*device),
        cursor: *cursor,
    };
    UserRow {
        position: at(3),
        resets: 0,
        devices: devices.iter().map(device).collect(),
    }
}

fn inbox_entries() -> Vec<(&'static str, InboxEntry)> {
    let of = |body| InboxEntry {
        user: user(2),
        body,
    };
    let acked = |device, cursor| {
        of(InboxBody::Acked {
            device: DeviceId(device),
            cursor,
        })
    };
    let ahead = |epoch, cursor| {
        of(InboxBody::Ahead {
            device: DeviceId(1),
            epoch,
            cursor,
        })
    };
    let source = Source {
        partition: VirtualPartition(1),
        position: at(1),
        emission: 1,
    };
    let message = message(direct(1, 2), 3, 40);
    vec![
        ("message", of(InboxBody::Message { source, message })),
        ("device 1 acks 0", acked(1, 0)),
        ("device 1 acks 1", acked(1, 1)),
        ("device 1 acks 4", acked(1, 4)),
        ("device 1 acks 9", acked(1, 9)),
        ("device 5 acks 1", acked(5, 1)),
        ("device 5 acks 3", acked(5, 3)),
        ("ahead: 4 in epoch 7", ahead(7, 4)),
        ("ahead: 5 in epoch 7", ahead(7, 5)),
        ("ahead: 5 in epoch 8", ahead(8, 5)),
    ]
}

const STORE_EPOCH: u64 = 7;

fn inbox_line(state: &Inbox, stamp: Stamp, entry: &InboxEntry) -> String {
    let mut state = state.clone();
    if state.reflects(stamp.position, &entry.body) {
        return "skipped, its rows are there".into();
    }
    let mut asks = String::new();
    if let Some(missing) = state.missing(stamp.position, &entry.body) {
        asks = format!("[reads {}..={}] ", missing.after + 1, missing.up_to);
        let range = missing.after + 1..=missing.up_to;
        let pointers: Vec<_> = pointers()
            .into_iter()
            .filter(|(cursor, _)| range.contains(cursor))
            .collect();
        state.recall(&pointers);
    }
    let outcome = state.step(stamp, STORE_EPOCH, entry);
    format!("{asks}{}", inbox_told(&outcome, &state))
}

fn inbox_told(outcome: &inbox::Outcome, state: &Inbox) -> String {
    match outcome {
        inbox::Outcome::Placed { cursor, row } => {
            format!(
                "cursor {cursor}: seq {} of {}",
                row.seq,
                short(row.conversation)
            )
        }
        inbox::Outcome::Acked { delivered } => {
            let devices = state.user_row().devices.iter();
            let devices = devices.map(|known| format!("{}:{}", known.device.0, known.cursor));
            let devices = devices.collect::<Vec<_>>().join(" ");
            let told = delivered.iter().map(|command| match command.body {
                CommandBody::Delivered { user, up_to } => {
                    format!(
                        "; tell {} that {user} has {up_to}",
                        short(command.conversation)
                    )
                }
                _ => panic!("only what was delivered is told"),
            });
            format!("devices {devices}{}", told.collect::<String>())
        }
        inbox::Outcome::Reset => format!("epoch {}", state.epoch(STORE_EPOCH)),
        inbox::Outcome::Unchanged => "nothing".into(),
    }
}

fn short(key: ConversationKey) -> String {
    match key {
        ConversationKey::Direct(low, high) => format!("{low}-{high}"),
        ConversationKey::Group(id) => format!("group {id}"),
    }
}

#[test]
fn the_inbox_machine() {
    let head = pointers().pop();
    let from = |row| Inbox::from_rows(user(2), head.as_ref(), row);
    let mut fresh = Inbox::from_rows(user(2), None, None);
    for (_, row) in pointers() {
        let stamp = Stamp {
            position: row.position,
            ..stamp(0, 0)
        };
        fresh.place(stamp, row.conversation, row.seq);
    }
    let full: Vec<(u64, u64)> = (0..32)
        .map(|n| (10 + n, if n == 20 { 1 } else { 2 }))
        .collect();
    let states = [
        ("empty", Inbox::from_rows(user(2), None, None), stamp(20, 0)),
        (
            "four messages just now, nobody has any",
            fresh,
            stamp(20, 0),
        ),
        (
            "four messages, loaded; device 1 has 1, device 5 has 2",
            from(Some(with_devices(&[(1, 1), (5, 2)]))),
            stamp(20, 0),
        ),
        (
            "four messages, loaded; 32 other devices",
            from(Some(with_devices(&full))),
            stamp(20, 0),
        ),
        (
            "replay: a record from between the second and the third",
            from(Some(with_devices(&[(1, 1)]))),
            stamp(5, 0),
        ),
        (
            "replay: a record that the devices have seen",
            from(Some(with_devices(&[(1, 1)]))),
            stamp(3, 0),
        ),
    ];
    let mut table = String::new();
    for (name, state, stamp) in &states {
        writeln!(table, "{name}").unwrap();
        for (event, entry) in inbox_entries() {
            writeln!(
                table,
                "  {event:20} → {}",
                inbox_line(state, *stamp, &entry)
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// Part of the stored format.
#[test]
fn digests_never_change() {
    let long: Vec<u8> = (0..100).collect();
    let digests = [
        digest(Kind(0), b""),
        digest(Kind(1), b""),
        digest(Kind(0), b"\0"),
        digest(Kind(0), b"hello"),
        digest(Kind(0), b"12345678"),
        digest(Kind(0), &long),
    ];
    insta::assert_snapshot!(format!("{digests:08x?}"));
}
