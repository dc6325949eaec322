//! One connection in memory, with both its ends: what TCP sockets of Linux answer to reads, sends and polls, without
//! time or packets. Called by the double for the ring's end and by [`super::Peer`] for the other.

use std::collections::VecDeque;
use std::net::SocketAddr;

pub(super) const IN: u32 = libc::POLLIN as u32;
pub(super) const OUT: u32 = libc::POLLOUT as u32;
pub(super) const ERR: u32 = libc::POLLERR as u32;
pub(super) const HUP: u32 = libc::POLLHUP as u32;
pub(super) const RDHUP: u32 = libc::POLLRDHUP as u32;

/// Why an end of a connection can do no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// The other end has closed; there is nothing left to read.
    Closed,
    /// The other end has reset the connection.
    Reset,
}

/// How often something happened that wakes polls for reading, and for writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Wakes {
    pub(super) reading: u64,
    pub(super) writing: u64,
}

/// What a read of the ring's end took.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) bytes: Vec<u8>,
    pub(super) nonempty: bool,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ring_address: SocketAddr,
    pub(super) peer_address: SocketAddr,
    /// Bytes that fit into each direction.
    room: usize,
    to_ring: VecDeque<u8>,
    to_peer: VecDeque<u8>,
    /// The peer sends no more.
    peer_finished: bool,
    /// Nobody reads what the ring sends: the peer has closed altogether.
    peer_closed: bool,
    ring_closed: bool,
    /// The connection is dead for the ring's end, and this errno is still to be told.
    error: Option<i32>,
    dead: bool,
    /// The ring's end has reset it: the peer hears so once it has read what came before.
    reset_to_peer: bool,
    pub(super) wakes: Wakes,
}

impl Stream {
    pub(super) fn new(ring_address: SocketAddr, peer_address: SocketAddr, room: usize) -> Self {
        Self {
            ring_address,
            peer_address,
            room,
            to_ring: VecDeque::new(),
            to_peer: VecDeque::new(),
            peer_finished: false,
            peer_closed: false,
            ring_closed: false,
            error: None,
            dead: false,
            reset_to_peer: false,
            wakes: Wakes::default(),
        }
    }

    /// What `poll(2)` says of the ring's end.
    pub(super) fn mask(&self) -> u32 {
        let reading = if self.peer_finished || self.dead {
            IN | RDHUP
        } else {
            0
        };
        let bytes = if self.to_ring.is_empty() { 0 } else { IN };
        let writing = if self.dead || self.is_writable() {
            OUT
        } else {
            0
        };
        let hung_up = if self.dead { HUP } else { 0 };
        let error = if self.error.is_some() { ERR } else { 0 };
        reading | bytes | writing | hung_up | error
    }

    /// As Linux: not with the first free byte, but with a third of the room.
    fn is_writable(&self) -> bool {
        self.room - self.to_peer.len() >= self.to_peer.len() / 2
    }

    pub(super) fn recv(&mut self, most: usize) -> Result<Taken, i32> {
        if self.to_ring.is_empty() {
            return self.recv_nothing();
        }
        let count = most.min(self.to_ring.len());
        let bytes = self.to_ring.drain(..count).collect();
        let nonempty = !self.to_ring.is_empty() || self.peer_finished;
        Ok(Taken { bytes, nonempty })
    }

    fn recv_nothing(&mut self) -> Result<Taken, i32> {
        // A stream that the peer had finished ends in order, even when a reset came after.
        if self.peer_finished {
            return Ok(Taken {
                bytes: Vec::new(),
                nonempty: false,
            });
        }
        match self.error.take() {
            Some(errno) => Err(errno),
            None if self.dead => Ok(Taken {
                bytes: Vec::new(),
                nonempty: false,
            }),
            None => Err(libc::EAGAIN),
        }
    }

    pub(super) fn bytes_waiting(&self) -> usize {
        self.to_ring.len()
    }

