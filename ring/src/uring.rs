//! The real ring. Owns everything the kernel may touch: the queues, the provided buffers and the memory of operations in
//! flight. Belongs to the thread that opened it, and cannot leave it. Called through [`Ring`] by shards and `bench`.
//!
//! Dropping it submits what is queued, cancels the operations that own memory, waits for them (they end at once, on
//! sockets), and unregisters the buffers, so that the kernel has no address of ours left; where it does not end within a
//! bound, that memory is leaked on purpose: a leak is harmless, a late write of the kernel is not.

mod buffers;
mod door;
mod flight;
mod lent;
mod mapping;
mod member;
mod refusal;
mod setup;

pub use refusal::{OpenError, Refusal, Step};
pub use setup::{BufferPlan, Flags, Setup};

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Add;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use self::buffers::{Buffers, GROUP};
use self::door::Door;
use self::flight::{ADOPTION, Flights, Owner};
use self::lent::Lent;
use self::member::Place;
use crate::Ring;
use crate::op::{BufferId, Completion, Events, Extra, Full, Op, PeerRing, Slot, Token, Wait};

/// Turns that `adopt` takes for its completion, which the kernel posts while submitting, behind at most a backlog.
const ADOPT_TURNS_MAX: usize = 64;
/// Turns and time that dropping a ring waits for cancelled operations.
const DRAIN_TURNS_MAX: usize = 100;
const DRAIN_TURN: Duration = Duration::from_millis(10);
const OFFSET_ANY_SLOT: i32 = -1;

/// What happened on a ring since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// System calls.
    pub enters: u64,
    /// Operations submitted.
    pub sqes: u64,
    /// Completions taken.
    pub cqes: u64,
    /// Turns that began with completions held back because the completion queue was full.
    pub overflows: u64,
    /// Reads that found no provided buffer.
    pub no_buffers: u64,
    /// Accepted connections that found no free slot; the kernel has closed them.
    pub no_slots: u64,
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            enters: self.enters + other.enters,
            sqes: self.sqes + other.sqes,
            cqes: self.cqes + other.cqes,
            overflows: self.overflows + other.overflows,
            no_buffers: self.no_buffers + other.no_buffers,
            no_slots: self.no_slots + other.no_slots,
        }
    }
}

/// A ring of the kernel.
///
/// It stays on its thread, since the kernel takes submissions from one thread only:
///
/// ```compile_fail,E0277
/// fn may_move<T: Send>() {}
/// may_move::<millpond_ring::Uring>();
/// ```
pub struct Uring {
    ring: IoUring,
    door: Door,
    flags: Flags,
    flights: ManuallyDrop<Flights>,
    buffers: ManuallyDrop<Buffers>,
    /// Completions that `adopt` found in front of its own.
    early: VecDeque<cqueue::Entry>,
    counters: Counters,
    place: Place,
}

impl Uring {
    /// Opens a ring on the calling thread.
    ///
    /// # Errors
    /// [`OpenError`] says which step was refused, why, and what to type.
    pub fn open(setup: &Setup) -> Result<Self, OpenError> {
        Self::open_with(setup, Flags::default(), Place::alone(setup))
    }

    fn open_with(setup: &Setup, flags: Flags, place: Place) -> Result<Self, OpenError> {
        if let Some(fault) = setup.fault() {
            return Err(OpenError::settings(fault));
        }
        let at = |step| move |error: io::Error| OpenError::found(step, &error, setup.slots);
        let buffers = Buffers::new(setup.buffers, place.ring).map_err(at(Step::Buffers))?;
        let (ring, flags) = build(setup, flags, &place).map_err(at(Step::Setup))?;
        ring.submitter()
            .register_files_sparse(setup.slots)
            .map_err(at(Step::Slots))?;
        buffers
            .register(&ring.submitter())
            .map_err(at(Step::Buffers))?;
        let mut door = Door::new(&ring, ring.as_raw_fd());
        door.register().map_err(at(Step::RingFd))?;
        Ok(Self {
            flights: ManuallyDrop::new(Flights::new(ring.params().cq_entries() as usize)),
            buffers: ManuallyDrop::new(buffers),
            ring,
            door,
            flags,
            early: VecDeque::new(),
            counters: Counters::default(),
            place,
        })
    }

