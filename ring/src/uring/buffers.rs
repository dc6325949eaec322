//! The provided buffers of a ring: the kernel picks one at the moment it has bytes to put there. Knows which of them the
//! caller holds, so that none comes back twice. Called by the ring alone.
//!
//! The kernel takes entries from the ring's head; we append at the tail. Entries and data are our memory, of which the
//! kernel writes only the buffers between our giving one back and the completion that names it.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::mapping::Mapping;
use super::setup::BufferPlan;
use crate::op::BufferId;

/// The one group of buffers of a ring.
pub(super) const GROUP: u16 = 0;

#[derive(Debug)]
pub(super) struct Buffers {
    plan: BufferPlan,
    /// The ring they belong to, of several on one thread.
    ring: u16,
    entries: Mapping,
    data: Mapping,
    tail: u16,
    held: Box<[bool]>,
    free: usize,
}

impl Buffers {
    pub(super) fn new(plan: BufferPlan, ring: u16) -> io::Result<Self> {
        let count = usize::from(plan.count);
        let mut buffers = Self {
            plan,
            ring,
            entries: Mapping::new(count * size_of::<BufRingEntry>())?,
            data: Mapping::new(plan.data_bytes())?,
            tail: 0,
            held: vec![false; count].into_boxed_slice(),
            free: count,
        };
        for index in 0..plan.count {
            buffers.append(index);
        }
        buffers.publish();
        Ok(buffers)
    }

    pub(super) fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.entries.start().as_ptr() as u64;
        // SAFETY: the entries are ours, page-aligned and initialised, and outlive the registration: the ring unregisters
        // or is closed before `self` is dropped, or `self` is leaked.
        unsafe { submitter.register_buf_ring_with_flags(address, self.plan.count, GROUP, 0) }
    }

    /// The kernel has filled a buffer: from now until it is given back it is the caller's.
    pub(super) fn take(&mut self, index: u16, bytes: u32) -> BufferId {
        let held = &mut self.held[usize::from(index)];
        assert!(!*held, "the kernel names a buffer only once");
        assert!(bytes <= self.plan.bytes, "the kernel stays inside a buffer");
        *held = true;
        self.free -= 1;
        BufferId {
            ring: self.ring,
            index,
            bytes,
        }
    }

    pub(super) fn bytes(&self, id: BufferId) -> &[u8] {
        assert!(
            self.held[usize::from(id.index)],
            "a buffer that the kernel has not given"
        );
        assert!(
            id.bytes <= self.plan.bytes,
            "a buffer is not longer than its plan"
        );
        let start = self.data_of(id.index);
        // SAFETY: inside our mapping by the assertions, initialised (pages start zeroed), and the kernel does not write
        // it before `give_back`, which needs `&mut self` and so ends this borrow.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), id.bytes as usize) }
    }

    pub(super) fn give_back(&mut self, index: u16) {
        let held = &mut self.held[usize::from(index)];
        assert!(*held, "a buffer comes back once");
        *held = false;
        self.free += 1;
        self.append(index);
        self.publish();
    }

    pub(super) fn free(&self) -> usize {
        self.free
    }

    pub(super) fn all_free(&self) -> bool {
        self.free == self.held.len()
    }

    fn data_of(&self, index: u16) -> NonNull<u8> {
        self.data.at(usize::from(index) * self.plan.bytes as usize)
    }

    fn append(&mut self, index: u16) {
        let address = self.data_of(index).as_ptr() as u64;
        let position = usize::from(self.tail & (self.plan.count - 1));
        let entry = self
            .entries
            .at(position * size_of::<BufRingEntry>())
            .cast::<BufRingEntry>();
        // SAFETY: inside our page-aligned mapping, zeroed at first, a plain struct of integers. The kernel only reads
        // it, and not before `publish`; the borrow ends with this function.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(address);
        entry.set_len(self.plan.bytes);
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Makes appended entries visible to the kernel, after their contents.
    fn publish(&self) {
        let first = self.entries.start().cast::<BufRingEntry>().as_ptr();
        // SAFETY: `first` is the first entry of the initialised ring, where the tail lies.
        let tail = unsafe { BufRingEntry::tail(first) };
        // SAFETY: aligned, inside our mapping, written by this thread alone; the kernel reads it atomically. The borrow
        // ends with this function.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
