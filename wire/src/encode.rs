//! Frames to bytes.

mod body;

use crate::tag::Tag;
use crate::varint::{put_varint, varint_bytes};
use crate::writer::put_flags;
use crate::{BODY_BYTES_MAX, Frame, HEAD_BYTES_MAX, Mode};
use alloc::vec::Vec;

/// Bytes of a body that are not its tail, as most frames have it.
const BODY_BYTES_BESIDE_TAIL: usize = 24;

/// Appends `frame` in its one canonical encoding.
///
/// # Panics
/// When the frame is one that [`crate::decode`] would refuse: a text above its limit, an empty list, marks of which
/// only some name a user, milliseconds above 2^48, a body above [`BODY_BYTES_MAX`], flags that exclude each other.
pub fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let room = 1 + varint_bytes((tail_bytes(frame) + BODY_BYTES_BESIDE_TAIL) as u64);
    out.extend_from_slice(&[0; HEAD_BYTES_MAX][..room.min(HEAD_BYTES_MAX)]);
    let body_at = out.len();
    body::put(frame, out);
    finish_head(frame.kind(), start, body_at, out);
}

/// Writes the head into the room left for it; moves the body where the guess of that room was wrong.
fn finish_head(kind: u8, start: usize, body_at: usize, out: &mut Vec<u8>) {
    let body_bytes = out.len() - body_at;
    assert!(body_bytes <= BODY_BYTES_MAX, "a body of {body_bytes} bytes");
    let head_bytes = 1 + varint_bytes(body_bytes as u64);
    let should_be_at = start + head_bytes;
    if should_be_at > body_at {
        out.resize(should_be_at + body_bytes, 0);
    }
    out.copy_within(body_at..body_at + body_bytes, should_be_at);
    out.truncate(should_be_at + body_bytes);
    out[start] = kind;
    put_length(body_bytes, &mut out[start + 1..should_be_at]);
}

fn put_length(mut length: usize, place: &mut [u8]) {
    let last = place.len() - 1;
    for (index, byte) in place.iter_mut().enumerate() {
        let more = if index < last { 0x80 } else { 0 };
        *byte = length.to_le_bytes()[0] & 0x7f | more;
        length >>= 7;
    }
}

/// Bytes of the part that makes a frame large; only a hint.
fn tail_bytes(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Send(send) => send.payload.len(),
        Frame::Deliver(deliver) => deliver.records.as_bytes().len(),
        Frame::HistoryPage(page) => page.records.as_bytes().len(),
        Frame::Echo(echo) => echo.payload.len(),
        Frame::Echoed(echoed) => echoed.payload.len(),
        Frame::Ignored(ignored) => ignored.body.len(),
        Frame::Hello(hello) => hello.token.len(),
        Frame::Welcome(welcome) => welcome.resume_token.len(),
        Frame::SendAck(ack) => ack.acks.len().saturating_mul(18),
        Frame::Receipt(receipt) => receipt.marks.len().saturating_mul(12),
        Frame::Ping(_)
        | Frame::Pong(_)
        | Frame::GoAway(_)
        | Frame::Error(_)
        | Frame::Bye(_)
        | Frame::CursorAck(_)
        | Frame::Sync(_)
        | Frame::SyncDone(_)
        | Frame::Reset(_)
        | Frame::History(_) => 0,
    }
}

/// Appends everything of a DELIVER that comes before its records, which hold `records_bytes` in all: the per-recipient
/// part, so that the records can be shared between recipients.
///
/// # Panics
/// When there are no records, when the first cursor is 0, or with more records than [`BODY_BYTES_MAX`] holds.
pub fn encode_deliver_head(mode: Mode, first_cursor: u64, records_bytes: usize, out: &mut Vec<u8>) {
    let body_bytes = 1 + varint_bytes(first_cursor) + records_bytes;
    assert!(records_bytes > 0, "a DELIVER has at least one record");
    assert!(first_cursor > 0, "cursors begin at 1");
    assert!(body_bytes <= BODY_BYTES_MAX, "a body of {body_bytes} bytes");
    out.push(Tag::Deliver.byte());
    put_varint(body_bytes as u64, out);
    put_flags([mode == Mode::Sync], out);
    put_varint(first_cursor, out);
}