    /// For the start-up line.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How other rings address this one in [`Op::Message`]. Valid while this ring lives.
    #[must_use]
    pub fn peer_ring(&self) -> PeerRing {
        PeerRing(self.ring.as_raw_fd())
    }

    fn entry(&mut self, token: Token, op: Op) -> squeue::Entry {
        match op {
            Op::Accept { listener } => self.accept(token, listener),
            Op::Send { slot, bytes, from } => self.send(token, slot, bytes, from),
            Op::Timeout { after } => {
                let (user_data, time) = self.flights.timeout(token, after);
                opcode::Timeout::new(time).build().user_data(user_data)
            }
            Op::Poll {
                slot,
                events: Events(events),
                multishot,
            } => {
                let poll = opcode::PollAdd::new(self.fixed(slot), events).multi(multishot);
                poll.build().user_data(token.checked())
            }
            Op::PollFd {
                fd,
                events: Events(events),
            } => {
                let poll = opcode::PollAdd::new(Fd(fd), events).multi(true);
                poll.build().user_data(token.checked())
            }
            Op::Recv { slot } => recv(self.fixed(slot)).user_data(token.checked()),
            Op::RecvMulti { slot } => opcode::RecvMulti::new(self.fixed(slot), GROUP)
                .build()
                .user_data(token.checked()),
            Op::Close { slot } => {
                self.place.leaves();
                opcode::Close::new(self.fixed(slot))
                    .build()
                    .user_data(token.checked())
            }
            Op::Cancel { target, .. } => {
                let target = self.flights.find(target);
                opcode::AsyncCancel::new(target)
                    .build()
                    .user_data(token.checked())
            }
            Op::Message {
                ring,
                token: theirs,
                result,
            } => {
                let message = opcode::MsgRingData::new(Fd(ring.0), result, theirs.checked(), None);
                message.build().user_data(token.checked())
            }
        }
    }

    fn fixed(&self, slot: Slot) -> Fixed {
        Fixed(self.place.local(slot))
    }

    fn accept(&mut self, token: Token, listener: Slot) -> squeue::Entry {
        self.place.awaits();
        let (user_data, room) = self.flights.accept(token);
        // SAFETY: `room` points to an address that the flight owns; only the field's address is taken.
        let storage = unsafe { &raw mut (*room).storage };
        // SAFETY: as above.
        let length = unsafe { &raw mut (*room).length };
        opcode::Accept::new(self.fixed(listener), storage.cast(), length)
            .file_index(Some(DestinationSlot::auto_target()))
            .build()
            .user_data(user_data)
    }

    fn send(&mut self, token: Token, slot: Slot, bytes: Vec<u8>, from: usize) -> squeue::Entry {
        let length = bytes
            .len()
            .checked_sub(from)
            .expect("a send begins inside its bytes");
        let (user_data, start) = self.flights.send(token, bytes);
        // What a longer send would take beyond this is a short send.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        opcode::Send::new(self.fixed(slot), start.wrapping_add(from), length)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build()
            .user_data(user_data)
    }

    /// Whether the submission queue takes another entry, after submitting when it was full.
    fn make_room(&mut self) -> bool {
        if !self.ring.submission().is_full() {
            return true;
        }
        self.counters.enters += 1;
        let queued = self.queued();
        // Refused for whatever reason: the queue stays full, the caller hears it as such, and the next turn as an error.
        let _refused = self.door.submit(queued);
        !self.ring.submission().is_full()
    }

    fn queued(&mut self) -> u32 {
        u32::try_from(self.ring.submission().len()).expect("the kernel clamps the queue")
    }

    fn enqueue(&mut self, entry: &squeue::Entry) {
        // SAFETY: what the entry points to lies in the flights (or with `adopt`) until its completion is taken.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("make_room left a free entry");
        self.counters.sqes += 1;
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.counters.enters += 1;
        self.counters.overflows += u64::from(self.ring.submission().cq_overflow());
        let queued = self.queued();
        match self.door.turn(queued, wait) {
            Err(error) if comes_back(&error) => Ok(()),
            done => done,
        }
    }

