//! Every value comes back from its bytes; no other bytes are taken for a value.

use super::*;
use crate::link::{Downlink, DownlinkBody};
use crate::row::{
    DedupKey, DedupRow, DeviceCursor, HighWater, HistoryRow, InboxRow, MarksRow, MemberMarks,
    PartitionRow, Stage, UserRow,
};
use crate::{
    Address, Command, CommandBody, ConversationKey, Entry, GatewayId, Handle, InboxBody,
    InboxEntry, Message, Position, Source, VirtualPartition,
};
use millpond_wire::{Ack, AckStatus, Code, Conversation, DeviceId, Kind, Mark, MarkKind, UserId};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::sync::Arc;

/// Small, middling and huge numbers alike: each length of an encoding is met.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
}

fn small() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0..32_u32).prop_map(|(number, shift)| number >> shift)
}

/// Few enough that two draws are often the same user.
fn user() -> impl Strategy<Value = UserId> {
    let few = (1..4_u64).boxed();
    let many = (1..1_u64 << 63).boxed();
    prop_oneof![few, many].prop_map(|id| UserId::new(id).unwrap())
}

fn device() -> impl Strategy<Value = DeviceId> {
    number().prop_map(DeviceId)
}

fn conversation() -> impl Strategy<Value = ConversationKey> {
    let direct = (user(), user()).prop_map(|(a, b)| ConversationKey::direct(a, b));
    let group = user().prop_map(|id| ConversationKey::Group(id.value()));
    prop_oneof![3 => direct, 1 => group]
}

fn position() -> impl Strategy<Value = Position> {
    (small(), number(), small()).prop_map(|(epoch, offset, index)| Position {
        epoch,
        offset,
        index,
    })
}

fn payload() -> impl Strategy<Value = Arc<[u8]>> {
    vec(any::<u8>(), 0..40).prop_map(Arc::from)
}

fn message() -> impl Strategy<Value = Message> {
    let names = (conversation(), number(), user(), device());
    let rest = (number(), number(), any::<u8>(), payload());
    (names, rest).prop_map(|(names, rest)| Message {
        conversation: names.0,
        seq: names.1,
        sender: names.2,
        device: names.3,
        client_msg_id: rest.0,
        server_ms: rest.1,
        kind: Kind(rest.2),
        payload: rest.3,
    })
}

fn address() -> impl Strategy<Value = Address> {
    let gateway = (small(), small());
    let handle = (any::<u16>(), small(), small());
    (gateway, handle, user(), device()).prop_map(|(gateway, handle, user, device)| Address {
        gateway: GatewayId(gateway.0),
        gateway_epoch: gateway.1,
        handle: Handle {
            shard: handle.0,
            slot: handle.1,
            generation: handle.2,
        },
        user,
        device,
    })
}

fn command() -> impl Strategy<Value = Entry> {
    let send = (
        address(),
        number(),
        any::<Option<u64>>(),
        any::<u8>(),
        payload(),
    );
    let send = send.prop_map(
        |(from, client_msg_id, after, kind, payload)| CommandBody::Send {
            from,
            client_msg_id,
            after,
            kind: Kind(kind),
            payload,
        },
    );
    let delivered = (user(), number());
    let delivered = delivered.prop_map(|(user, up_to)| CommandBody::Delivered { user, up_to });
    let read = (user(), number()).prop_map(|(user, up_to)| CommandBody::Read { user, up_to });
    let body = prop_oneof![send, delivered, read];
    (conversation(), body)
        .prop_map(|(conversation, body)| Entry::Command(Command { conversation, body }))
}

fn inbox_entry() -> impl Strategy<Value = Entry> {
    let source = (any::<u8>(), position(), small());
    let source = source.prop_map(|(partition, position, emission)| Source {
        partition: VirtualPartition(partition),
        position,
        emission,
    });
    let message =
        (source, message()).prop_map(|(source, message)| InboxBody::Message { source, message });
    let acked = (device(), number());
    let acked = acked.prop_map(|(device, cursor)| InboxBody::Acked { device, cursor });
    let ahead =
        (device(), number(), number()).prop_map(|(device, epoch, cursor)| InboxBody::Ahead {
            device,
            epoch,
            cursor,
        });
    let body = prop_oneof![message, acked, ahead];
    (user(), body).prop_map(|(user, body)| Entry::Inbox(InboxEntry { user, body }))
}

fn marks() -> impl Strategy<Value = MarksRow> {
    let members = btree_map(user(), (number(), number()), 0..5);
    (position(), number(), members).prop_map(|(position, version, members)| MarksRow {
        position,
        version,
        members: members
            .into_iter()
            .map(|(user, (delivered, read))| MemberMarks {
                user,
                delivered,
                read,
            })
            .collect(),
    })
}

fn user_row() -> impl Strategy<Value = UserRow> {
    let devices = btree_map(device(), number(), 0..5);
    (position(), small(), devices).prop_map(|(position, resets, devices)| UserRow {
        position,
        resets,
        devices: devices
            .into_iter()
            .map(|(device, cursor)| DeviceCursor { device, cursor })
            .collect(),
    })
}

