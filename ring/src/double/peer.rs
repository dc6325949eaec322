//! The other end of a connection of the double: what a client does, in the hands of a test. Dropping it closes it.

use std::net::SocketAddr;

use super::net::{Net, SocketId};
use super::stream::{Gone, Stream};

#[derive(Debug)]
pub struct Peer {
    net: Net,
    id: SocketId,
    open: bool,
}

impl Peer {
    pub(super) fn new(net: Net, id: SocketId) -> Self {
        Self {
            net,
            id,
            open: true,
        }
    }

    /// Where this end is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.with(|stream| stream.peer_address)
    }

    /// Where the ring's end is.
    #[must_use]
    pub fn ring_address(&self) -> SocketAddr {
        self.with(|stream| stream.ring_address)
    }

    /// Writes as much as fits; says how much that was.
    ///
    /// # Errors
    /// [`Gone::Reset`]: the ring's end takes nothing any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Gone> {
        self.with(|stream| stream.peer_write(bytes))
    }

    /// Everything the ring has sent and nobody has read; nothing when there is nothing yet.
    ///
    /// # Errors
    /// [`Gone`] when nothing will come any more.
    pub fn read(&mut self) -> Result<Vec<u8>, Gone> {
        self.read_at_most(usize::MAX)
    }

    /// As [`Peer::read`], a bounded part: a slow reader.
    pub fn read_at_most(&mut self, most: usize) -> Result<Vec<u8>, Gone> {
        self.with(|stream| stream.peer_read(most))
    }

    /// Sends no more, and still reads.
    pub fn finish(&mut self) {
        self.with(Stream::peer_finish);
    }

    /// Sends and reads no more: the ring's end reads to the end, or hears of a reset when something lay here unread.
    pub fn close(mut self) {
        self.end(Stream::peer_close);
    }

    /// Goes without a word.
    pub fn reset(mut self) {
        self.end(Stream::peer_reset);
    }

    fn end(&mut self, how: fn(&mut Stream)) {
        self.with(how);
        self.open = false;
        self.net.world().forget_if_over(self.id);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Stream) -> T) -> T {
        work(
            self.net
                .world()
                .stream(self.id)
                .expect("a peer's socket is a stream"),
        )
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.open {
            self.end(Stream::peer_close);
        }
    }
}
