//! Bytes to frames.

use crate::{Code, Frame};

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

/// What is wrong with the bytes. (The owner of `wire` widens this list; `code` stays.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Body longer than the limit.
    TooLarge,
    /// Unknown type below 0x80.
    UnsupportedFrame,
    /// Anything else.
    Malformed,
}

impl Malformed {
    /// 7001, 7002 or 7003.
    pub fn code(self) -> Code {
        match self.reason {
            Reason::TooLarge => Code::LIMIT_EXCEEDED,
            Reason::UnsupportedFrame => Code::UNSUPPORTED_FRAME,
            Reason::Malformed => Code::MALFORMED,
        }
    }
}

/// Looks at the front of `bytes`. A body may hold at most `body_bytes_max`, checked as soon as the length is readable.
pub fn decode(bytes: &[u8], body_bytes_max: usize) -> Result<Decoded<'_>, Malformed> {
    let _ = (bytes, body_bytes_max);
    todo!()
}