fn partition_row() -> impl Strategy<Value = PartitionRow> {
    let marks = btree_map(any::<u8>(), (position(), small()), 0..5);
    (position(), number(), marks).prop_map(|(consumed, time_ms, marks)| PartitionRow {
        consumed,
        time_ms,
        high_water: marks
            .into_iter()
            .map(|(partition, (position, emission))| HighWater {
                partition: VirtualPartition(partition),
                position,
                emission,
            })
            .collect(),
    })
}

fn downlink() -> impl Strategy<Value = Downlink> {
    let status = prop_oneof![Just(AckStatus::New), Just(AckStatus::Duplicate)];
    let ack = (number(), status, number(), number());
    let ack = ack.prop_map(|(client_msg_id, status, seq, server_ms)| {
        DownlinkBody::Ack(Ack {
            client_msg_id,
            status,
            seq,
            server_ms,
        })
    });
    let code = || any::<u16>().prop_map(Code);
    let refused = (number(), code(), number()).prop_map(|(client_msg_id, code, retry_after_ms)| {
        DownlinkBody::Refused {
            client_msg_id,
            code,
            retry_after_ms,
        }
    });
    // Few enough records that two draws are often the same.
    let record = (0..3_usize).prop_map(|length| Arc::from(vec![7_u8; length]));
    let deliver = (number(), record);
    let deliver = deliver.prop_map(|(cursor, record)| DownlinkBody::Deliver { cursor, record });
    let kinds = [MarkKind::Delivered, MarkKind::Read, MarkKind::Played];
    let conversation = prop_oneof![
        user().prop_map(Conversation::Direct),
        user().prop_map(|id| Conversation::Group(id.value())),
    ];
    let author = prop::option::of(user());
    let mark = (
        prop::sample::select(kinds.to_vec()),
        conversation,
        number(),
        author,
    );
    let mark = mark.prop_map(|(kind, conversation, up_to, user)| {
        DownlinkBody::Mark(Mark {
            kind,
            conversation,
            up_to,
            user,
        })
    });
    let kick = code().prop_map(DownlinkBody::Kick);
    let body = prop_oneof![1 => ack, 1 => refused, 3 => deliver, 1 => mark, 1 => kick];
    (address(), body).prop_map(|(to, body)| Downlink { to, body })
}

fn encode_downlinks(hints: &[Downlink]) -> Vec<u8> {
    let mut encoder = DownlinkEncoder::default();
    hints.iter().for_each(|hint| encoder.push(hint));
    encoder.take()
}

/// Bytes of `encode`, then: they decode to the value; no prefix, no longer form and no changed byte is taken for
/// anything but exactly what it encodes.
fn check<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, Undecodable>,
    damage: &[(prop::sample::Index, u8)],
) {
    let bytes = encode(value);
    assert_eq!(decode(&bytes).as_ref(), Ok(value));
    let taken_only_whole = |bytes: &[u8]| match decode(bytes) {
        Ok(value) => assert_eq!(encode(&value), bytes, "canonical"),
        Err(Undecodable { offset, .. }) => assert!(offset <= bytes.len()),
    };
    for length in 0..bytes.len() {
        taken_only_whole(&bytes[..length]);
    }
    let mut longer = bytes.clone();
    longer.push(0);
    taken_only_whole(&longer);
    for (at, byte) in damage {
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] = *byte;
        taken_only_whole(&damaged);
    }
    let mut other_version = bytes;
    other_version[0] = other_version[0].wrapping_add(1);
    assert_eq!(decode(&other_version).unwrap_err().offset, 0);
}

fn encoded<T>(encode: impl Fn(&T, &mut Vec<u8>)) -> impl Fn(&T) -> Vec<u8> {
    move |value| {
        let mut bytes = Vec::new();
        encode(value, &mut bytes);
        bytes
    }
}

fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    vec((any::<prop::sample::Index>(), any::<u8>()), 32)
}

