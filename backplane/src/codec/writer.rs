//! The pieces that encodings are made of.

use crate::{ConversationKey, Position};
use millpond_wire::UserId;

/// Appends an unsigned LEB128 number in its shortest form.
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    put_varint(count as u64, out);
}

pub(super) fn put_u64(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_user(user: UserId, out: &mut Vec<u8>) {
    put_u64(user.value(), out);
}

pub(super) fn put_conversation(conversation: ConversationKey, out: &mut Vec<u8>) {
    out.extend_from_slice(&conversation.to_bytes());
}

pub(super) fn put_position(position: Position, out: &mut Vec<u8>) {
    put_varint(u64::from(position.epoch), out);
    put_varint(position.offset, out);
    put_varint(u64::from(position.index), out);
}
