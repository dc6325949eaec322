//! One message as a reader receives it.
//!
//! ```text
//! len uvarint | kind u8 | flags u8 | [extensions] | conv u64 | seq uvarint | [sender u64: groups] | server_ms u48
//!             | [from_me: device u64, client_msg_id u64] | payload: the rest of len
//! ```

use crate::decode::{Malformed, Reason};
use crate::reader::{MS_BYTES, Reader};
use crate::varint::{put_varint, varint_bytes};
use crate::writer::{put_conversation, put_flags, put_ms, put_u64};
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
    /// The body is left out: the origin device has it already. Only on my own messages, with an empty payload.
    pub stub: bool,
    /// Counts as unread.
    pub counts: bool,
    pub conversation: Conversation,
    pub seq: u64,
    /// Present on group records only; a direct record comes from the peer or from me.
    pub sender: Option<UserId>,
    /// Below 2^48.
    pub server_ms: u64,
    pub payload: &'a [u8],
}

const FROM_ME: u8 = 1;
const STUB: u8 = 2;
const COUNTS: u8 = 4;

/// Appends one record with its length prefix.
///
/// # Panics
/// When the record contradicts itself (see the fields) or a number has more bits than its place on the wire.
pub fn encode_record(record: &Record<'_>, out: &mut Vec<u8>) {
    assert_eq!(
        record.sender.is_some(),
        matches!(record.conversation, Conversation::Group(_)),
        "group records name their sender, direct ones do not"
    );
    assert!(
        !record.stub || is_stub(record.origin, record.payload),
        "a stub is mine, and empty"
    );
    let body_bytes = record_body_bytes(record);
    out.reserve(body_bytes + varint_bytes(body_bytes as u64));
    put_varint(body_bytes as u64, out);
    out.push(record.kind.0);
    put_flags([record.origin.is_some(), record.stub, record.counts], out);
    put_conversation(record.conversation, out);
    put_varint(record.seq, out);
    if let Some(sender) = record.sender {
        put_u64(sender.value(), out);
    }
    put_ms(record.server_ms, out);
    if let Some(origin) = record.origin {
        put_u64(origin.device.0, out);
        put_u64(origin.client_msg_id, out);
    }
    out.extend_from_slice(record.payload);
}

fn record_body_bytes(record: &Record<'_>) -> usize {
    let sender_bytes = if record.sender.is_some() { 8 } else { 0 };
    let origin_bytes = if record.origin.is_some() { 16 } else { 0 };
    let fixed_bytes = 1 + 1 + 8 + MS_BYTES;
    fixed_bytes + varint_bytes(record.seq) + sender_bytes + origin_bytes + record.payload.len()
}

fn is_stub(origin: Option<Origin>, payload: &[u8]) -> bool {
    origin.is_some() && payload.is_empty()
}

/// Records one after the other, each with its length prefix; validated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Records<'a> {
    bytes: &'a [u8],
}

impl<'a> Records<'a> {
    /// Bytes made by [`encode_record`]. Decoding untrusted bytes goes through [`crate::decode`] or [`Records::parse`].
    pub fn from_encoded(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Untrusted bytes: every record is checked.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::read(&mut Reader::new(bytes, 0)).map(|(records, _)| records)
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Walks the records.
    ///
    /// # Panics
    /// When [`Records::from_encoded`] was given bytes that [`encode_record`] did not make.
    pub fn iter(&self) -> impl Iterator<Item = Record<'a>> + 'a {
        let mut reader = Reader::new(self.bytes, 0);
        core::iter::from_fn(move || {
            let more = !reader.is_empty();
            more.then(|| read_record(&mut reader).expect("these records were validated or encoded"))
        })
    }

    /// The rest of a body, and how many records it holds.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<(Self, u64), Malformed> {
        let mut records = *reader;
        let mut count = 0;
        while !records.is_empty() {
            read_record(&mut records)?;
            count += 1;
        }
        Ok((
            Self {
                bytes: reader.tail(),
            },
            count,
        ))
    }
}

impl core::fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn read_record<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, Malformed> {
    let length = reader.length()?;
    let mut body = reader.part(length);
    let kind = Kind(body.u8()?);
    let flags_at = body;
    let flags = body.flags(FROM_ME | STUB | COUNTS)?;
    let conversation = body.conversation()?;
    let seq = body.varint()?;
    let sender = match conversation {
        Conversation::Group(_) => Some(body.user()?),
        Conversation::Direct(_) => None,
    };
    let server_ms = body.ms()?;
    let origin = if flags & FROM_ME != 0 {
        Some(read_origin(&mut body)?)
    } else {
        None
    };
    let payload = body.tail();
    let stub = flags & STUB != 0;
    if stub && !is_stub(origin, payload) {
        return flags_at.fault(Reason::Contradiction);
    }
    let counts = flags & COUNTS != 0;
    Ok(Record {
        kind,
        origin,
        stub,
        counts,
        conversation,
        seq,
        sender,
        server_ms,
        payload,
    })
}

fn read_origin(reader: &mut Reader<'_>) -> Result<Origin, Malformed> {
    Ok(Origin {
        device: DeviceId(reader.u64()?),
        client_msg_id: reader.u64()?,
    })
}