proptest! {
    #[test]
    fn history_rows(position in position(), message in message(), damage in damage()) {
        let (conversation, seq) = (message.conversation, message.seq);
        let row = HistoryRow { position, message };
        let decode = |bytes: &[u8]| decode_history(conversation, seq, bytes);
        check(&row, encoded(encode_history), decode, &damage);
    }

    #[test]
    fn dedup_rows(seq in number(), server_ms in number(), hash: u32, damage in damage()) {
        let row = DedupRow { seq, server_ms, hash };
        check(&row, encoded(encode_dedup), decode_dedup, &damage);
    }

    #[test]
    fn inbox_rows(
        owner in user(),
        position in position(),
        conversation in conversation(),
        seq in number(),
        damage in damage(),
    ) {
        let row = InboxRow { position, conversation, seq };
        let encode = encoded(|row: &InboxRow, out: &mut Vec<u8>| encode_inbox(owner, row, out));
        check(&row, encode, |bytes| decode_inbox(owner, bytes), &damage);
    }

    #[test]
    fn marks_rows(row in marks(), damage in damage()) {
        check(&row, encoded(encode_marks), decode_marks, &damage);
        let bytes = encoded(encode_marks)(&row);
        prop_assert_eq!(decode_position(&bytes), Ok(row.position));
    }

    #[test]
    fn user_rows(row in user_row(), damage in damage()) {
        check(&row, encoded(encode_user), decode_user, &damage);
    }

    #[test]
    fn partition_rows(row in partition_row(), damage in damage()) {
        check(&row, encoded(encode_partition), decode_partition, &damage);
    }

    #[test]
    fn envelopes(
        entries in vec(prop_oneof![command(), inbox_entry()], 0..6),
        damage in damage(),
    ) {
        let encode = |entries: &Vec<Entry>| {
            let mut bytes = Vec::new();
            encode_envelope(entries, &mut bytes);
            bytes
        };
        check(&entries, encode, decode_envelope, &damage);
    }

    #[test]
    fn hints(hints in vec(downlink(), 0..6), damage in damage()) {
        check(&hints, |hints| encode_downlinks(hints), decode_downlinks, &damage);
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in vec(any::<u8>(), 0..80)) {
        if let Ok(entries) = decode_envelope(&bytes) {
            let mut again = Vec::new();
            encode_envelope(&entries, &mut again);
            prop_assert_eq!(again, bytes.clone());
        }
        if let Ok(hints) = decode_downlinks(&bytes) {
            prop_assert_eq!(encode_downlinks(&hints), bytes.clone());
        }
        let _ = (decode_marks(&bytes), decode_user(&bytes), decode_partition(&bytes));
        let _ = (history_seq(&bytes), inbox_cursor(&bytes), decode_dedup_key(&bytes));
    }

    #[test]
    fn keys_sort_like_what_they_name(
        a in (conversation(), number(), user()),
        b in (conversation(), number(), user()),
    ) {
        let history = |(conversation, seq, _): (ConversationKey, u64, UserId)| {
            let mut key = Vec::new();
            history_key(conversation, seq, &mut key);
            key
        };
        let names = |(conversation, seq, _): (ConversationKey, u64, UserId)| {
            (conversation.to_bytes(), seq)
        };
        prop_assert_eq!(history(a).cmp(&history(b)), names(a).cmp(&names(b)));
        prop_assert_eq!(history_seq(&history(a)), Ok(a.1));
        prop_assert!(history(a).starts_with(&history_prefix(a.0)));
        let inbox = |(_, cursor, user): (ConversationKey, u64, UserId)| {
            let mut key = Vec::new();
            inbox_key(user, cursor, &mut key);
            key
        };
        prop_assert_eq!(inbox(a).cmp(&inbox(b)), (a.2, a.1).cmp(&(b.2, b.1)));
        prop_assert_eq!(inbox_cursor(&inbox(a)), Ok(a.1));
        prop_assert!(inbox(a).starts_with(&inbox_prefix(a.2)));
    }

    #[test]
    fn dedup_keys(
        conversation in conversation(),
        user in user(),
        device in device(),
        client_msg_id in number(),
    ) {
        let key = DedupKey { conversation, user, device, client_msg_id };
        let mut bytes = Vec::new();
        dedup_key(&key, &mut bytes);
        prop_assert_eq!(decode_dedup_key(&bytes), Ok(key));
        for length in 0..bytes.len() {
            prop_assert!(decode_dedup_key(&bytes[..length]).is_err());
        }
        let mut prefix = Vec::new();
        dedup_prefix(conversation, user, device, &mut prefix);
        prop_assert!(bytes.starts_with(&prefix) && bytes.len() == prefix.len() + 8);
    }
}

/// What is on disks must stay readable: these bytes never change.
#[test]
fn golden_bytes() {
    let user = |id| UserId::new(id).unwrap();
    let conversation = ConversationKey::direct(user(2), user(300));
    let position = Position {
        epoch: 1,
        offset: 300,
        index: 2,
    };
    let message = Message {
        conversation,
        seq: 256,
        sender: user(300),
        device: DeviceId(3),
        client_msg_id: 4,
        server_ms: 1_700_000_000_000,
        kind: Kind::TEXT,
        payload: Arc::from(*b"hi"),
    };
    let mut bytes = Vec::new();
    encode_history(&HistoryRow { position, message }, &mut bytes);
    let ids = "0000000000000003".to_owned() + "0000000000000004";
    assert_eq!(hex(&bytes), format!("0101ac020201{ids}80d095ffbc31006869"));
    bytes.clear();
    history_key(conversation, 256, &mut bytes);
    assert_eq!(hex(&bytes), "0000000000000002000000000000012c020100");
    bytes.clear();
    let row = InboxRow {
        position,
        conversation,
        seq: 256,
    };
    encode_inbox(user(2), &row, &mut bytes);
    assert_eq!(hex(&bytes), "0101ac020200000000000000012c8002");
    bytes.clear();
    inbox_key(user(2), 0, &mut bytes);
    assert_eq!(hex(&bytes), "00000000000000020100");
    assert_eq!(partition_key(Stage::Inboxes, VirtualPartition(7)), [1, 7]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
