//! The binary form of what is kept: log records, row keys, row values.
//!
//! Log envelopes and row values open with a version byte; keys carry none, because the store's own version covers them.
//! Every encoding is canonical: a decoder accepts exactly what the encoder makes, so equal values have equal bytes and a
//! replayed write is byte for byte the first one. Bad bytes are an [`Undecodable`] with what was wanted and where, never
//! a panic. Values do not repeat what their key says, so decoding one takes the key. Called by the drivers; it must
//! never be called with bytes of a client.

mod entry;
mod key;
mod reader;
mod row;
#[cfg(test)]
mod tests;
mod writer;

pub use entry::{ENTRIES_PER_ENVELOPE_MAX, decode_envelope, encode_envelope};
pub use key::{
    decode_dedup_key, dedup_key, dedup_prefix, history_key, history_prefix, history_seq,
    inbox_cursor, inbox_key, inbox_prefix, marks_key, partition_key, user_key,
};
pub use row::{
    decode_dedup, decode_history, decode_inbox, decode_marks, decode_partition, decode_position,
    decode_user, encode_dedup, encode_history, encode_inbox, encode_marks, encode_partition,
    encode_user,
};

/// Bytes that no encoder of this version made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Undecodable {
    /// What was wanted there, or what is wrong with it.
    pub what: &'static str,
    pub offset: usize,
}
