//! Row values.
//!
//! ```text
//! position   epoch uvarint | offset uvarint | index uvarint
//! history    1 | position | sender member | device u64 | client_msg_id u64 | server_ms uvarint | kind u8 | payload
//! dedup      1 | seq uvarint | server_ms uvarint | hash u32
//! inbox      1 | position | 0 peer u64, or 1 group u64, or 2 conversation 16 | seq uvarint
//! marks      1 | position | version uvarint | count uvarint | count × (user u64 | delivered uvarint | read uvarint)
//! user       1 | position | resets uvarint | count uvarint | count × (device u64 | cursor uvarint)
//! partition  1 | position | time_ms uvarint | count uvarint | count × (partition u8 | position | emission uvarint)
//! ```
//!
//! Lists ascend. A direct conversation in its member's inbox is named by the peer alone.

use super::Undecodable;
use super::key::{member, put_member};
use super::reader::Reader;
use super::writer::{put_conversation, put_count, put_position, put_u64, put_user, put_varint};
use crate::row::{
    DedupRow, DeviceCursor, HighWater, HistoryRow, InboxRow, MarksRow, MemberMarks, PartitionRow,
    UserRow,
};
use crate::{ConversationKey, Message, Position};
use millpond_wire::{DeviceId, Kind, UserId};

const VERSION: u8 = 1;

/// The position that opens any row but a dedup row.
pub fn decode_position(bytes: &[u8]) -> Result<Position, Undecodable> {
    Reader::versioned(bytes, VERSION, "version of a row")?.position()
}

pub fn encode_history(row: &HistoryRow, out: &mut Vec<u8>) {
    let message = &row.message;
    out.push(VERSION);
    put_position(row.position, out);
    put_member(message.conversation, message.sender, out);
    put_u64(message.device.0, out);
    put_u64(message.client_msg_id, out);
    put_varint(message.server_ms, out);
    out.push(message.kind.0);
    out.extend_from_slice(&message.payload);
}

/// The row at `seq` of `conversation`.
pub fn decode_history(
    conversation: ConversationKey,
    seq: u64,
    bytes: &[u8],
) -> Result<HistoryRow, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of a history row")?;
    let position = reader.position()?;
    let message = Message {
        conversation,
        seq,
        sender: member(conversation, &mut reader)?,
        device: DeviceId(reader.u64("device")?),
        client_msg_id: reader.u64("client message id")?,
        server_ms: reader.varint("server time")?,
        kind: Kind(reader.u8("kind")?),
        payload: reader.tail().into(),
    };
    Ok(HistoryRow { position, message })
}

pub fn encode_dedup(row: &DedupRow, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_varint(row.seq, out);
    put_varint(row.server_ms, out);
    out.extend_from_slice(&row.hash.to_be_bytes());
}

pub fn decode_dedup(bytes: &[u8]) -> Result<DedupRow, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of a dedup row")?;
    let row = DedupRow {
        seq: reader.varint("sequence")?,
        server_ms: reader.varint("server time")?,
        hash: reader.u32("hash")?,
    };
    reader.end().map(|()| row)
}

const PEER: u8 = 0;
const GROUP: u8 = 1;
const OTHERS: u8 = 2;

pub fn encode_inbox(user: UserId, row: &InboxRow, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_position(row.position, out);
    match row.conversation {
        ConversationKey::Direct(low, high) if user == low => put_tagged(PEER, high.value(), out),
        ConversationKey::Direct(low, high) if user == high => put_tagged(PEER, low.value(), out),
        ConversationKey::Group(id) => put_tagged(GROUP, id, out),
        ConversationKey::Direct(..) => {
            out.push(OTHERS);
            put_conversation(row.conversation, out);
        }
    }
    put_varint(row.seq, out);
}

fn put_tagged(tag: u8, id: u64, out: &mut Vec<u8>) {
    out.push(tag);
    put_u64(id, out);
}

/// A row of `user`'s inbox.
pub fn decode_inbox(user: UserId, bytes: &[u8]) -> Result<InboxRow, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of an inbox row")?;
    let row = InboxRow {
        position: reader.position()?,
        conversation: inbox_conversation(user, &mut reader)?,
        seq: reader.varint("sequence")?,
    };
    reader.end().map(|()| row)
}

