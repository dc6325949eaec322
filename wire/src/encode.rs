//! Frames to bytes.

use crate::{Frame, Mode};
use alloc::vec::Vec;

/// Appends `frame` in its one canonical encoding.
pub fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) {
    let _ = (frame, out);
    todo!()
}

/// Appends everything of a DELIVER that comes before its records, which hold `records_bytes` in all: the per-recipient
/// part, so that the records can be shared between recipients.
pub fn encode_deliver_head(mode: Mode, first_cursor: u64, records_bytes: usize, out: &mut Vec<u8>) {
    let _ = (mode, first_cursor, records_bytes, out);
    todo!()
}