    /// How many bytes a send of the ring's end would find room for.
    pub(super) fn room_to_peer(&self) -> usize {
        self.room - self.to_peer.len()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, i32> {
        if let Some(errno) = self.error.take() {
            return Err(errno);
        }
        if self.dead {
            return Err(libc::EPIPE);
        }
        let count = bytes.len().min(self.room_to_peer());
        if count == 0 && !bytes.is_empty() {
            return Err(libc::EAGAIN);
        }
        if !self.peer_closed {
            self.to_peer.extend(&bytes[..count]);
        } else if count > 0 {
            self.die();
        }
        Ok(count)
    }

    /// A reset has arrived at the ring's end.
    pub(super) fn die(&mut self) {
        if self.dead {
            return;
        }
        self.dead = true;
        self.error = Some(if self.peer_finished {
            libc::EPIPE
        } else {
            libc::ECONNRESET
        });
        self.wake_all();
    }

    /// The network has lost it: both ends hear of a reset.
    pub(super) fn break_down(&mut self) {
        self.die();
        self.error = None;
        self.to_ring.clear();
        self.reset_to_peer = true;
    }

    /// The ring's end was closed by its last user.
    pub(super) fn close(&mut self) {
        self.ring_closed = true;
        self.reset_to_peer |= !self.to_ring.is_empty() && !self.dead;
    }

    pub(super) fn peer_write(&mut self, bytes: &[u8]) -> Result<usize, Gone> {
        assert!(
            !self.peer_finished,
            "the peer has said that it sends no more"
        );
        if self.ring_closed || self.reset_to_peer || self.dead {
            return Err(Gone::Reset);
        }
        let count = bytes.len().min(self.room - self.to_ring.len());
        self.to_ring.extend(&bytes[..count]);
        if count > 0 {
            self.wakes.reading += 1;
        }
        Ok(count)
    }

    pub(super) fn peer_read(&mut self, most: usize) -> Result<Vec<u8>, Gone> {
        if self.to_peer.is_empty() {
            return match (self.reset_to_peer, self.ring_closed) {
                (true, _) => Err(Gone::Reset),
                (false, true) => Err(Gone::Closed),
                (false, false) => Ok(Vec::new()),
            };
        }
        let was_writable = self.is_writable();
        let count = most.min(self.to_peer.len());
        let bytes = self.to_peer.drain(..count).collect();
        if !was_writable && self.is_writable() {
            self.wakes.writing += 1;
        }
        Ok(bytes)
    }

    pub(super) fn peer_finish(&mut self) {
        if !self.peer_finished && !self.dead {
            self.peer_finished = true;
            self.wake_all();
        }
    }

    pub(super) fn peer_close(&mut self) {
        let unread = !self.to_peer.is_empty();
        self.peer_closed = true;
        self.to_peer.clear();
        if unread {
            self.die()
        } else {
            self.peer_finish()
        }
    }

    pub(super) fn peer_reset(&mut self) {
        self.peer_closed = true;
        self.to_peer.clear();
        self.die();
    }

    pub(super) fn is_over(&self) -> bool {
        self.peer_closed && self.ring_closed
    }

    /// A change of state wakes everybody.
    fn wake_all(&mut self) {
        self.wakes.reading += 1;
        self.wakes.writing += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let address = "127.0.0.1:1".parse().unwrap();
        Stream::new(address, address, 9)
    }

    fn recv(stream: &mut Stream) -> Result<Vec<u8>, i32> {
        stream.recv(100).map(|taken| taken.bytes)
    }

    #[test]
    fn bytes_cross_in_order_and_stop_at_the_room() {
        let mut stream = stream();
        assert_eq!(recv(&mut stream), Err(libc::EAGAIN));
        assert_eq!(stream.peer_write(b"hello, world"), Ok(9));
        let first = Taken {
            bytes: b"hell".to_vec(),
            nonempty: true,
        };
        assert_eq!(stream.recv(4), Ok(first));
        assert_eq!(recv(&mut stream), Ok(b"o, wo".to_vec()));
        assert_eq!(stream.send(b"0123456789"), Ok(9));
        assert_eq!(stream.send(b"9"), Err(libc::EAGAIN));
        assert_eq!(stream.mask(), 0);
        assert_eq!(stream.peer_read(4), Ok(b"0123".to_vec()));
        assert_eq!((stream.mask(), stream.wakes.writing), (OUT, 1));
    }

    #[test]
    fn a_finished_peer_still_reads() {
        let mut stream = stream();
        stream.peer_finish();
        assert_eq!(stream.mask(), IN | OUT | RDHUP);
        assert_eq!(recv(&mut stream), Ok(vec![]));
        assert_eq!(stream.send(b"bye"), Ok(3));
        stream.close();
        assert_eq!(stream.peer_read(9), Ok(b"bye".to_vec()));
        assert_eq!(stream.peer_read(9), Err(Gone::Closed));
    }

    #[test]
    fn a_closed_peer_answers_bytes_with_a_reset() {
        let mut stream = stream();
        stream.peer_close();
        assert_eq!(stream.send(b"lost"), Ok(4));
        assert_eq!(stream.mask(), IN | OUT | RDHUP | HUP | ERR);
        assert_eq!(stream.send(b"lost"), Err(libc::EPIPE));
        assert_eq!(recv(&mut stream), Ok(vec![]));
    }

    #[test]
    fn a_reset_is_told_once_after_the_bytes_before_it() {
        let mut stream = stream();
        stream.peer_write(b"x").unwrap();
        stream.peer_reset();
        assert_eq!(recv(&mut stream), Ok(b"x".to_vec()));
        assert_eq!(recv(&mut stream), Err(libc::ECONNRESET));
        assert_eq!(recv(&mut stream), Ok(vec![]));
        assert_eq!(stream.send(b"x"), Err(libc::EPIPE));
    }

    #[test]
    fn closing_over_unread_bytes_resets_the_peer() {
        let mut stream = stream();
        stream.peer_write(b"unread").unwrap();
        stream.send(b"last words").unwrap();
        stream.close();
        assert_eq!(stream.peer_read(100), Ok(b"last word".to_vec()));
        assert_eq!(stream.peer_read(100), Err(Gone::Reset));
        assert_eq!(stream.peer_write(b"x"), Err(Gone::Reset));
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        PeerWrites(usize),
        RingReads(usize),
        RingSends(usize),
        PeerReads(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let count = || 1..30_usize;
        let step = prop_oneof![
            count().prop_map(Step::PeerWrites),
            count().prop_map(Step::RingReads),
            count().prop_map(Step::RingSends),
            count().prop_map(Step::PeerReads),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// The next bytes of a sequence that does not repeat within the room.
    fn next(from: usize, count: usize) -> Vec<u8> {
        (from..from + count)
            .map(|n| u8::try_from(n % 251).expect("less than 251"))
            .collect()
    }

    proptest! {
        /// Each direction is one sequence of bytes, whatever the sizes of reads and writes; polls tell the truth.
        #[test]
        fn no_byte_is_lost_or_mixed(steps in steps()) {
            let address = "127.0.0.1:1".parse().expect("an address");
            let mut stream = Stream::new(address, address, 40);
            let (mut written, mut read, mut sent, mut heard) = (0, 0, 0, 0);
            for step in steps {
                match step {
                    Step::PeerWrites(count) => {
                        written += stream.peer_write(&next(written, count)).expect("alive");
                    }
                    Step::RingReads(most) => match stream.recv(most) {
                        Ok(taken) => {
                            prop_assert_eq!(&taken.bytes, &next(read, taken.bytes.len()));
                            read += taken.bytes.len();
                            prop_assert_eq!(taken.nonempty, read < written);
                        }
                        Err(errno) => prop_assert_eq!((errno, read), (libc::EAGAIN, written)),
                    },
                    Step::RingSends(count) => match stream.send(&next(sent, count)) {
                        Ok(count) => sent += count,
                        Err(errno) => prop_assert_eq!((errno, sent - heard), (libc::EAGAIN, 40)),
                    },
                    Step::PeerReads(most) => {
                        let bytes = stream.peer_read(most).expect("alive");
                        prop_assert_eq!(&bytes, &next(heard, bytes.len()));
                        heard += bytes.len();
                    }
                }
                prop_assert_eq!(stream.mask() & IN != 0, read < written);
                prop_assert!(stream.mask() & OUT == 0 || sent - heard < 40);
            }
        }
    }
}
