//! A counted list inside a frame: values to encode, or bytes already validated.

use core::marker::PhantomData;

/// Items of a frame; cheap to copy, decoded as it is walked.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, T> {
    bytes: &'a [u8],
    values: &'a [T],
    count: usize,
    item: PhantomData<T>,
}

impl<'a, T: Copy> List<'a, T> {
    pub fn of(values: &'a [T]) -> Self {
        Self { bytes: &[], values, count: values.len(), item: PhantomData }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = T> + 'a {
        let _ = self.bytes;
        todo!("decoded lists");
        #[allow(unreachable_code, reason = "skeleton")]
        self.values.iter().copied()
    }
}

impl<T> PartialEq for List<'_, T> {
    fn eq(&self, _other: &Self) -> bool {
        todo!("by items")
    }
}
