//! The binary form of what is kept, and of what goes between processes: log records, row keys, row values, hints.
//!
//! Log envelopes and row values open with a version byte; keys carry none, because the store's own version covers them.
//! Every encoding is canonical: a decoder accepts exactly what the encoder makes, so equal values have equal bytes and a
//! replayed write is byte for byte the first one. Bad bytes are an [`Undecodable`] with what was wanted and where, never
//! a panic. Values do not repeat what their key says, so decoding one takes the key. Called by the drivers; it must
//! never be called with bytes of a client. `LOG.md` is the normative text.

mod downlink;
mod entry;
mod key;
mod reader;
mod row;
#[cfg(test)]
mod tests;
mod writer;

pub use downlink::{DownlinkEncoder, decode_downlinks};
pub use entry::{ENTRIES_PER_ENVELOPE_MAX, decode_envelope, encode_envelope};
pub use key::{
    decode_dedup_key, decode_history_key, decode_inbox_key, decode_marks_key, decode_partition_key,
    decode_user_key, dedup_key, dedup_prefix, history_key, history_prefix, history_seq,
    inbox_cursor, inbox_key, inbox_prefix, marks_key, partition_key, user_key,
};
pub use reader::take_varint;
pub use row::{
    decode_dedup, decode_history, decode_inbox, decode_marks, decode_partition, decode_position,
    decode_user, encode_dedup, encode_history, encode_inbox, encode_marks, encode_partition,
    encode_user,
};
pub use writer::put_varint;

/// Bytes that no encoder of this version made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code} {what} at byte {offset}")]
pub struct Undecodable {
    pub code: Fault,
    /// What was wanted there, or what is wrong with it.
    pub what: &'static str,
    pub offset: usize,
}

/// Why bytes do not decode: `LOG.md`, section 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Of a version that this program does not know: a newer one reads it, nothing is damaged.
    UnknownVersion,
    /// The bytes end before the value does.
    CutShort,
    /// Not what the grammar says.
    Malformed,
}

impl Fault {
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownVersion => "L001",
            Self::CutShort => "L002",
            Self::Malformed => "L003",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}
