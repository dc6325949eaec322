//! The two worlds a script runs in: sockets of the kernel, and sockets in memory. Each has a ring and the peers' side.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use millpond_ring::{
    BufferPlan, Completion, Double, Faults, Gone, Net, Peer, Plan, Ring, Rings, Setup, Slot, Uring,
    Wait,
};

use crate::actor::Bytes;

pub(crate) const SETUP: Setup = Setup {
    entries: 32,
    completions: 256,
    slots: 8,
    buffers: BufferPlan {
        count: 4,
        bytes: 512,
    },
};
/// Enough buffers for any script: many rings run out of theirs one by one.
pub(crate) const ROOMY: Setup = Setup {
    buffers: BufferPlan {
        count: 256,
        bytes: 512,
    },
    ..SETUP
};
/// As many connections as one table of [`SETUP`] holds, one to a ring.
const ROOMY_IN_RINGS: Setup = Setup { slots: 2, ..ROOMY };
const RINGS: u16 = 7;
/// How long the kernel may take to bring what the double has said already.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a peer has read: bytes, and whether more can come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) bytes: Bytes,
    pub(crate) end: Option<Gone>,
}

pub(crate) trait World {
    type Ring: Ring;
    fn ring(&mut self) -> &mut Self::Ring;
    fn listener(&self) -> Slot;
    /// Lent or not.
    fn buffers(&self) -> usize;
    /// The next peer connects.
    fn connect(&mut self);
    /// Whether the connection still took it.
    fn peer_write(&mut self, peer: usize, bytes: &[u8]) -> bool;
    fn peer_finish(&mut self, peer: usize);
    fn peer_close(&mut self, peer: usize);
    fn peer_reset(&mut self, peer: usize);
    fn peer_read(&mut self, peer: usize, expected: Option<&Heard>) -> Heard;
    /// Takes completions until nothing more comes; where the other world has said how many, at least these.
    fn settle(&mut self, expected: Option<usize>) -> Vec<Completion>;
}

pub(crate) struct Memory {
    buffers: usize,
    net: Net,
    ring: Double,
    listener: Slot,
    peers: Vec<Option<Peer>>,
}

impl Memory {
    pub(crate) fn open(setup: &Setup) -> Self {
        let net = Net::default();
        let mut ring = Double::open(&net, setup, Faults::NONE, 0);
        let listener = ring.listen(Self::address()).unwrap();
        Self {
            buffers: usize::from(setup.buffers.count),
            net,
            ring,
            listener,
            peers: Vec::new(),
        }
    }

    fn address() -> SocketAddr {
        "127.0.0.1:7400".parse().unwrap()
    }

    fn take(&mut self, peer: usize) -> Option<Peer> {
        self.peers[peer].take()
    }
}

impl World for Memory {
    type Ring = Double;

    fn ring(&mut self) -> &mut Double {
        &mut self.ring
    }

    fn listener(&self) -> Slot {
        self.listener
    }

    fn buffers(&self) -> usize {
        self.buffers
    }

    fn connect(&mut self) {
        let from = "127.0.0.1:50000".parse().unwrap();
        self.peers
            .push(Some(self.net.connect(Self::address(), from).unwrap()));
    }

    fn peer_write(&mut self, peer: usize, bytes: &[u8]) -> bool {
        let peer = self.peers[peer].as_mut().unwrap();
        peer.write(bytes).is_ok_and(|count| count == bytes.len())
    }

    fn peer_finish(&mut self, peer: usize) {
        self.peers[peer].as_mut().unwrap().finish();
    }

    fn peer_close(&mut self, peer: usize) {
        self.take(peer).unwrap().close();
    }

    fn peer_reset(&mut self, peer: usize) {
        self.take(peer).unwrap().reset();
    }

    fn peer_read(&mut self, peer: usize, _expected: Option<&Heard>) -> Heard {
        let peer = self.peers[peer].as_mut().unwrap();
        let mut heard = Heard::default();
        loop {
            match peer.read() {
                Ok(bytes) if bytes.is_empty() => return heard,
                Ok(bytes) => heard.bytes.0.extend(bytes),
                Err(end) => {
                    heard.end = Some(end);
                    return heard;
                }
            }
        }
    }

    fn settle(&mut self, _expected: Option<usize>) -> Vec<Completion> {
        // As long as the kernel may take for its timeouts.
        self.ring
            .turn(Wait::Until(Duration::from_millis(10)))
            .unwrap();
        let mut said = Vec::new();
        while let Some(completion) = self.ring.pop() {
            said.push(completion);
        }
        said
    }
}

