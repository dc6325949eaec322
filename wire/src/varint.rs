//! Unsigned LEB128 in its one shortest form: seven bits a byte, least significant group first.

use crate::decode::Reason;
use alloc::vec::Vec;

/// Bytes of the longest encoding of a u64.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// Bytes that `value` takes.
pub(crate) fn varint_bytes(value: u64) -> usize {
    let bits = (64 - (value | 1).leading_zeros()) as usize;
    bits.div_ceil(7)
}

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Varint {
    Value(u64, usize),
    /// Every byte so far asks for one more.
    Unfinished,
}

/// Reads a varint of at most `bytes_max` bytes; anything but the shortest form is refused.
#[inline]
pub(crate) fn read_varint(bytes: &[u8], bytes_max: usize) -> Result<Varint, Reason> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(bytes_max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index + 1 == VARINT_BYTES_MAX && byte > 1 {
            return Err(Reason::VarintOverflow { bytes_max });
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            let shortest = byte != 0 || index == 0;
            return if shortest {
                Ok(Varint::Value(value, index + 1))
            } else {
                Err(Reason::VarintNotShortest)
            };
        }
        if index + 1 == bytes_max {
            return Err(Reason::VarintOverflow { bytes_max });
        }
    }
    Ok(Varint::Unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_take_the_bytes_they_should_and_come_back() {
        let powers = (1..64).map(|shift| 1u64 << shift);
        let values = powers
            .flat_map(|power| [power - 1, power])
            .chain([0, u64::MAX]);
        for value in values {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            assert_eq!(bytes.len(), varint_bytes(value), "{value}");
            assert_eq!(
                read_varint(&bytes, 10),
                Ok(Varint::Value(value, bytes.len()))
            );
            assert_eq!(
                read_varint(&bytes[..bytes.len() - 1], 10),
                Ok(Varint::Unfinished)
            );
        }
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!(read_varint(&[0x80, 0], 10), Err(Reason::VarintNotShortest));
        let eleven = [0xff; 11];
        assert_eq!(
            read_varint(&eleven, 10),
            Err(Reason::VarintOverflow { bytes_max: 10 })
        );
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(
            read_varint(&over, 10),
            Err(Reason::VarintOverflow { bytes_max: 10 })
        );
        let length = [0xff, 0xff, 0xff];
        assert_eq!(
            read_varint(&length, 3),
            Err(Reason::VarintOverflow { bytes_max: 3 })
        );
    }
}
