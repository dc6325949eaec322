//! A client of a few lines that speaks `wire` over a blocking socket, and does as it is told, right or wrong.

use millpond_wire::{
    CLIENT_FRAME_BYTES_MAX, Conversation, Decoded, DeviceId, Frame, Hello, Kind, PREFACE, PROTO, Resume,
    SERVER_FRAME_BYTES_MAX, Send, UserId, decode, encode,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Debug)]
pub struct Peer {
    pub stream: TcpStream,
    read: Vec<u8>,
}

/// How a read ended without a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Quiet,
}

impl Peer {
    /// Connects, and says nothing yet.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a live socket");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a live socket");
        Self { stream, read: Vec::new() }
    }

    /// Connects and says HELLO; WELCOME is not read yet.
    pub fn hello(address: SocketAddr, device: u64, token: &[u8], resume: Option<(u64, u64)>) -> Self {
        let mut peer = Self::open(address);
        let mut bytes = PREFACE.to_vec();
        encode(&Frame::Hello(hello(device, token, resume)), &mut bytes);
        peer.write(&bytes);
        peer
    }

    /// Connects, says HELLO, and waits for WELCOME; gives the inbox epoch.
    pub fn connect(address: SocketAddr, device: u64, token: &[u8], resume: Option<(u64, u64)>) -> (Self, u64) {
        let mut peer = Self::hello(address, device, token, resume);
        let epoch = peer.expect("WELCOME", |frame| match frame {
            Frame::Welcome(welcome) => Some(welcome.epoch),
            _ => None,
        });
        (peer, epoch)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    pub fn tell(&mut self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        self.write(&bytes);
    }

    pub fn send_text(&mut self, to: u64, client_msg_id: u64, text: &str) {
        self.tell(&Frame::Send(Send {
            client_msg_id,
            conversation: Conversation::Direct(UserId::new(to).expect("a user id")),
            after: None,
            kind: Kind::TEXT,
            payload: text.as_bytes(),
        }));
    }

    /// Reads frames until `pick` takes one.
    pub fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&Frame<'_>) -> Option<T>) -> T {
        loop {
            let mut seen = String::new();
            let picked = self.next(|frame| {
                seen = format!("{frame:?}");
                pick(frame)
            });
            match picked {
                Ok(Some(value)) => return value,
                Ok(None) => assert!(!seen.contains("Error("), "wanted {what}, got {seen}"),
                Err(end) => panic!("wanted {what}, the connection is {end:?}"),
            }
        }
    }

    /// The next frame, as `look` sees it; else how the connection is.
    pub fn next<T>(&mut self, mut look: impl FnMut(&Frame<'_>) -> T) -> Result<T, End> {
        loop {
            match decode(&self.read, SERVER_FRAME_BYTES_MAX).expect("the server sends valid frames") {
                Decoded::Frame(frame, used) => {
                    let seen = look(&frame);
                    self.read.drain(..used);
                    return Ok(seen);
                }
                Decoded::Need(_) => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), End> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                self.read.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(End::Quiet),
            Err(_) => Err(End::Closed),
        }
    }
}

pub fn hello<'a>(device: u64, token: &'a [u8], resume: Option<(u64, u64)>) -> Hello<'a> {
    Hello {
        background: false,
        no_push: false,
        proto_min: PROTO,
        proto_max: PROTO,
        features: 0,
        device: DeviceId(device),
        attempt: attempt(),
        auth_kind: 0,
        token,
        agent: "e2e",
        max_frame: u64::try_from(CLIENT_FRAME_BYTES_MAX).expect("small"),
        window: 256,
        resume: resume.map(|(epoch, cursor)| Resume { token: &[], epoch, cursor }),
    }
}

/// Grows with every connection of this test process, also across its servers' restarts.
fn attempt() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
