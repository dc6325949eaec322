//! The scalars of the format, read from the body of one frame.
//!
//! Called by `decode` on untrusted bytes and by the iterators of lists and records on bytes that it has already
//! accepted. Never reads past the body, never allocates.

use crate::decode::{Malformed, Reason};
use crate::varint::{VARINT_BYTES_MAX, Varint, read_varint};
use crate::{Conversation, EXTENSION_BYTES_MAX, EXTENSIONS_MAX, UserId};

/// Bit 7 of every flags byte: an extension block follows.
pub(crate) const EXTENDED: u8 = 0x80;
/// Bytes of a count of milliseconds.
pub(crate) const MS_BYTES: usize = 6;

/// What is left of a body, and where in the frame it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8], offset: usize) -> Self {
        Self { rest, offset }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn fault<T>(&self, reason: Reason) -> Result<T, Malformed> {
        Err(Malformed {
            reason,
            offset: self.offset,
        })
    }

    /// Flags, of which only `known` may be set, and the extension block that bit 7 announces.
    #[inline]
    pub(crate) fn flags(&mut self, known: u8) -> Result<u8, Malformed> {
        let start = *self;
        let flags = self.u8()?;
        if flags & !(known | EXTENDED) != 0 {
            return start.fault(Reason::UnknownFlags {
                bits: flags & !(known | EXTENDED),
            });
        }
        if flags & EXTENDED != 0 {
            self.extensions()?;
        }
        Ok(flags & known)
    }

    /// Version 1 defines no extension: odd ids are skipped, even ones are refused.
    fn extensions(&mut self) -> Result<(), Malformed> {
        let start = *self;
        let total = self.length()?;
        if total == 0 {
            return start.fault(Reason::ExtensionsEmpty);
        }
        if total > EXTENSION_BYTES_MAX {
            return start.fault(Reason::TooLarge {
                have: total,
                max: EXTENSION_BYTES_MAX,
            });
        }
        let mut block = self.part(total);
        let mut last = None;
        for _ in 0..EXTENSIONS_MAX {
            block.extension(&mut last)?;
            if block.is_empty() {
                return Ok(());
            }
        }
        block.fault(Reason::TooLarge {
            have: EXTENSIONS_MAX + 1,
            max: EXTENSIONS_MAX,
        })
    }

    fn extension(&mut self, last: &mut Option<u64>) -> Result<(), Malformed> {
        let start = *self;
        let id = self.varint()?;
        if last.is_some_and(|last| last >= id) {
            return start.fault(Reason::ExtensionOrder { id });
        }
        if id % 2 == 0 {
            return start.fault(Reason::UnsupportedExtension { id });
        }
        *last = Some(id);
        self.bytes(EXTENSION_BYTES_MAX)?;
        Ok(())
    }

    /// The next `length` bytes, which are known to be there, as a body of their own.
    pub(crate) fn part(&mut self, length: usize) -> Reader<'a> {
        let part = Reader::new(&self.rest[..length], self.offset);
        self.skip(length);
        part
    }

    #[inline]
    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
        self.offset += count;
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest.first_chunk::<N>() {
            Some(&chunk) => {
                self.skip(N);
                Ok(chunk)
            }
            None => self.fault(Reason::Truncated {
                need: N,
                have: self.rest.len(),
            }),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn ms(&mut self) -> Result<u64, Malformed> {
        let [a, b, c, d, e, f] = self.array::<MS_BYTES>()?;
        Ok(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match read_varint(self.rest, VARINT_BYTES_MAX) {
            Ok(Varint::Value(value, bytes)) => {
                self.skip(bytes);
                Ok(value)
            }
            Ok(Varint::Unfinished) => {
                let have = self.rest.len();
                self.fault(Reason::Truncated {
                    need: have + 1,
                    have,
                })
            }
            Err(reason) => self.fault(reason),
        }
    }

    /// A length that what is left can hold.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(length) if length <= self.rest.len() => Ok(length),
            Ok(_) | Err(_) => {
                let need = usize::try_from(value).unwrap_or(usize::MAX);
                self.fault(Reason::Truncated {
                    need,
                    have: self.rest.len(),
                })
            }
        }
    }

    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let start = *self;
        let length = self.length()?;
        if length > max {
            return start.fault(Reason::TooLarge { have: length, max });
        }
        let bytes = &self.rest[..length];
        self.skip(length);
        Ok(bytes)
    }

    pub(crate) fn str(&mut self, max: usize) -> Result<&'a str, Malformed> {
        let start = *self;
        let bytes = self.bytes(max)?;
        core::str::from_utf8(bytes).map_err(|_| Malformed {
            reason: Reason::NotUtf8,
            offset: start.offset,
        })
    }

    #[inline]
    pub(crate) fn user(&mut self) -> Result<UserId, Malformed> {
        let start = *self;
        let id = self.u64()?;
        match UserId::new(id) {
            Some(user) => Ok(user),
            None => start.fault(Reason::NotAUser { id }),
        }
    }

    #[inline]
    pub(crate) fn conversation(&mut self) -> Result<Conversation, Malformed> {
        let start = *self;
        let bits = self.u64()?;
        match Conversation::from_wire(bits) {
            Some(conversation) => Ok(conversation),
            None => start.fault(Reason::NotAUser { id: bits }),
        }
    }

    /// Everything that is left.
    #[inline]
    pub(crate) fn tail(&mut self) -> &'a [u8] {
        let tail = self.rest;
        self.skip(tail.len());
        tail
    }

    /// Nothing may be left.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.fault(Reason::Trailing {
            have: self.rest.len(),
        })
    }
}
