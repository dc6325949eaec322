//! Zeroed pages of our own, aligned for the kernel and resident only where touched. Called by the provided buffers.

use std::io;
use std::ptr::{self, NonNull};

/// Anonymous pages, unmapped on drop.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: asks for fresh pages anywhere; no existing memory is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a mapping is never at address zero");
        Ok(Self { start, bytes })
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The address of a byte of the mapping.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.bytes, "an offset inside the mapping");
        // SAFETY: the assertion keeps the result inside the mapping that we own.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the pages that `new` mapped; nothing borrows from them any more.
        let done = unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        assert_eq!(done, 0, "unmapping our own pages");
    }
}
