//! A counted list inside a frame: values to encode, or bytes already validated.
//!
//! `decode` walks a list once to check it, so walking it again cannot fail.

use crate::decode::{Malformed, Reason};
use crate::reader::Reader;
use alloc::vec::Vec;

/// Something that stands in a counted list of a frame; closed to other crates.
#[expect(
    private_bounds,
    reason = "how an item lies on the wire is this crate's own business"
)]
pub trait Item: Layout + Copy {}

/// How an item lies on the wire. `flags` are those of its frame: they say which fields are there.
pub(crate) trait Layout: Sized {
    /// The fewest bytes one takes: bounds a count before anything is walked.
    fn bytes_min(flags: u8) -> usize;
    fn read(reader: &mut Reader<'_>, flags: u8) -> Result<Self, Malformed>;
    fn put(&self, flags: u8, out: &mut Vec<u8>);
}

/// Items of a frame; cheap to copy, decoded as it is walked.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    source: Source<'a, T>,
    count: usize,
}

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Values(&'a [T]),
    /// Validated bytes, and the flags of the frame they came in.
    Bytes(&'a [u8], u8),
}

impl<'a, T: Item> List<'a, T> {
    pub fn of(values: &'a [T]) -> Self {
        Self {
            source: Source::Values(values),
            count: values.len(),
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = T> + 'a {
        let (values, bytes, flags) = match self.source {
            Source::Values(values) => (values, &[][..], 0),
            Source::Bytes(bytes, flags) => (&[][..], bytes, flags),
        };
        let mut reader = Reader::new(bytes, 0);
        let decoded = core::iter::from_fn(move || {
            let more = !reader.is_empty();
            more.then(|| T::read(&mut reader, flags).expect("decode has read this list before"))
        });
        values.iter().copied().chain(decoded)
    }

    /// The rest of a body: a count that is never 0, and that many items.
    pub(crate) fn read(reader: &mut Reader<'a>, flags: u8) -> Result<Self, Malformed> {
        let start = *reader;
        let count = reader.length()?;
        if count == 0 {
            return start.fault(Reason::Empty);
        }
        let need = count.saturating_mul(T::bytes_min(flags));
        if need > reader.remaining() {
            return reader.fault(Reason::Truncated {
                need,
                have: reader.remaining(),
            });
        }
        let mut items = *reader;
        for _ in 0..count {
            T::read(&mut items, flags)?;
        }
        items.end()?;
        Ok(Self {
            source: Source::Bytes(reader.tail(), flags),
            count,
        })
    }

    pub(crate) fn put(&self, flags: u8, out: &mut Vec<u8>) {
        assert!(self.count > 0, "a list on the wire is never empty");
        crate::varint::put_varint(self.count as u64, out);
        self.iter().for_each(|item| item.put(flags, out));
    }
}

impl<T: Item + PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl<T: Item + core::fmt::Debug> core::fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
