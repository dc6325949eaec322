//! One message as a reader receives it.

use crate::{Conversation, DeviceId, UserId};
use alloc::vec::Vec;

/// What a payload is, as far as the server cares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Kind(pub u8);

impl Kind {
    /// Text or anything opaque; counts as unread.
    pub const TEXT: Self = Self(0);
}

/// Of my own message: the device that sent it, and under which id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub device: DeviceId,
    pub client_msg_id: u64,
}

/// A message from the log of a conversation, seen from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub kind: Kind,
    /// Present on my own messages (flag `from_me`).
    pub origin: Option<Origin>,
    /// The body is left out: the origin device has it already.
    pub stub: bool,
    /// Counts as unread.
    pub counts: bool,
    pub conversation: Conversation,
    pub seq: u64,
    /// Present on group records only; a direct record comes from the peer or from me.
    pub sender: Option<UserId>,
    pub server_ms: u64,
    pub payload: &'a [u8],
}

/// Appends one record with its length prefix.
pub fn encode_record(record: &Record<'_>, out: &mut Vec<u8>) {
    let _ = (record, out);
    todo!()
}

/// Records one after the other, each with its length prefix; validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records<'a> {
    bytes: &'a [u8],
}

impl<'a> Records<'a> {
    /// Bytes made by [`encode_record`]. Decoding untrusted bytes goes through [`crate::decode`].
    pub fn from_encoded(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = Record<'a>> + 'a {
        todo!();
        #[allow(unreachable_code, reason = "skeleton")]
        core::iter::empty()
    }
}