fn inbox_conversation(
    user: UserId,
    reader: &mut Reader<'_>,
) -> Result<ConversationKey, Undecodable> {
    const WHAT: &str = "conversation of an inbox row";
    let before = *reader;
    match reader.u8(WHAT)? {
        PEER => Ok(ConversationKey::direct(user, reader.user(WHAT)?)),
        GROUP => Ok(ConversationKey::Group(reader.user(WHAT)?.value())),
        OTHERS => match reader.conversation(WHAT)? {
            ConversationKey::Direct(low, high) if user != low && user != high => {
                Ok(ConversationKey::Direct(low, high))
            }
            ConversationKey::Direct(..) | ConversationKey::Group(_) => before.fault(WHAT),
        },
        _ => before.fault(WHAT),
    }
}

pub fn encode_marks(row: &MarksRow, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_position(row.position, out);
    put_varint(row.version, out);
    put_count(row.members.len(), out);
    for member in &row.members {
        put_user(member.user, out);
        put_varint(member.delivered, out);
        put_varint(member.read, out);
    }
    assert!(row.members.is_sorted_by(|a, b| a.user < b.user));
}

pub fn decode_marks(bytes: &[u8]) -> Result<MarksRow, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of a marks row")?;
    let position = reader.position()?;
    let version = reader.varint("version of the marks")?;
    let members = ascending(
        &mut reader,
        10,
        |member: &MemberMarks| member.user,
        |reader| {
            Ok(MemberMarks {
                user: reader.user("member")?,
                delivered: reader.varint("delivered")?,
                read: reader.varint("read")?,
            })
        },
    )?;
    Ok(MarksRow {
        position,
        version,
        members,
    })
}

pub fn encode_user(row: &UserRow, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_position(row.position, out);
    put_varint(u64::from(row.resets), out);
    put_count(row.devices.len(), out);
    for device in &row.devices {
        put_u64(device.device.0, out);
        put_varint(device.cursor, out);
    }
    assert!(row.devices.is_sorted_by(|a, b| a.device < b.device));
}

pub fn decode_user(bytes: &[u8]) -> Result<UserRow, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of a user row")?;
    let position = reader.position()?;
    let resets = reader.small("resets")?;
    let devices = ascending(
        &mut reader,
        9,
        |device: &DeviceCursor| device.device,
        |reader| {
            Ok(DeviceCursor {
                device: DeviceId(reader.u64("device")?),
                cursor: reader.varint("cursor")?,
            })
        },
    )?;
    Ok(UserRow {
        position,
        resets,
        devices,
    })
}

pub fn encode_partition(row: &PartitionRow, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_position(row.consumed, out);
    put_varint(row.time_ms, out);
    put_count(row.high_water.len(), out);
    for mark in &row.high_water {
        out.push(mark.partition.0);
        put_position(mark.position, out);
        put_varint(u64::from(mark.emission), out);
    }
    assert!(
        row.high_water
            .is_sorted_by(|a, b| a.partition < b.partition)
    );
}

pub fn decode_partition(bytes: &[u8]) -> Result<PartitionRow, Undecodable> {
    let mut reader = Reader::versioned(bytes, VERSION, "version of a partition row")?;
    let consumed = reader.position()?;
    let time_ms = reader.varint("time")?;
    let high_water = ascending(
        &mut reader,
        5,
        |mark: &HighWater| mark.partition,
        |reader| {
            Ok(HighWater {
                partition: reader.partition()?,
                position: reader.position()?,
                emission: reader.small("emission")?,
            })
        },
    )?;
    Ok(PartitionRow {
        consumed,
        time_ms,
        high_water,
    })
}

/// The list that ends a value, strictly ascending by `key`.
fn ascending<'a, T, K: Ord>(
    reader: &mut Reader<'a>,
    item_bytes_min: usize,
    key: impl Fn(&T) -> K,
    item: impl Fn(&mut Reader<'a>) -> Result<T, Undecodable>,
) -> Result<Vec<T>, Undecodable> {
    let count = reader.count(item_bytes_min, "count of a list")?;
    let mut items: Vec<T> = Vec::with_capacity(count);
    for _ in 0..count {
        let before = *reader;
        let next = item(reader)?;
        if items.last().is_some_and(|last| key(last) >= key(&next)) {
            return before.fault("an ascending list");
        }
        items.push(next);
    }
    reader.end().map(|()| items)
}
