//! Plain epoll: one loop, one read buffer for all. A connection that is idle owns its descriptor and an entry of the
//! table; bytes are kept for it only while its socket is full.

use millpond_baselines::{READ_BYTES, announce, listener};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1024;

fn main() -> anyhow::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    announce(listener.local_addr()?)?;
    let mut server = Server::default();
    let mut events = Events::with_capacity(EVENTS);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&poll, &listener)?,
                token => server.serve(token.0),
            }
        }
    }
}

#[derive(Default)]
struct Server {
    peers: Vec<Option<TcpStream>>,
    free: Vec<usize>,
    /// Bytes of the connections whose socket is full.
    waiting: HashMap<usize, Vec<u8>>,
}

impl Server {
    fn accept(&mut self, poll: &Poll, listener: &TcpListener) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let at = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(at), interest)?;
            self.peers[at] = Some(stream);
        }
    }

    /// Edge-triggered: writes what waits, then reads until there is no more.
    fn serve(&mut self, at: usize) {
        let Some(stream) = self.peers.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        let kept = self.waiting.remove(&at).unwrap_or_default();
        match echo(stream, kept) {
            Ok(kept) if kept.is_empty() => {}
            Ok(kept) => {
                self.waiting.insert(at, kept);
            }
            Err(_) => {
                self.peers[at] = None;
                self.free.push(at);
            }
        }
    }
}

/// What the socket did not take; an error when the connection is over.
fn echo(stream: &mut TcpStream, kept: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let rest = write(stream, &kept)?;
    if !rest.is_empty() {
        return Ok(rest);
    }
    let mut buffer = [0; READ_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                let rest = write(stream, &buffer[..count])?;
                if !rest.is_empty() {
                    return Ok(rest);
                }
                // A short read emptied the socket: the next edge will tell.
                if count < READ_BYTES {
                    return Ok(rest);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
}

fn write(stream: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(bytes.to_vec()),
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}