    fn complete(&mut self, entry: &cqueue::Entry) -> Completion {
        self.counters.cqes += 1;
        let (mut result, flags) = (entry.result(), entry.flags());
        let (token, extra) = match Owner::of(entry.user_data()) {
            Owner::Caller(token) => (token, self.received(result, flags)),
            Owner::Flight(index) => {
                let landed = self.flights.land(index, result);
                self.counters.no_slots += u64::from(landed.no_slot);
                if landed.accept {
                    result = self.place.accepted(result);
                }
                (landed.token, landed.extra)
            }
        };
        let (more, nonempty) = (cqueue::more(flags), cqueue::sock_nonempty(flags));
        Completion {
            token,
            result,
            more,
            nonempty,
            extra,
        }
    }

    fn received(&mut self, result: i32, flags: u32) -> Extra {
        self.counters.no_buffers += u64::from(result == -libc::ENOBUFS);
        let Some(index) = cqueue::buffer_select(flags) else {
            return Extra::None;
        };
        let id = self.buffers.take(index, u32::try_from(result).unwrap_or(0));
        if id.bytes == 0 {
            // Some kernels spend a buffer on the end of a stream: nothing is in it for the caller to read.
            self.buffers.give_back(index);
            return Extra::None;
        }
        Extra::Buffer(id)
    }

    /// Takes what has arrived until the adoption's own completion.
    fn adopted(&mut self) -> Option<i32> {
        for entry in self.ring.completion() {
            if entry.user_data() == ADOPTION {
                return Some(entry.result());
            }
            self.early.push_back(entry);
        }
        None
    }

    /// Ends every operation that owns memory; whether the kernel has let go of it. Armed polls own none: they end with the
    /// ring, all in one pass, whereas cancelling whatever there is would search them all for each.
    fn drain(&mut self) -> bool {
        let bound = Timespec::from(DRAIN_TURN);
        for _ in 0..DRAIN_TURNS_MAX {
            let _submitted = self.enter(Wait::Not);
            for flight in self.flights.user_data() {
                // Nothing to cancel is an error here, and as good as any.
                let _cancelled = self
                    .ring
                    .submitter()
                    .register_sync_cancel(Some(bound), CancelBuilder::user_data(flight));
            }
            let _ran = self.enter(Wait::Not);
            while self.pop().is_some() {}
            if self.flights.len() == 0 && self.queued() == 0 {
                return self.ring.submitter().unregister_buf_ring(GROUP).is_ok();
            }
            let _waited = self.enter(Wait::Until(DRAIN_TURN));
        }
        false
    }
}

