//! Bytes to frames.

mod body;

use crate::tag::Tag;
use crate::varint::{Varint, read_varint};
use crate::{BODY_BYTES_MAX, Code, Frame, HEAD_BYTES_MAX, HELLO_BYTES_MAX, Ignored};
use core::fmt;

/// The outcome of looking at the front of a byte stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<'a> {
    /// A whole, valid frame and the bytes it took.
    Frame(Frame<'a>, usize),
    /// Not yet whole: at least this many bytes in all are needed to go on.
    Need(usize),
}

/// The bytes are bad: at `offset` of the frame (its type byte is offset 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub reason: Reason,
    pub offset: usize,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A body, a field or a count above its limit.
    TooLarge { have: usize, max: usize },
    /// Unknown type below 0x80.
    UnsupportedFrame { kind: u8 },
    /// An even extension id that this version does not define.
    UnsupportedExtension { id: u64 },
    /// The body ends inside a field.
    Truncated { need: usize, have: usize },
    /// Bytes behind the last field.
    Trailing { have: usize },
    /// A varint with a shorter form.
    VarintNotShortest,
    /// A varint that does not end within its bytes or its 64 bits.
    VarintOverflow { bytes_max: usize },
    /// Flag bits that this frame does not define.
    UnknownFlags { bits: u8 },
    /// A number that its enumeration does not define.
    UnknownValue { value: u8 },
    /// A user id of 0, or of 2^63 and above.
    NotAUser { id: u64 },
    /// Text that is not UTF-8.
    NotUtf8,
    /// A list or a DELIVER without items.
    Empty,
    /// An extension block without extensions.
    ExtensionsEmpty,
    /// Extension ids that do not ascend.
    ExtensionOrder { id: u64 },
    /// Fields that exclude each other.
    Contradiction,
    /// The cursors of the records run past 2^64.
    CursorOverflow,
    /// A record with cursor 0, which means "nothing yet".
    CursorZero,
}

impl Malformed {
    /// 7001, 7002 or 7003.
    pub fn code(self) -> Code {
        match self.reason {
            Reason::TooLarge { .. } => Code::LIMIT_EXCEEDED,
            Reason::UnsupportedFrame { .. } | Reason::UnsupportedExtension { .. } => {
                Code::UNSUPPORTED_FRAME
            }
            Reason::Truncated { .. }
            | Reason::Trailing { .. }
            | Reason::VarintNotShortest
            | Reason::VarintOverflow { .. }
            | Reason::UnknownFlags { .. }
            | Reason::UnknownValue { .. }
            | Reason::NotAUser { .. }
            | Reason::NotUtf8
            | Reason::Empty
            | Reason::ExtensionsEmpty
            | Reason::ExtensionOrder { .. }
            | Reason::Contradiction
            | Reason::CursorOverflow
            | Reason::CursorZero => Code::MALFORMED,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl core::error::Error for Malformed {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { have, max } => write!(f, "{have} where at most {max} are allowed"),
            Self::UnsupportedFrame { kind } => write!(f, "unknown frame type {kind:#04x}"),
            Self::UnsupportedExtension { id } => write!(f, "unknown extension {id}"),
            Self::Truncated { need, have } => write!(f, "{need} bytes needed, {have} there"),
            Self::Trailing { have } => write!(f, "{have} bytes too many"),
            Self::VarintNotShortest => write!(f, "a varint that is not in its shortest form"),
            Self::VarintOverflow { bytes_max } => {
                write!(f, "a varint that does not fit {bytes_max} bytes or 64 bits")
            }
            Self::UnknownFlags { bits } => write!(f, "undefined flags {bits:#04x}"),
            Self::UnknownValue { value } => write!(f, "undefined value {value}"),
            Self::NotAUser { id } => write!(f, "{id} is not a user id"),
            Self::NotUtf8 => write!(f, "text that is not UTF-8"),
            Self::Empty => write!(f, "no items where at least one must be"),
            Self::ExtensionsEmpty => write!(f, "an extension block without extensions"),
            Self::ExtensionOrder { id } => write!(f, "extension {id} out of ascending order"),
            Self::Contradiction => write!(f, "fields that exclude each other"),
            Self::CursorOverflow => write!(f, "cursors beyond 64 bits"),
            Self::CursorZero => write!(f, "a record with cursor 0"),
        }
    }
}

/// Looks at the front of `bytes`. A body may hold at most `body_bytes_max`, checked as soon as the length is readable.
///
/// The type byte is judged first, then the length, then the whole body: nothing of a frame is handed out before all of
/// it is known to be good. Allocates nothing.
///
/// # Examples
/// ```
/// use millpond_wire::{Decoded, Frame, Ping, decode};
/// let bytes = [0x01, 0x01, 0x05];
/// let ping = Frame::Ping(Ping { cursor: Some(5) });
/// assert_eq!(decode(&bytes, 64), Ok(Decoded::Frame(ping, 3)));
/// assert_eq!(decode(&bytes[..2], 64), Ok(Decoded::Need(3)));
/// ```
pub fn decode(bytes: &[u8], body_bytes_max: usize) -> Result<Decoded<'_>, Malformed> {
    let Some((&kind, rest)) = bytes.split_first() else {
        return Ok(Decoded::Need(2));
    };
    let tag = Tag::from_byte(kind);
    if tag.is_none() && kind < Tag::SKIPPABLE {
        return Err(Malformed {
            reason: Reason::UnsupportedFrame { kind },
            offset: 0,
        });
    }
    let (length, length_bytes) = match read_varint(rest, HEAD_BYTES_MAX - 1) {
        Ok(Varint::Value(length, length_bytes)) => (length, length_bytes),
        Ok(Varint::Unfinished) => return Ok(Decoded::Need(bytes.len() + 1)),
        Err(reason) => return Err(Malformed { reason, offset: 1 }),
    };
    let length = usize::try_from(length).expect("three bytes of length hold 21 bits");
    let max = body_limit(tag, body_bytes_max);
    if length > max {
        return Err(Malformed {
            reason: Reason::TooLarge { have: length, max },
            offset: 1,
        });
    }
    let head_bytes = 1 + length_bytes;
    let whole = head_bytes + length;
    let Some(body) = bytes.get(head_bytes..whole) else {
        return Ok(Decoded::Need(whole));
    };
    let frame = match tag {
        Some(tag) => body::read(tag, body, head_bytes)?,
        None => Frame::Ignored(Ignored { kind, body }),
    };
    Ok(Decoded::Frame(frame, whole))
}

fn body_limit(tag: Option<Tag>, body_bytes_max: usize) -> usize {
    let own = if tag == Some(Tag::Hello) {
        HELLO_BYTES_MAX
    } else {
        BODY_BYTES_MAX
    };
    own.min(body_bytes_max)
}
