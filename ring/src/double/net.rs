//! The world the doubles live in: connections, listeners, a virtual clock, and the messages between rings. Held by
//! every [`super::Double`] and [`super::Peer`] of one test, on one thread; the test drives it from outside.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::peer::Peer;
use super::stream::{IN, OUT, RDHUP, Stream, Wakes};
use crate::op::Token;

/// Bytes that fit into each direction of a connection, unless the test says otherwise.
const ROOM: usize = 64 << 10;
/// Messages from other rings that one ring may have waiting.
const MAIL_MAX: usize = 1 << 16;

/// Names a socket of the world; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct SocketId(pub(super) u64);

/// A network in memory. Clones are the same network.
#[derive(Clone, Debug)]
pub struct Net(Rc<RefCell<World>>);

#[derive(Debug)]
pub(super) struct World {
    now: Duration,
    sockets: BTreeMap<SocketId, Socket>,
    socket_next: u64,
    room: usize,
    mail: BTreeMap<i32, VecDeque<(Token, i32)>>,
    /// Connections so far: spreads them over the listeners of one address.
    connections: usize,
}

#[derive(Debug)]
struct Socket {
    /// The ring's holds on it: its slot, and operations in flight.
    holds: usize,
    kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Listener(Listener),
    Stream(Stream),
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) backlog: VecDeque<SocketId>,
    wakes: Wakes,
}

/// Nobody listens at that address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

impl Default for Net {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Net {
    /// `room`: bytes that fit into each direction of a connection before its sender must wait.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self(Rc::new(RefCell::new(World {
            now: Duration::ZERO,
            sockets: BTreeMap::new(),
            socket_next: 0,
            room,
            mail: BTreeMap::new(),
            connections: 0,
        })))
    }

    /// Virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.borrow().now
    }

    /// Lets virtual time pass: timeouts come due, late completions arrive with the next turn.
    pub fn advance(&self, by: Duration) {
        self.0.borrow_mut().now += by;
    }

    /// Connects to a listener of some ring; of several at one address, to each in turn.
    ///
    /// # Errors
    /// [`Refused`] when nobody listens there.
    pub fn connect(&self, to: SocketAddr, from: SocketAddr) -> Result<Peer, Refused> {
        let id = self.world().connect(to, from).ok_or(Refused)?;
        Ok(Peer::new(self.clone(), id))
    }

    pub(super) fn advance_to(&self, when: Duration) {
        let mut world = self.world();
        world.now = world.now.max(when);
    }

    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }
}

impl World {
    pub(super) fn add_listener(&mut self, address: SocketAddr) -> SocketId {
        let listener = Listener {
            address,
            backlog: VecDeque::new(),
            wakes: Wakes::default(),
        };
        self.add(1, Kind::Listener(listener))
    }

    pub(super) fn add_stream(&mut self, ring: SocketAddr, peer: SocketAddr) -> SocketId {
        let stream = Stream::new(ring, peer, self.room);
        self.add(1, Kind::Stream(stream))
    }

    fn add(&mut self, holds: usize, kind: Kind) -> SocketId {
        let id = SocketId(self.socket_next);
        self.socket_next += 1;
        self.sockets.insert(id, Socket { holds, kind });
        id
    }

    fn connect(&mut self, to: SocketAddr, from: SocketAddr) -> Option<SocketId> {
        let at = |(id, socket): (&SocketId, &Socket)| match &socket.kind {
            Kind::Listener(listener) if listener.address == to => Some(*id),
            Kind::Listener(_) | Kind::Stream(_) => None,
        };
        let listeners: Vec<_> = self.sockets.iter().filter_map(at).collect();
        let chosen = *listeners.get(self.connections.checked_rem(listeners.len())?)?;
        self.connections += 1;
        let id = self.add_stream(to, from);
        let listener = self.listener(chosen).expect("chosen among the listeners");
        listener.backlog.push_back(id);
        listener.wakes.reading += 1;
        Some(id)
    }

    /// A socket that is held, by a slot or an operation or its peer, is there.
    pub(super) fn kind(&mut self, id: SocketId) -> &mut Kind {
        &mut self
            .sockets
            .get_mut(&id)
            .expect("a held socket is there")
            .kind
    }

    pub(super) fn listener(&mut self, id: SocketId) -> Option<&mut Listener> {
        match self.kind(id) {
            Kind::Listener(listener) => Some(listener),
            Kind::Stream(_) => None,
        }
    }

    pub(super) fn stream(&mut self, id: SocketId) -> Option<&mut Stream> {
        match self.kind(id) {
            Kind::Stream(stream) => Some(stream),
            Kind::Listener(_) => None,
        }
    }

    /// What `poll(2)` says of a socket, and what has woken its polls so far.
    pub(super) fn readiness(&mut self, id: SocketId) -> (u32, Wakes) {
        match self.kind(id) {
            Kind::Stream(stream) => (stream.mask(), stream.wakes),
            Kind::Listener(listener) if listener.backlog.is_empty() => (0, listener.wakes),
            Kind::Listener(listener) => (IN, listener.wakes),
        }
    }

    pub(super) fn hold(&mut self, id: SocketId) {
        self.sockets
            .get_mut(&id)
            .expect("a held socket is there")
            .holds += 1;
    }

    /// The last hold closes the ring's end.
    pub(super) fn let_go(&mut self, id: SocketId) {
        let socket = self.sockets.get_mut(&id).expect("a held socket is there");
        socket.holds -= 1;
        if socket.holds > 0 {
            return;
        }
        match &mut socket.kind {
            Kind::Stream(stream) => stream.close(),
            Kind::Listener(listener) => {
                for waiting in std::mem::take(&mut listener.backlog) {
                    self.refuse(waiting);
                }
                self.sockets.remove(&id);
                return;
            }
        }
        self.forget_if_over(id);
    }

    /// Resets a connection that no ring has taken (or can take).
    pub(super) fn refuse(&mut self, id: SocketId) {
        let stream = self.stream(id).expect("connections are streams");
        stream.break_down();
        self.let_go(id);
    }

    pub(super) fn forget_if_over(&mut self, id: SocketId) {
        if self.stream(id).is_some_and(|stream| stream.is_over()) {
            self.sockets.remove(&id);
        }
    }

    pub(super) fn add_ring(&mut self) -> i32 {
        let id = i32::try_from(self.mail.len()).expect("few rings");
        self.mail.insert(id, VecDeque::new());
        id
    }

    /// As the kernel: 0, −EBADF for no such ring, −EOVERFLOW for one that takes no more.
    pub(super) fn post(&mut self, ring: i32, token: Token, result: i32) -> i32 {
        match self.mail.get_mut(&ring) {
            None => -libc::EBADF,
            Some(mail) if mail.len() >= MAIL_MAX => -libc::EOVERFLOW,
            Some(mail) => {
                mail.push_back((token, result));
                0
            }
        }
    }

    pub(super) fn take_mail(&mut self, ring: i32) -> VecDeque<(Token, i32)> {
        self.mail
            .get_mut(&ring)
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

/// Which of a socket's wakes concern a poll for these events; errors and changes of state count as both.
pub(super) fn concerns(events: u32, seen: Wakes, now: Wakes) -> bool {
    let reading = events & (IN | RDHUP) != 0 && seen.reading != now.reading;
    let writing = events & OUT != 0 && seen.writing != now.writing;
    reading || writing
}
