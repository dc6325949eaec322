//! Row keys: bytes that sort like what they name.
//!
//! ```text
//! history    conversation 16 | seq ordered        dedup     conversation 16 | member | device u64 | client_msg_id u64
//! inbox      user u64 | cursor ordered            marks     conversation 16
//! user       user u64                             partition stage u8 | partition u8
//!
//! ordered:   how many bytes follow u8 (1 to 8) | that many, big-endian, the first not 0 (unless the number is 0)
//! member:    0 the lower id of a direct conversation, 1 the higher, 2 followed by a user u64 for anybody else
//! ```
//!
//! An ordered number takes 4 bytes below 16 million: short keys are what the memtable's comparisons cost.

use super::Undecodable;
use super::reader::Reader;
use super::writer::put_u64;
use crate::row::{DedupKey, Stage};
use crate::{ConversationKey, VirtualPartition};
use millpond_wire::{DeviceId, UserId};

const LOW: u8 = 0;
const HIGH: u8 = 1;
const ANYBODY: u8 = 2;
const CONVERSATIONS: u8 = 0;
const INBOXES: u8 = 1;

/// The front of all history keys of one conversation.
pub fn history_prefix(conversation: ConversationKey) -> [u8; 16] {
    conversation.to_bytes()
}

pub fn history_key(conversation: ConversationKey, seq: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&history_prefix(conversation));
    put_ordered(seq, out);
}

/// The sequence a history key names.
pub fn history_seq(key: &[u8]) -> Result<u64, Undecodable> {
    decode_history_key(key).map(|(_, seq)| seq)
}

/// The conversation and the sequence a history key names.
pub fn decode_history_key(key: &[u8]) -> Result<(ConversationKey, u64), Undecodable> {
    let mut reader = Reader::new(key);
    let conversation = reader.conversation("conversation of a history key")?;
    Ok((conversation, ordered(reader)?))
}

/// The front of all inbox keys of one user.
pub fn inbox_prefix(user: UserId) -> [u8; 8] {
    user.value().to_be_bytes()
}

pub fn inbox_key(user: UserId, cursor: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&inbox_prefix(user));
    put_ordered(cursor, out);
}

/// The cursor an inbox key names.
pub fn inbox_cursor(key: &[u8]) -> Result<u64, Undecodable> {
    decode_inbox_key(key).map(|(_, cursor)| cursor)
}

/// The user and the cursor an inbox key names.
pub fn decode_inbox_key(key: &[u8]) -> Result<(UserId, u64), Undecodable> {
    let mut reader = Reader::new(key);
    let user = reader.user("user of an inbox key")?;
    Ok((user, ordered(reader)?))
}

/// The front of all dedup keys of one device in one conversation.
pub fn dedup_prefix(
    conversation: ConversationKey,
    user: UserId,
    device: DeviceId,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&conversation.to_bytes());
    put_member(conversation, user, out);
    put_u64(device.0, out);
}

pub fn dedup_key(key: &DedupKey, out: &mut Vec<u8>) {
    dedup_prefix(key.conversation, key.user, key.device, out);
    put_u64(key.client_msg_id, out);
}

/// What a dedup key names.
pub fn decode_dedup_key(key: &[u8]) -> Result<DedupKey, Undecodable> {
    let mut reader = Reader::new(key);
    let conversation = reader.conversation("conversation of a dedup key")?;
    let key = DedupKey {
        conversation,
        user: member(conversation, &mut reader)?,
        device: DeviceId(reader.u64("device")?),
        client_msg_id: reader.u64("client message id")?,
    };
    reader.end().map(|()| key)
}

pub fn marks_key(conversation: ConversationKey) -> [u8; 16] {
    conversation.to_bytes()
}

/// The conversation a marks key names.
pub fn decode_marks_key(key: &[u8]) -> Result<ConversationKey, Undecodable> {
    let mut reader = Reader::new(key);
    let conversation = reader.conversation("conversation of a marks key")?;
    reader.end().map(|()| conversation)
}

pub fn user_key(user: UserId) -> [u8; 8] {
    user.value().to_be_bytes()
}

/// The user a user key names.
pub fn decode_user_key(key: &[u8]) -> Result<UserId, Undecodable> {
    let mut reader = Reader::new(key);
    let user = reader.user("user of a user key")?;
    reader.end().map(|()| user)
}

pub fn partition_key(stage: Stage, partition: VirtualPartition) -> [u8; 2] {
    let stage = match stage {
        Stage::Conversations => CONVERSATIONS,
        Stage::Inboxes => INBOXES,
    };
    [stage, partition.0]
}

/// The stage and the partition a partition key names.
pub fn decode_partition_key(key: &[u8]) -> Result<(Stage, VirtualPartition), Undecodable> {
    let mut reader = Reader::new(key);
    let before = reader;
    let stage = match reader.u8("stage of a partition key")? {
        CONVERSATIONS => Stage::Conversations,
        INBOXES => Stage::Inboxes,
        _ => return before.fault("stage of a partition key"),
    };
    let partition = reader.partition()?;
    reader.end().map(|()| (stage, partition))
}

/// Who of a conversation this is: one byte for the two of a direct one.
pub(super) fn put_member(conversation: ConversationKey, user: UserId, out: &mut Vec<u8>) {
    match conversation {
        ConversationKey::Direct(low, _) if user == low => out.push(LOW),
        ConversationKey::Direct(_, high) if user == high => out.push(HIGH),
        ConversationKey::Direct(..) | ConversationKey::Group(_) => {
            out.push(ANYBODY);
            put_u64(user.value(), out);
        }
    }
}

pub(super) fn member(
    conversation: ConversationKey,
    reader: &mut Reader<'_>,
) -> Result<UserId, Undecodable> {
    let before = *reader;
    let form = reader.u8("form of a member")?;
    let user = match (form, conversation) {
        (LOW, ConversationKey::Direct(low, _)) => low,
        (HIGH, ConversationKey::Direct(low, high)) if low != high => high,
        (ANYBODY, _) => reader.user("member")?,
        _ => return before.fault("form of a member"),
    };
    let shorter = matches!(conversation, ConversationKey::Direct(low, high)
        if form == ANYBODY && (user == low || user == high));
    if shorter {
        return before.fault("the short form of a member");
    }
    Ok(user)
}

fn put_ordered(value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let skipped = (value.leading_zeros() / 8).min(7) as usize;
    let significant = &bytes[skipped..];
    out.push(significant.len().to_le_bytes()[0]);
    out.extend_from_slice(significant);
}

/// The ordered number that ends a key.
fn ordered(mut reader: Reader<'_>) -> Result<u64, Undecodable> {
    const WHAT: &str = "ordered number";
    let before = reader;
    let count = usize::from(reader.u8(WHAT)?);
    if !(1..=8).contains(&count) {
        return before.fault(WHAT);
    }
    let significant = reader.part(count, WHAT)?;
    if count > 1 && significant[0] == 0 {
        return before.fault(WHAT);
    }
    reader.end()?;
    Ok(significant
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}
