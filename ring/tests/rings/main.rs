//! Many rings on one thread, each with a tiny table: sockets spill over, nothing sleeps through, empty rings close.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod listeners;
mod refused;
mod sleeping;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use millpond_ring::{
    BufferPlan, Completion, Events, Extra, Op, Plan, Ring, Rings, Setup, Slot, Token, Wait,
};

/// Four slots: three connections beside the listener.
const TINY: Setup = Setup {
    entries: 16,
    completions: 64,
    slots: 4,
    buffers: BufferPlan {
        count: 4,
        bytes: 64,
    },
};
const PER_RING: usize = 3;
const RINGS: u16 = 20;
const PATIENCE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(50);

/// Rings with one listener.
struct World {
    rings: Rings,
    listener: Slot,
    address: SocketAddr,
    /// Completions that came while another was waited for.
    aside: VecDeque<Completion>,
}

impl World {
    fn open() -> Self {
        let plan = Plan {
            empty_for: SOON,
            ..Plan::new(TINY, RINGS)
        };
        let mut rings = Rings::open(plan).expect("io_uring works where these tests run");
        let socket = millpond_ring::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap();
        let socket = TcpListener::from(socket);
        let address = socket.local_addr().unwrap();
        Self {
            listener: rings.adopt(OwnedFd::from(socket)).unwrap(),
            rings,
            address,
            aside: VecDeque::new(),
        }
    }

    fn push(&mut self, token: u64, op: Op) {
        self.rings.push(Token(token), op).unwrap();
    }

    /// The completion of this token; the turns to it wait as long as they must.
    fn completed(&mut self, token: u64) -> Completion {
        let start = Instant::now();
        loop {
            let place = self.aside.iter().position(|it| it.token == Token(token));
            if let Some(place) = place {
                return self.aside.remove(place).unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "{token} does not complete");
            self.rings
                .turn(Wait::Until(Duration::from_secs(1)))
                .unwrap();
            self.aside.extend(std::iter::from_fn(|| self.rings.pop()));
        }
    }

    fn run(&mut self, token: u64, op: Op) -> i32 {
        self.push(token, op);
        self.completed(token).result
    }

    fn accept(&mut self) -> (Slot, TcpStream) {
        let peer = TcpStream::connect(self.address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let listener = self.listener;
        let slot = self.run(1, Op::Accept { listener });
        (Slot(slot.try_into().expect("a slot")), peer)
    }

    /// Both ways, with a buffer of the ring that has the socket.
    fn exchange(&mut self, slot: Slot, peer: &mut TcpStream, text: &[u8]) {
        let events = Events::IN;
        let multishot = false;
        self.push(
            2,
            Op::Poll {
                slot,
                events,
                multishot,
            },
        );
        peer.write_all(text).unwrap();
        assert!(self.completed(2).result > 0);
        self.push(3, Op::Recv { slot });
        let completion = self.completed(3);
        let Extra::Buffer(id) = completion.extra else {
            panic!("{completion:?} has no buffer")
        };
        let bytes = self.rings.buffer(id).to_vec();
        self.rings.give_back(id);
        assert_eq!(bytes, text);
        let (from, length) = (0, bytes.len());
        self.push(4, Op::Send { slot, bytes, from });
        let sent = self.completed(4);
        assert_eq!(usize::try_from(sent.result).unwrap(), length);
        let mut back = vec![0; length];
        peer.read_exact(&mut back).unwrap();
        assert_eq!(back, text);
    }
}

#[test]
fn sockets_spill_over_and_each_is_served() {
    let mut world = World::open();
    let mut open: Vec<_> = (0..PER_RING * usize::from(RINGS))
        .map(|_| world.accept())
        .collect();
    assert_eq!(world.rings.count(), usize::from(RINGS));
    let mut slots: Vec<_> = open.iter().map(|(slot, _)| slot.0).collect();
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), open.len(), "no slot twice");
    for (number, (slot, peer)) in open.iter_mut().enumerate() {
        world.exchange(*slot, peer, format!("of {number}").as_bytes());
    }
    assert_eq!(
        world.rings.buffers_free(),
        4 * usize::from(RINGS),
        "each buffer is back"
    );
}

#[test]
fn beyond_all_tables_a_connection_is_refused_as_by_one_ring() {
    let mut world = World::open();
    let all = PER_RING * usize::from(RINGS);
    let mut open: Vec<_> = (0..all).map(|_| world.accept()).collect();
    let _peer = TcpStream::connect(world.address).unwrap();
    let listener = world.listener;
    assert_eq!(world.run(1, Op::Accept { listener }), -libc::ENFILE);
    assert_eq!(world.rings.counters().no_slots, 1);
    // Room anywhere is found again.
    let (slot, peer) = open.swap_remove(31);
    assert_eq!(world.run(5, Op::Close { slot }), 0);
    drop(peer);
    assert_eq!(world.accept().0, slot);
}

#[test]
fn adopted_sockets_spill_over_too() {
    let mut world = World::open();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut open = Vec::new();
    for _ in 0..PER_RING * usize::from(RINGS) {
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = OwnedFd::from(listener.accept().unwrap().0);
        open.push((world.rings.adopt(socket).unwrap(), peer));
    }
    let (slot, peer) = open.last_mut().unwrap();
    world.exchange(*slot, peer, b"the last");
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let error = world.rings.adopt(OwnedFd::from(peer)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENFILE));
}

#[test]
fn empty_rings_close_and_open_again() {
    let mut world = World::open();
    for round in 0..3 {
        let open: Vec<_> = (0..PER_RING * 6).map(|_| world.accept()).collect();
        assert_eq!(world.rings.count(), 6, "round {round}");
        let before = world.rings.counters();
        for (slot, _) in open {
            assert_eq!(world.run(5, Op::Close { slot }), 0);
        }
        let start = Instant::now();
        while world.rings.count() > 1 {
            assert!(start.elapsed() < PATIENCE, "{:?}", world.rings);
            world.rings.turn(Wait::Until(SOON)).unwrap();
            assert!(world.rings.pop().is_none());
        }
        assert!(world.rings.counters().cqes > before.cqes, "none forgotten");
    }
}

/// Sockets come and go at random; the rings never lose count of the room.
#[test]
fn churn_keeps_count() {
    let mut world = World::open();
    let mut open = Vec::new();
    let mut state = 7_u64;
    for step in 0..2_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let pick = usize::try_from(state >> 33).unwrap();
        let full = open.len() == PER_RING * usize::from(RINGS);
        let grows = step % 600 < 300;
        if !full && (open.is_empty() || (pick % 8 < 5) == grows) {
            open.push(world.accept());
            continue;
        }
        let (slot, _peer) = open.swap_remove(pick % open.len());
        assert_eq!(world.run(5, Op::Close { slot }), 0);
    }
    while open.len() < PER_RING * usize::from(RINGS) {
        open.push(world.accept());
    }
    for (number, (slot, peer)) in open.iter_mut().enumerate() {
        world.exchange(*slot, peer, format!("still {number}").as_bytes());
    }
}
