//! Takes values off the front of some bytes and remembers where it stands.

use super::{Fault, Undecodable};
use crate::{ConversationKey, Position, VirtualPartition};
use millpond_wire::UserId;

/// Bytes of the longest encoding of a u64.
const VARINT_BYTES_MAX: usize = 10;

#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Opens a value: its version byte, then what follows it.
    pub(super) fn versioned(
        bytes: &'a [u8],
        version: u8,
        what: &'static str,
    ) -> Result<Self, Undecodable> {
        let mut reader = Self::new(bytes);
        if reader.u8(what)? == version {
            Ok(reader)
        } else {
            Err(Undecodable {
                code: Fault::UnknownVersion,
                what,
                offset: 0,
            })
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Undecodable> {
        if self.is_empty() {
            Ok(())
        } else {
            self.fault("nothing more was wanted")
        }
    }

    pub(super) fn fault<T>(&self, what: &'static str) -> Result<T, Undecodable> {
        Err(self.undecodable(Fault::Malformed, what))
    }

    fn undecodable(&self, code: Fault, what: &'static str) -> Undecodable {
        Undecodable {
            code,
            what,
            offset: self.at,
        }
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Undecodable> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Undecodable> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, Undecodable> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(super) fn user(&mut self, what: &'static str) -> Result<UserId, Undecodable> {
        let before = *self;
        let id = self.u64(what)?;
        UserId::new(id).map_or_else(|| before.fault(what), Ok)
    }

    pub(super) fn conversation(
        &mut self,
        what: &'static str,
    ) -> Result<ConversationKey, Undecodable> {
        let before = *self;
        let bytes = self.array(what)?;
        ConversationKey::from_bytes(bytes).map_or_else(|| before.fault(what), Ok)
    }

    /// An unsigned LEB128 number in its shortest form.
    pub(super) fn varint(&mut self, what: &'static str) -> Result<u64, Undecodable> {
        let before = *self;
        let mut value = 0;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.u8(what)?;
            if index + 1 == VARINT_BYTES_MAX && byte > 1 {
                return before.fault(what);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                let shortest = byte != 0 || index == 0;
                return if shortest {
                    Ok(value)
                } else {
                    before.fault(what)
                };
            }
        }
        before.fault(what)
    }

    /// A varint that fits a smaller type.
    pub(super) fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, Undecodable> {
        let before = *self;
        let value = self.varint(what)?;
        T::try_from(value).or_else(|_| before.fault(what))
    }

    /// The varint of a count whose items take at least `item_bytes_min` each: more than fit is a fault before any room
    /// is made for them.
    pub(super) fn count(
        &mut self,
        item_bytes_min: usize,
        what: &'static str,
    ) -> Result<usize, Undecodable> {
        let before = *self;
        let count: usize = self.small(what)?;
        let fits = (self.bytes.len() - self.at) / item_bytes_min;
        if count <= fits {
            Ok(count)
        } else {
            Err(before.undecodable(Fault::CutShort, what))
        }
    }

    pub(super) fn position(&mut self) -> Result<Position, Undecodable> {
        Ok(Position {
            epoch: self.small("epoch of a position")?,
            offset: self.varint("offset of a position")?,
            index: self.small("index of a position")?,
        })
    }

    pub(super) fn partition(&mut self) -> Result<VirtualPartition, Undecodable> {
        self.u8("virtual partition").map(VirtualPartition)
    }

    /// The next `count` bytes.
    pub(super) fn part(
        &mut self,
        count: usize,
        what: &'static str,
    ) -> Result<&'a [u8], Undecodable> {
        let rest = &self.bytes[self.at..];
        let Some(part) = rest.get(..count) else {
            return Err(self.undecodable(Fault::CutShort, what));
        };
        self.at += count;
        Ok(part)
    }

    /// All that is left.
    pub(super) fn tail(&mut self) -> &'a [u8] {
        let tail = &self.bytes[self.at..];
        self.at = self.bytes.len();
        tail
    }

    pub(super) fn array<const BYTES: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; BYTES], Undecodable> {
        let Some(array) = self.bytes[self.at..].first_chunk() else {
            return Err(self.undecodable(Fault::CutShort, what));
        };
        self.at += BYTES;
        Ok(*array)
    }
}

/// Takes an unsigned LEB128 number in its shortest form off the front, if it fits a smaller type.
pub fn take_varint<T: TryFrom<u64>>(
    bytes: &mut &[u8],
    what: &'static str,
) -> Result<T, Undecodable> {
    let mut reader = Reader::new(bytes);
    let value = reader.small(what)?;
    *bytes = reader.tail();
    Ok(value)
}
