//! A ring as one of several that a thread drives: where its slots lie in the numbers that callers see, how many are taken,
//! and how it wakes the ring that the thread sleeps in. Called by [`crate::Rings`]; a ring alone is the first of one.

use std::io;
use std::os::fd::RawFd;

use io_uring::opcode;
use io_uring::types::Fd;

use super::refusal::OpenError;
use super::setup::{Flags, Setup};
use super::{Step, Uring};
use crate::op::{Slot, Token};

/// What an empty place in the table of direct descriptors holds.
const NO_FILE: RawFd = -1;

/// A ring's part of the numbers of slots, and what is in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) ring: u16,
    first: u32,
    slots: u32,
    /// Sockets in the table.
    taken: u32,
    /// Accepts in the kernel, each of which may take a slot.
    awaited: u32,
}

impl Place {
    pub(super) fn alone(setup: &Setup) -> Self {
        Self::of(setup, 0)
    }

    fn of(setup: &Setup, ring: u16) -> Self {
        Self {
            ring,
            first: u32::from(ring) * setup.slots,
            slots: setup.slots,
            taken: 0,
            awaited: 0,
        }
    }

    pub(super) fn is_further(&self) -> bool {
        self.ring > 0
    }

    /// The index in this ring's own table.
    pub(super) fn local(&self, slot: Slot) -> u32 {
        let local = slot.0.checked_sub(self.first);
        let local = local.filter(|local| *local < self.slots);
        local.expect("a slot of this ring")
    }

    fn global(&self, local: i32) -> u32 {
        self.first + u32::try_from(local).expect("the kernel gives a slot")
    }

    pub(super) fn awaits(&mut self) {
        self.awaited += 1;
    }

    /// The result of an accept, in the numbers that callers see.
    pub(super) fn accepted(&mut self, result: i32) -> i32 {
        self.awaited -= 1;
        if result < 0 {
            return result;
        }
        self.taken += 1;
        i32::try_from(self.global(result)).expect("as many slots as an accept can name")
    }

    pub(super) fn adopted(&mut self, local: i32) -> Slot {
        self.taken += 1;
        Slot(self.global(local))
    }

    /// A close is on its way; the kernel takes operations in their order, so an accept after it may have the slot.
    pub(super) fn leaves(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    fn room(&self) -> u32 {
        self.slots.saturating_sub(self.taken + self.awaited)
    }
}

impl Uring {
    /// Opens the ring with this number, of several with so many slots each, which wakes the first by this eventfd.
    pub(crate) fn open_further(
        setup: &Setup,
        number: u16,
        signal: RawFd,
    ) -> Result<Self, OpenError> {
        let ring = Self::open_with(setup, Flags::default(), Place::of(setup, number))?;
        let submitter = ring.ring.submitter();
        submitter
            .register_eventfd(signal)
            .map_err(|error| OpenError::found(Step::Signal, &error, setup.slots))?;
        Ok(ring)
    }

    /// Slots that are neither taken nor awaited by an accept.
    pub(crate) fn room(&self) -> u32 {
        self.place.room()
    }

    /// Sockets in the table.
    pub(crate) fn taken(&self) -> u32 {
        self.place.taken
    }

    /// Whether nothing is in flight, queued, or waits to be popped, that owns memory or would be missed.
    pub(crate) fn is_still(&mut self) -> bool {
        self.flights.len() == 0
            && self.place.awaited == 0
            && self.buffers.all_free()
            && !self.has_work()
            && !self.has_completions()
    }

    /// Whether the kernel has something for this ring that only entering it brings, or we for the kernel.
    pub(crate) fn has_work(&mut self) -> bool {
        let queue = self.ring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    pub(crate) fn has_completions(&mut self) -> bool {
        !self.early.is_empty() || !self.ring.completion().is_empty()
    }

    /// Whether completions are signalled, as long as the thread sleeps in another ring.
    pub(crate) fn signal(&mut self, on: bool) {
        let queue = self.ring.completion();
        if on {
            queue.enable_eventfd();
        } else {
            queue.disable_eventfd();
        }
    }

    /// Waits for a signal of other rings; completes with [`Token::OWN`], once. Whether the kernel takes it now.
    pub(crate) fn await_signal(&mut self, signal: RawFd) -> bool {
        if self.flights.is_full() || !self.make_room() {
            return false;
        }
        let (user_data, count) = self.flights.signal();
        let bytes = u32::try_from(size_of::<u64>()).expect("eight");
        let read = opcode::Read::new(Fd(signal), count.cast(), bytes);
        self.enqueue(&read.build().user_data(user_data));
        true
    }

    /// Whether an accept, a send or a timeout with this token is in flight here.
    pub(crate) fn carries(&self, token: Token) -> bool {
        self.flights.carries(token)
    }

    /// Takes a socket out of the table at once; no operation may be armed on it.
    pub(crate) fn release(&mut self, slot: Slot) -> io::Result<()> {
        let local = self.place.local(slot);
        self.ring
            .submitter()
            .register_files_update(local, &[NO_FILE])?;
        self.place.leaves();
        Ok(())
    }
}
