//! The seeded stand-in for a ring: the same operations over sockets in memory, in virtual time, with faults by chance
//! from a seed. Called by tests and simulations, through [`Ring`] by the shard under test and directly by the test.
//!
//! It is stricter than the kernel: buffers of others or given back twice are asserted against; sockets closed under armed
//! operations and two sends in flight on one socket are [`Violation`]s; [`Double::leaks`] says what never came back.
//! Where the kernel leaves a choice it takes the one that hurts: slots are reused at once, buffers overwritten.

mod armed;
mod arrivals;
mod descriptor;
mod faults;
mod net;
mod peer;
mod pool;
mod random;
mod run;
mod stream;

pub use faults::Faults;
pub use net::{Net, Refused};
pub use peer::Peer;
pub use stream::Gone;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use self::armed::Armed;
use self::arrivals::Arrivals;
use self::net::SocketId;
use self::pool::Pool;
use self::random::Random;
use crate::op::{BufferId, Completion, Extra, Full, Op, PeerRing, Slot, Token, Wait};
use crate::uring::{Counters, Setup};
use crate::{Ring, double::arrivals::Lane};

/// What a turn takes in virtual time, so that a caller who never waits sees time pass too.
const ENTER: Duration = Duration::from_micros(1);

#[derive(Debug)]
pub struct Double {
    net: Net,
    ring: i32,
    setup: Setup,
    faults: Faults,
    random: Random,
    slots: Vec<Option<SocketId>>,
    queue: VecDeque<(Token, Op)>,
    armed: Vec<Armed>,
    /// Empty: the room for those that wait on after a look at all.
    armed_spare: Vec<Armed>,
    arrivals: Arrivals,
    sending: BTreeSet<SocketId>,
    pool: Pool,
    violations: Vec<Violation>,
    counters: Counters,
}

/// Something the caller must not do, and the kernel would not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// Closed while this operation was armed on it: the peer hears nothing of the close until it ends.
    Lingering { slot: Slot, token: Token },
    /// A second send before the first completed: their bytes may cross.
    TwoSends { slot: Slot, token: Token },
    /// A slot that holds nothing was used; in a busy table it would be somebody else's.
    ClosedSlot { slot: Slot, token: Token },
}

/// What is not back: all empty at the end of a run that leaks nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leaks {
    /// Provided buffers that the caller holds.
    pub buffers: usize,
    /// Operations that wait for something.
    pub armed: Vec<Token>,
    /// Operations queued and completions not taken.
    pub in_flight: usize,
    pub slots: Vec<Slot>,
}

impl Double {
    /// A ring in a world. One seed, one script: one run.
    #[must_use]
    pub fn open(net: &Net, setup: &Setup, faults: Faults, seed: u64) -> Self {
        let ring = net.world().add_ring();
        Self {
            net: net.clone(),
            ring,
            setup: *setup,
            faults,
            random: Random::new(seed),
            slots: vec![None; setup.slots as usize],
            queue: VecDeque::new(),
            armed: Vec::new(),
            armed_spare: Vec::new(),
            arrivals: Arrivals::default(),
            sending: BTreeSet::new(),
            pool: Pool::new(setup.buffers),
            violations: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// A listener in memory; peers reach it by [`Net::connect`].
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<Slot> {
        self.place(|net| net.world().add_listener(address))
    }

    /// A connection that is there from the start.
    pub fn connected(&mut self, ring: SocketAddr, peer: SocketAddr) -> io::Result<(Slot, Peer)> {
        let slot = self.place(|net| net.world().add_stream(ring, peer))?;
        let id = self.socket(slot).expect("just placed");
        Ok((slot, Peer::new(self.net.clone(), id)))
    }

    /// From now on; for quiet beginnings and ends.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// How other doubles of this world address this one in [`Op::Message`].
    #[must_use]
    pub fn peer_ring(&self) -> PeerRing {
        PeerRing(self.ring)
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    #[must_use]
    pub fn leaks(&self) -> Leaks {
        let open = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, socket)| socket.is_some());
        Leaks {
            buffers: self.pool.held(),
            armed: self.armed.iter().map(|armed| armed.token).collect(),
            in_flight: self.queue.len() + self.arrivals.len(),
            slots: open.map(|(index, _)| slot_at(index)).collect(),
        }
    }

    fn socket(&self, slot: Slot) -> Option<SocketId> {
        *self.slots.get(slot.0 as usize)?
    }

    fn free_slot(&self) -> Option<usize> {
        self.slots.iter().position(Option::is_none)
    }

    fn place(&mut self, make: impl FnOnce(&Net) -> SocketId) -> io::Result<Slot> {
        let full = || io::Error::from_raw_os_error(libc::ENFILE);
        let index = self.free_slot().ok_or_else(full)?;
        self.slots[index] = Some(make(&self.net));
        Ok(slot_at(index))
    }

    /// The next moment at which something may happen by itself.
    fn next_moment(&self) -> Option<Duration> {
        let timeouts = self.armed.iter().filter_map(Armed::due);
        timeouts.chain(self.arrivals.next_due()).min()
    }
}

impl Ring for Double {
    fn push(&mut self, token: Token, op: Op) -> Result<(), Full> {
        token.checked();
        if self.random.chance(self.faults.full) {
            return Err(Full(op));
        }
        if self.queue.len() >= self.setup.entries as usize {
            self.submit();
        }
        self.queue.push_back((token, op));
        Ok(())
    }

    /// Waits in virtual time: at once, up to the next moment at which something happens.
    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        self.counters.enters += 1;
        self.net.advance(ENTER);
        self.submit();
        let begun = self.net.now();
        let until = match wait {
            Wait::Until(time) if !self.random.chance(self.faults.early_return) => begun + time,
            Wait::Until(_) | Wait::Not => begun,
        };
        loop {
            self.collect();
            let now = self.net.now();
            if self.arrivals.any_here() || now >= until {
                return Ok(());
            }
            let next = self.next_moment().map_or(until, |moment| moment.min(until));
            assert!(next > now, "what is due has come");
            self.net.advance_to(next);
        }
    }

    fn pop(&mut self) -> Option<Completion> {
        let (lane, completion) = self.arrivals.pop()?;
        self.counters.cqes += 1;
        if let (Lane::Socket(id), Extra::Sent(_)) = (lane, &completion.extra) {
            self.sending.remove(&id);
        }
        Some(completion)
    }

    fn buffer(&self, id: BufferId) -> &[u8] {
        self.pool.bytes(id)
    }

    fn give_back(&mut self, id: BufferId) {
        self.pool.give_back(id);
    }

    /// A real listener becomes one in memory at the same address; a real connection one whose peer has gone. The real
    /// socket is closed.
    fn adopt(&mut self, socket: OwnedFd) -> io::Result<Slot> {
        if descriptor::is_listener(&socket) {
            return self.listen(TcpListener::from(socket).local_addr()?);
        }
        let socket = TcpStream::from(socket);
        let (here, there) = (socket.local_addr()?, socket.peer_addr()?);
        self.connected(here, there).map(|(slot, _gone)| slot)
    }

    fn buffers_free(&self) -> usize {
        self.pool.free()
    }
}

impl Leaks {
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn slot_at(index: usize) -> Slot {
    Slot(u32::try_from(index).expect("a table has fewer slots than 2^32"))
}