impl Ring for Uring {
    fn push(&mut self, token: Token, op: Op) -> Result<(), Full> {
        token.checked();
        if self.flights.is_full() || !self.make_room() {
            return Err(Full(op));
        }
        let entry = self.entry(token, op);
        self.enqueue(&entry);
        Ok(())
    }

    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        let wait = if self.early.is_empty() {
            wait
        } else {
            Wait::Not
        };
        self.enter(wait)
    }

    fn pop(&mut self) -> Option<Completion> {
        let early = self.early.pop_front();
        let entry = early.or_else(|| self.ring.completion().next())?;
        Some(self.complete(&entry))
    }

    fn buffer(&self, id: BufferId) -> &[u8] {
        self.buffers.bytes(id)
    }

    fn give_back(&mut self, id: BufferId) {
        self.buffers.give_back(id.index);
    }

    /// Takes one system call, and submits what is queued with it.
    fn adopt(&mut self, socket: OwnedFd) -> io::Result<Slot> {
        if !self.make_room() {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        let place = Lent::new(socket.as_raw_fd());
        let update = opcode::FilesUpdate::new(place.pointer(), 1).offset(OFFSET_ANY_SLOT);
        self.enqueue(&update.build().user_data(ADOPTION));
        for _ in 0..ADOPT_TURNS_MAX {
            self.enter(Wait::Not)?;
            let Some(result) = self.adopted() else {
                continue;
            };
            if result < 0 {
                return Err(io::Error::from_raw_os_error(-result));
            }
            return Ok(self.place.adopted(place.read()));
        }
        panic!("the kernel updates its table of files while submitting");
    }

    fn buffers_free(&self) -> usize {
        self.buffers.free()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        let let_go = self.drain();
        self.door.unregister();
        if let_go {
            // SAFETY: dropped here and nowhere else, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.flights) };
            // SAFETY: as above; the kernel has given the buffers up.
            unsafe { ManuallyDrop::drop(&mut self.buffers) };
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Uring")
            .field("door", &self.door)
            .field("flags", &self.flags)
            .field("in_flight", &self.flights.len())
            .field("buffers_free", &self.buffers.free())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Asks for everything, and for less while the kernel knows not all of it.
fn build(setup: &Setup, mut flags: Flags, place: &Place) -> io::Result<(IoUring, Flags)> {
    loop {
        let mut builder = flags.builder(setup);
        if place.is_further() {
            builder.setup_taskrun_flag();
        }
        match (builder.build(setup.entries), flags.peeled()) {
            (Ok(ring), _) => return Ok((ring, flags)),
            (Err(error), Some(fewer)) if error.raw_os_error() == Some(libc::EINVAL) => {
                flags = fewer;
            }
            (Err(error), _) => return Err(error),
        }
    }
}

fn recv(socket: Fixed) -> squeue::Entry {
    opcode::Recv::new(socket, std::ptr::null_mut(), 0)
        .flags(libc::MSG_DONTWAIT)
        .buf_group(GROUP)
        .build()
        .flags(squeue::Flags::BUFFER_SELECT)
}

/// A turn that ended early is a turn: a signal came, the time passed, or completions must be taken first.
fn comes_back(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::ETIME | libc::EBUSY)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Doorbell;
    use std::time::Instant;

    fn results(ring: &mut Uring, count: usize) -> Vec<(u64, i32)> {
        let (start, mut results) = (Instant::now(), Vec::new());
        while results.len() < count && start.elapsed() < Duration::from_secs(5) {
            ring.turn(Wait::Until(Duration::from_millis(100))).unwrap();
            results.extend(std::iter::from_fn(|| ring.pop()).map(|it| (it.token.0, it.result)));
        }
        results
    }

    #[test]
    fn a_ring_works_with_the_flags_of_every_kernel() {
        let mut flags = Some(Flags::default());
        while let Some(these) = flags {
            let setup = Setup::default();
            let mut ring = Uring::open_with(&setup, these, Place::alone(&setup)).unwrap();
            assert_eq!(ring.flags(), these);
            let message = Op::Message {
                ring: ring.peer_ring(),
                token: Token(2),
                result: 5,
            };
            ring.push(Token(1), message).unwrap();
            ring.push(
                Token(3),
                Op::Timeout {
                    after: Duration::from_millis(1),
                },
            )
            .unwrap();
            let mut results = results(&mut ring, 3);
            results.sort_unstable();
            assert_eq!(results, [(1, 0), (2, 5), (3, -libc::ETIME)], "{these}");
            flags = these.peeled();
        }
    }

    #[test]
    fn draining_ends_everything_in_flight_soon() {
        let mut ring = Uring::open(&Setup::default()).unwrap();
        let bell = Doorbell::new().unwrap();
        let socket = crate::listen("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let listener = ring.adopt(socket).unwrap();
        let (fd, events, after) = (bell.fd(), Events::IN, Duration::from_secs(1_000));
        for token in 0..50 {
            ring.push(Token(token), Op::Accept { listener }).unwrap();
            ring.push(Token(token), Op::Timeout { after }).unwrap();
            ring.push(Token(token), Op::PollFd { fd, events }).unwrap();
        }
        ring.turn(Wait::Not).unwrap();
        assert_eq!(ring.flights.len(), 100);
        let start = Instant::now();
        assert!(ring.drain(), "the kernel still has our memory");
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(ring.flights.len(), 0);
    }
}
