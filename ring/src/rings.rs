//! Many rings on one thread, as if they were one. A table of direct descriptors holds at most as many sockets as a process
//! may have open files; where that limit cannot be raised, more sockets need more tables, and so more rings.
//!
//! Callers see one row of slots, one table behind the other. Operations go to the ring that has their socket, accepts to
//! one that has room, everything else to the first. Further rings open when those before them are full, and close when
//! they have long been empty. The thread sleeps in the first ring. While it does, the others signal one eventfd, which the
//! first waits for; while it is awake they signal nothing, and it looks at a flag of each that the kernel sets where there
//! is work. With one ring, none of this is paid.
//!
//! Why no wake-up is lost: the kernel puts work into a ring's list, sets the flag, then looks whether signals are off; we
//! turn them on, then look at the flag. A sequentially consistent fence lies between the two on our side, an atomic
//! read-modify-write on the kernel's; where a weakly ordered machine reordered that, the bound of the wait would end it.

mod shares;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use self::shares::Shares;
use crate::Ring;
use crate::doorbell::eventfd;
use crate::op::{BufferId, Completion, Full, Op, PeerRing, Slot, Token, Wait};
use crate::uring::{BufferPlan, Counters, Flags, OpenError, Setup, Step, Uring};

/// How long after a refusal the kernel is asked for a further ring again.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Which rings a thread may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The first ring; all have as many slots as this one.
    pub first: Setup,
    /// With the first.
    pub rings_max: u16,
    /// Buffers of a further ring, at most; a power of two.
    pub further_buffers_max: u16,
    /// How long a further ring is empty before it closes.
    pub empty_for: Duration,
}

impl Plan {
    /// Queues and buffers of a further ring: those of the first, but no more than idle sockets need. They are counted in
    /// the bytes of a connection.
    const FURTHER_ENTRIES_MAX: u32 = 256;
    const FURTHER_COMPLETIONS_MAX: u32 = 4_096;
    const FURTHER_BUFFERS_MAX: u16 = 64;

    const EMPTY_FOR: Duration = Duration::from_secs(5);

    #[must_use]
    pub fn new(first: Setup, rings_max: u16) -> Self {
        Self {
            first,
            rings_max,
            further_buffers_max: Self::FURTHER_BUFFERS_MAX,
            empty_for: Self::EMPTY_FOR,
        }
    }

    /// The size of each further ring.
    #[must_use]
    pub fn further(&self) -> Setup {
        let first = self.first;
        Setup {
            entries: first.entries.min(Self::FURTHER_ENTRIES_MAX),
            completions: first.completions.min(Self::FURTHER_COMPLETIONS_MAX),
            slots: first.slots,
            buffers: BufferPlan {
                count: first.buffers.count.min(self.further_buffers_max),
                bytes: first.buffers.bytes,
            },
        }
    }

    /// Sockets that all rings hold together, listeners among them (each ring holds its own share of one).
    #[must_use]
    pub fn slots(&self) -> u64 {
        u64::from(self.first.slots) * u64::from(self.rings_max)
    }

    /// What all rings take when everything in them is in use; see [`Setup::bytes`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        let further = usize::from(self.rings_max.saturating_sub(1));
        self.first.bytes() + further * self.further().bytes()
    }
}

/// Rings of one thread.
pub struct Rings {
    plan: Plan,
    first: Uring,
    further: Vec<Option<Further>>,
    shares: Shares,
    signal: OwnedFd,
    /// Whether the first ring waits for the signal.
    awaited: bool,
    /// The ring to pop from next.
    at: usize,
    /// No ring before this one has room.
    roomy: usize,
    refused: Option<(Instant, OpenError)>,
    /// Of rings that are closed by now.
    past: Counters,
}

struct Further {
    ring: Uring,
    empty_since: Option<Instant>,
}

impl Rings {
    /// Opens the first ring on the calling thread.
    ///
    /// # Errors
    /// [`OpenError`] says which step was refused, why, and what to type.
    pub fn open(plan: Plan) -> Result<Self, OpenError> {
        let first = Uring::open(&plan.first)?;
        let signal = eventfd(0);
        Ok(Self {
            plan,
            first,
            further: Vec::new(),
            shares: Shares::default(),
            signal: signal
                .map_err(|error| OpenError::found(Step::Signal, &error, plan.first.slots))?,
            awaited: false,
            at: 0,
            roomy: 0,
            refused: None,
            past: Counters::default(),
        })
    }