pub(crate) struct Sockets<R> {
    buffers: fn(&R) -> usize,
    ring: R,
    listener: Slot,
    address: SocketAddr,
    peers: Vec<Option<TcpStream>>,
}

impl Sockets<Uring> {
    pub(crate) fn of_one_ring() -> Self {
        let buffers = |_: &Uring| usize::from(SETUP.buffers.count);
        Self::on(Uring::open(&SETUP).unwrap(), buffers)
    }
}

impl Sockets<Rings> {
    pub(crate) fn of_many_rings() -> Self {
        let plan = Plan::new(ROOMY_IN_RINGS, RINGS);
        let first = usize::from(plan.first.buffers.count);
        let further = usize::from(plan.further().buffers.count);
        assert_eq!((first, further), (256, 64), "so many in each");
        let buffers = |rings: &Rings| 256 + 64 * (rings.count() - 1);
        Self::on(Rings::open(plan).unwrap(), buffers)
    }
}

impl<R: Ring> Sockets<R> {
    fn on(mut ring: R, buffers: fn(&R) -> usize) -> Self {
        let socket = millpond_ring::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap();
        let socket = TcpListener::from(socket);
        let address = socket.local_addr().unwrap();
        let listener = ring.adopt(OwnedFd::from(socket)).unwrap();
        Self {
            buffers,
            ring,
            listener,
            address,
            peers: Vec::new(),
        }
    }

    fn read_some(&mut self, peer: usize, heard: &mut Heard) {
        let peer = self.peers[peer].as_mut().unwrap();
        let mut bytes = [0; 4_096];
        loop {
            match peer.read(&mut bytes) {
                Ok(0) => {
                    heard.end = Some(Gone::Closed);
                    return;
                }
                Ok(count) => heard.bytes.0.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_reset) => {
                    heard.end = Some(Gone::Reset);
                    return;
                }
            }
        }
    }
}

impl<R: Ring> World for Sockets<R> {
    type Ring = R;

    fn ring(&mut self) -> &mut R {
        &mut self.ring
    }

    fn listener(&self) -> Slot {
        self.listener
    }

    fn buffers(&self) -> usize {
        (self.buffers)(&self.ring)
    }

    fn connect(&mut self) {
        let peer = TcpStream::connect(self.address).unwrap();
        peer.set_nonblocking(true).unwrap();
        peer.set_nodelay(true).unwrap();
        self.peers.push(Some(peer));
    }

    fn peer_write(&mut self, peer: usize, bytes: &[u8]) -> bool {
        self.peers[peer]
            .as_mut()
            .unwrap()
            .write(bytes)
            .is_ok_and(|count| count == bytes.len())
    }

    fn peer_finish(&mut self, peer: usize) {
        // An error when the connection is gone already: nothing to finish.
        let _gone = self.peers[peer].as_mut().unwrap().shutdown(Shutdown::Write);
    }

    fn peer_close(&mut self, peer: usize) {
        drop(self.peers[peer].take().unwrap());
    }

    fn peer_reset(&mut self, peer: usize) {
        let peer = self.peers[peer].take().unwrap();
        reset_on_close(&peer);
        drop(peer);
    }

    fn peer_read(&mut self, peer: usize, expected: Option<&Heard>) -> Heard {
        let (start, mut heard) = (Instant::now(), Heard::default());
        loop {
            self.read_some(peer, &mut heard);
            let done = expected.is_none_or(|expected| *expected == heard);
            if done || heard.end.is_some() || start.elapsed() > PATIENCE {
                return heard;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn settle(&mut self, expected: Option<usize>) -> Vec<Completion> {
        let (start, mut said) = (Instant::now(), Vec::new());
        loop {
            self.ring.turn(Wait::Not).unwrap();
            while let Some(completion) = self.ring.pop() {
                said.push(completion);
            }
            if said.len() >= expected.unwrap_or(0) || start.elapsed() > PATIENCE {
                return said;
            }
            self.ring
                .turn(Wait::Until(Duration::from_millis(10)))
                .unwrap();
        }
    }
}

/// The standard library has no stable word for it: an ioctl-free way is to linger for no time.
#[expect(unsafe_code, reason = "SO_LINGER has no stable safe form")]
fn reset_on_close(peer: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let length = libc::socklen_t::try_from(size_of_val(&linger)).unwrap();
    let value = (&raw const linger).cast();
    // SAFETY: the kernel reads `length` bytes of `linger`, which outlives the call.
    let done = unsafe {
        libc::setsockopt(
            peer.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            value,
            length,
        )
    };
    assert_eq!(done, 0);
}
