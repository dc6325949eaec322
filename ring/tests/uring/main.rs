//! Every operation of the real ring against the kernel it runs on, over loopback sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod streams;
mod table;
mod turns;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use millpond_ring::{
    BufferPlan, Completion, Doorbell, Events, Extra, Op, Refusal, Ring, Setup, Slot, Step, Token,
    Uring, Wait,
};

const SMALL: Setup = Setup {
    entries: 16,
    completions: 64,
    slots: 8,
    buffers: BufferPlan {
        count: 4,
        bytes: 64,
    },
};
const PATIENCE: Duration = Duration::from_secs(5);

fn open(setup: &Setup) -> Uring {
    Uring::open(setup).expect("io_uring works where these tests run")
}

/// Turns until one completion is there.
fn next(ring: &mut Uring) -> Completion {
    let start = Instant::now();
    loop {
        if let Some(completion) = ring.pop() {
            return completion;
        }
        assert!(start.elapsed() < PATIENCE, "nothing completes");
        ring.turn(Wait::Until(Duration::from_millis(100))).unwrap();
    }
}

fn quiet(ring: &mut Uring) {
    ring.turn(Wait::Until(Duration::from_millis(20))).unwrap();
    let completion = ring.pop();
    assert!(completion.is_none(), "{completion:?}");
}

fn run(ring: &mut Uring, token: u64, op: Op) -> Completion {
    ring.push(Token(token), op).unwrap();
    let completion = next(ring);
    assert_eq!(completion.token, Token(token));
    completion
}

fn listener(ring: &mut Uring) -> (Slot, SocketAddr) {
    let socket = millpond_ring::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    (ring.adopt(OwnedFd::from(listener)).unwrap(), address)
}

/// A connection whose one end is in the ring.
fn pair(ring: &mut Uring) -> (Slot, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let (socket, _) = listener.accept().unwrap();
    (ring.adopt(OwnedFd::from(socket)).unwrap(), peer)
}

fn bytes_of(ring: &mut Uring, completion: &Completion) -> Vec<u8> {
    let Extra::Buffer(id) = completion.extra else {
        panic!("{completion:?} has no buffer")
    };
    assert_eq!(i64::from(id.bytes), i64::from(completion.result));
    let bytes = ring.buffer(id).to_vec();
    ring.give_back(id);
    bytes
}
