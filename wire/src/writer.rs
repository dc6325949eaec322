//! The scalars of the format, appended to a caller's buffer.

use crate::Conversation;
use crate::varint::put_varint;
use alloc::vec::Vec;

pub(crate) fn put_ms(ms: u64, out: &mut Vec<u8>) {
    let [0, 0, rest @ ..] = ms.to_be_bytes() else {
        panic!("milliseconds take 48 bits, not {ms}");
    };
    out.extend_from_slice(&rest);
}

pub(crate) fn put_u64(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_conversation(conversation: Conversation, out: &mut Vec<u8>) {
    put_u64(conversation.to_wire(), out);
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_str(text: &str, bytes_max: usize, out: &mut Vec<u8>) {
    assert!(
        text.len() <= bytes_max,
        "{} bytes in a field of {bytes_max}",
        text.len()
    );
    put_bytes(text.as_bytes(), out);
}

/// A flags byte, bit 0 first.
pub(crate) fn put_flags<const N: usize>(bits: [bool; N], out: &mut Vec<u8>) {
    let flags = bits
        .iter()
        .rev()
        .fold(0, |flags, &bit| flags << 1 | u8::from(bit));
    out.push(flags);
}