    /// Of the first ring, for the start-up line.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.first.flags()
    }

    /// Of all rings, those that are closed among them.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let further = self.further.iter().flatten();
        further.fold(self.past + self.first.counters(), |sum, further| {
            sum + further.ring.counters()
        })
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.further.iter().flatten().count()
    }

    /// Why the kernel last refused a further ring, until it grants one.
    #[must_use]
    pub fn refused(&self) -> Option<&OpenError> {
        self.refused.as_ref().map(|(_, error)| error)
    }

    /// How other rings address this thread in [`Op::Message`].
    #[must_use]
    pub fn peer_ring(&self) -> PeerRing {
        self.first.peer_ring()
    }

    fn ring(&mut self, number: usize) -> Option<&mut Uring> {
        match number.checked_sub(1) {
            None => Some(&mut self.first),
            Some(place) => self.further.get_mut(place)?.as_mut().map(|it| &mut it.ring),
        }
    }

    fn number_of(&self, slot: Slot) -> usize {
        (slot.0 / self.plan.first.slots) as usize
    }

    fn ring_of(&mut self, slot: Slot) -> &mut Uring {
        let number = self.number_of(slot);
        self.ring(number)
            .expect("a ring stays open while it has sockets")
    }

    /// The first ring with room for another socket, opened where none is left; the first of all when there can be none.
    fn with_room(&mut self) -> usize {
        for number in self.roomy..usize::from(self.plan.rings_max) {
            let has_room = match self.ring(number) {
                Some(ring) => ring.room() > 0,
                None => self.open_further(number),
            };
            if has_room {
                self.roomy = number;
                return number;
            }
        }
        0
    }

    /// Whether the kernel grants another ring.
    fn open_further(&mut self, number: usize) -> bool {
        let waits = |(at, _): &(Instant, OpenError)| at.elapsed() < REFUSED_FOR;
        if self.refused.as_ref().is_some_and(waits) {
            return false;
        }
        let name = u16::try_from(number).expect("no more rings than their plan has");
        let opened = Uring::open_further(&self.plan.further(), name, self.signal.as_raw_fd());
        let shared = opened.and_then(|mut ring| {
            self.shares
                .extend(number, &mut ring)
                .map_err(|error| OpenError::found(Step::Slots, &error, self.plan.first.slots))?;
            ring.signal(false);
            Ok(ring)
        });
        match shared {
            Ok(ring) => {
                self.refused = None;
                let place = number - 1;
                if self.further.len() <= place {
                    self.further.resize_with(place + 1, || None);
                }
                self.further[place] = Some(Further {
                    ring,
                    empty_since: None,
                });
                true
            }
            Err(error) => {
                self.refused = Some((Instant::now(), error));
                false
            }
        }
    }

    fn push_accept(&mut self, token: Token, listener: Slot) -> Result<(), Full> {
        let number = self.with_room();
        let share = self.shares.of(listener, number);
        let ring = self.ring(number).expect("a ring with room is open");
        let pushed = ring.push(token, Op::Accept { listener: share });
        pushed.map_err(|_| Full(Op::Accept { listener }))
    }

    fn push_close(&mut self, token: Token, slot: Slot) -> Result<(), Full> {
        let number = self.number_of(slot);
        self.ring_of(slot).push(token, Op::Close { slot })?;
        self.roomy = self.roomy.min(number);
        for (number, share) in self.shares.remove(slot) {
            let ring = self.ring(number).expect("a ring with a share is open");
            ring.release(share)
                .expect("the kernel has the share in its table");
        }
        Ok(())
    }

    /// Which ring has the operation that a cancel means.
    fn ring_to_cancel_in(&mut self, target: Token, slot: Option<Slot>) -> &mut Uring {
        let number = match slot {
            None => 0,
            // Accepts are wherever there was room.
            Some(slot) if self.shares.has(slot) => self.ring_that_carries(target),
            Some(slot) => self.number_of(slot),
        };
        self.ring(number).expect("an operation's ring is open")
    }

    fn ring_that_carries(&self, target: Token) -> usize {
        let carries = |further: &Option<Further>| {
            let ring = further.as_ref().map(|further| &further.ring);
            ring.is_some_and(|ring| ring.carries(target))
        };
        self.further
            .iter()
            .position(carries)
            .map_or(0, |place| place + 1)
    }

    /// Enters each further ring that has work; whether any has completions then.
    fn turn_further(&mut self) -> io::Result<bool> {
        let mut brought = false;
        for Further { ring, .. } in self.further.iter_mut().flatten() {
            if ring.has_work() {
                ring.turn(Wait::Not)?;
            }
            brought |= ring.has_completions();
        }
        Ok(brought)
    }

    /// Waits in the first ring while the others signal.
    fn sleep(&mut self, wait: Wait) -> io::Result<()> {
        if !self.awaited {
            self.awaited = self.first.await_signal(self.signal.as_raw_fd());
        }
        for Further { ring, .. } in self.further.iter_mut().flatten() {
            ring.signal(true);
        }
        fence(Ordering::SeqCst);
        let mut further = self.further.iter_mut().flatten();
        let busy = !self.awaited || further.any(|it| it.ring.has_work());
        let turned = self.first.turn(if busy { Wait::Not } else { wait });
        for Further { ring, .. } in self.further.iter_mut().flatten() {
            ring.signal(false);
        }
        turned
    }

    /// Closes further rings that have long had no socket but their share of a listener.
    fn close_empty(&mut self) {
        let shares = self.shares.count();
        for (place, further) in self.further.iter_mut().enumerate() {
            let Some(one) = further else { continue };
            if one.ring.taken() > shares || !one.ring.is_still() {
                one.empty_since = None;
                continue;
            }
            let since = *one.empty_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.plan.empty_for {
                self.past = self.past + one.ring.counters();
                self.shares.forget(place + 1);
                *further = None;
            }
        }
        let open = self.further.iter().rposition(Option::is_some);
        self.further.truncate(open.map_or(0, |last| last + 1));
    }
}

