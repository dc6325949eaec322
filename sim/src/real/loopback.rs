//! A real server's door: TCP over loopback, without blocking.

use crate::door::{Doors, Ended, Socket};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A kernel that has a listener answers at once, unless its queue is full.
const CONNECT: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Loopback {
    address: SocketAddr,
}

impl Loopback {
    pub(super) fn at(address: SocketAddr) -> Self {
        Self { address }
    }
}

impl Doors for Loopback {
    fn count(&self) -> usize {
        1
    }

    fn connect(&mut self, _place: usize) -> Option<Box<dyn Socket>> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT).ok()?;
        stream.set_nonblocking(true).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Box::new(Stream(stream)))
    }
}

#[derive(Debug)]
struct Stream(TcpStream);

impl Socket for Stream {
    fn read_at_most(&mut self, most: usize) -> Result<Vec<u8>, Ended> {
        let mut bytes = Vec::new();
        let mut chunk = [0; CHUNK_BYTES];
        while bytes.len() < most {
            let room = CHUNK_BYTES.min(most - bytes.len());
            match self.0.read(&mut chunk[..room]) {
                // What came before the end is heard first.
                Ok(0) if bytes.is_empty() => return Err(Ended),
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) if bytes.is_empty() => return Err(Ended),
                Err(_) => break,
            }
        }
        Ok(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Ended> {
        let mut written = 0;
        while written < bytes.len() {
            match self.0.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(Ended),
            }
        }
        Ok(written)
    }

    fn reset(self: Box<Self>) {
        // Closing with nothing to linger for sends RST; where that cannot be set, the connection just closes.
        let _ = socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }

    /// The kernel closes the connections of a dead process.
    fn is_answered(&self) -> bool {
        true
    }
}