impl Ring for Rings {
    fn push(&mut self, token: Token, op: Op) -> Result<(), Full> {
        match op {
            Op::Accept { listener } => self.push_accept(token, listener),
            Op::Close { slot } => self.push_close(token, slot),
            Op::Cancel { target, slot } => self.ring_to_cancel_in(target, slot).push(token, op),
            Op::Poll { slot, .. }
            | Op::Recv { slot }
            | Op::RecvMulti { slot }
            | Op::Send { slot, .. } => self.ring_of(slot).push(token, op),
            Op::Timeout { .. } | Op::Message { .. } | Op::PollFd { .. } => {
                self.first.push(token, op)
            }
        }
    }

    /// Enters the first ring, and those of the others that have work.
    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        self.at = 0;
        if self.further.is_empty() {
            return self.first.turn(wait);
        }
        let brought = self.turn_further()?;
        if brought || wait == Wait::Not {
            return self.first.turn(Wait::Not);
        }
        self.close_empty();
        self.sleep(wait)?;
        self.turn_further().map(drop)
    }

    fn pop(&mut self) -> Option<Completion> {
        while self.at <= self.further.len() {
            let at = self.at;
            let popped = self.ring(at).and_then(Ring::pop);
            match popped {
                Some(completion) if completion.token == Token::OWN => self.awaited = false,
                Some(completion) => return Some(completion),
                None => self.at += 1,
            }
        }
        None
    }

    fn buffer(&self, id: BufferId) -> &[u8] {
        match usize::from(id.ring).checked_sub(1) {
            None => self.first.buffer(id),
            Some(place) => {
                let further = self.further[place].as_ref();
                let further = further.expect("a ring stays open while its buffers are lent");
                further.ring.buffer(id)
            }
        }
    }

    fn give_back(&mut self, id: BufferId) {
        let ring = self.ring(usize::from(id.ring));
        let ring = ring.expect("a ring stays open while its buffers are lent");
        ring.give_back(id);
    }

    fn adopt(&mut self, socket: OwnedFd) -> io::Result<Slot> {
        if let Some(listener) = shares::listener(&socket)? {
            let slot = self.first.adopt(socket)?;
            let further = self.further.iter_mut().enumerate();
            let rings = further.filter_map(|(place, it)| Some((place + 1, &mut it.as_mut()?.ring)));
            self.shares.add(slot, listener, rings)?;
            return Ok(slot);
        }
        let number = self.with_room();
        let ring = self.ring(number).expect("a ring with room is open");
        ring.adopt(socket)
    }

    fn buffers_free(&self) -> usize {
        let further = self.further.iter().flatten();
        let further: usize = further.map(|it| it.ring.buffers_free()).sum();
        self.first.buffers_free() + further
    }
}

impl fmt::Debug for Rings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rings")
            .field("plan", &self.plan)
            .field("open", &self.count())
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}
