//! A client of a few lines that speaks `wire` over a blocking socket, and does as it is told, right or wrong.

use millpond_wire::{
    Ack, CLIENT_FRAME_BYTES_MAX, Code, Conversation, CursorAck, Decoded, Deliver, DeviceId, Frame,
    Hello, Kind, Origin, PREFACE, PROTO, Resume, SERVER_FRAME_BYTES_MAX, Scope, Send, Sync, UserId,
    decode, encode,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A record with its cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) cursor: u64,
    pub(crate) conversation: Conversation,
    pub(crate) seq: u64,
    pub(crate) origin: Option<Origin>,
    pub(crate) stub: bool,
    pub(crate) text: String,
}

fn received(deliver: &Deliver<'_>) -> Vec<Received> {
    let records = (deliver.first_cursor..).zip(deliver.records.iter());
    let owned = records.map(|(cursor, record)| Received {
        cursor,
        conversation: record.conversation,
        seq: record.seq,
        origin: record.origin,
        stub: record.stub,
        text: String::from_utf8_lossy(record.payload).into_owned(),
    });
    owned.collect()
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// How a read ended without a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Quiet,
}

impl Peer {
    /// Connects, and says nothing yet.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a live socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a live socket");
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Connects and says HELLO; WELCOME is not read yet.
    pub(crate) fn hello(
        address: SocketAddr,
        device: u64,
        token: &[u8],
        resume: Option<(u64, u64)>,
    ) -> Self {
        let mut peer = Self::open(address);
        let mut bytes = PREFACE.to_vec();
        encode(&Frame::Hello(hello(device, token, resume)), &mut bytes);
        peer.write(&bytes);
        peer
    }

    /// Connects, says HELLO, and waits for WELCOME; gives the inbox epoch.
    pub(crate) fn connect(
        address: SocketAddr,
        device: u64,
        token: &[u8],
        resume: Option<(u64, u64)>,
    ) -> (Self, u64) {
        let mut peer = Self::hello(address, device, token, resume);
        let epoch = peer.expect("WELCOME", |frame| match frame {
            Frame::Welcome(welcome) => Some(welcome.epoch),
            _ => None,
        });
        (peer, epoch)
    }

    /// Connects as a new installation, and reads its whole inbox: live delivery goes on from there.
    pub(crate) fn join(
        address: SocketAddr,
        device: u64,
        token: &[u8],
    ) -> (Self, u64, Vec<Received>) {
        let (mut peer, epoch) = Self::connect(address, device, token, None);
        let inbox = peer.sync(epoch, 0);
        (peer, epoch, inbox)
    }

    /// Everything behind `cursor`, in pages.
    pub(crate) fn sync(&mut self, epoch: u64, mut cursor: u64) -> Vec<Received> {
        let mut inbox = Vec::new();
        loop {
            self.tell(&Frame::Sync(Sync {
                rid: 1,
                epoch,
                cursor,
                max_bytes: 64 * 1024,
            }));
            let done = self.expect("SYNC_DONE", |frame| match frame {
                Frame::Deliver(deliver) => {
                    inbox.extend(received(deliver));
                    None
                }
                Frame::SyncDone(done) => Some(*done),
                _ => None,
            });
            cursor = done.cursor;
            self.tell(&Frame::CursorAck(CursorAck { cursor }));
            if !done.more {
                return inbox;
            }
        }
    }

    /// The next record that is delivered.
    pub(crate) fn record(&mut self) -> Received {
        self.expect("DELIVER", |frame| match frame {
            Frame::Deliver(deliver) => {
                let mut records = received(deliver);
                assert_eq!(records.len(), 1, "one at a time was sent");
                records.pop()
            }
            _ => None,
        })
    }

    /// The answer to one SEND.
    pub(crate) fn answer(&mut self, id: u64) -> Result<Ack, Code> {
        self.expect_any("SEND_ACK", |frame| match frame {
            Frame::SendAck(acks) => acks.acks.iter().find(|ack| ack.client_msg_id == id).map(Ok),
            Frame::Error(error) if error.scope == Scope::Message(id) => Some(Err(error.code)),
            _ => None,
        })
    }

    /// The code of the ERROR that ends the connection.
    pub(crate) fn refusal(&mut self) -> Code {
        let code = self.expect_any("ERROR", |frame| match frame {
            Frame::Error(error) if error.scope == Scope::Connection => Some(error.code),
            _ => None,
        });
        assert_eq!(
            self.next(|_| ()),
            Err(End::Closed),
            "closed behind the error"
        );
        code
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    pub(crate) fn tell(&mut self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        self.write(&bytes);
    }

    pub(crate) fn send_text(&mut self, to: u64, client_msg_id: u64, text: &str) {
        self.tell(&Frame::Send(Send {
            client_msg_id,
            conversation: with(to),
            after: None,
            kind: Kind::TEXT,
            payload: text.as_bytes(),
        }));
    }

    /// Reads frames until `pick` takes one, whatever else comes.
    pub(crate) fn expect_any<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Frame<'_>) -> Option<T>,
    ) -> T {
        loop {
            match self.next(&mut pick) {
                Ok(Some(value)) => return value,
                Ok(None) => {}
                Err(end) => panic!("wanted {what}, the connection is {end:?}"),
            }
        }
    }

    /// Reads frames until `pick` takes one; an ERROR that it does not take fails.
    pub(crate) fn expect<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Frame<'_>) -> Option<T>,
    ) -> T {
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
    pub(crate) fn next<T>(&mut self, mut look: impl FnMut(&Frame<'_>) -> T) -> Result<T, End> {
        loop {
            match decode(&self.read, SERVER_FRAME_BYTES_MAX).expect("the server sends valid frames")
            {
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
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(End::Quiet)
            }
            Err(_) => Err(End::Closed),
        }
    }
}

/// The direct conversation with this user.
pub(crate) fn with(user: u64) -> Conversation {
    Conversation::Direct(UserId::new(user).expect("a user id"))
}

pub(crate) fn hello<'a>(device: u64, token: &'a [u8], resume: Option<(u64, u64)>) -> Hello<'a> {
    Hello {
        background: false,
        no_push: false,
        proto_min: PROTO,
        proto_max: PROTO,
        features: 0,
        device: DeviceId(device),
        attempt: attempt(),
        auth_kind: 1,
        token,
        agent: "e2e",
        max_frame: u64::try_from(CLIENT_FRAME_BYTES_MAX).expect("small"),
        window: 256,
        resume: resume.map(|(epoch, cursor)| Resume {
            token: &[],
            epoch,
            cursor,
        }),
    }
}

/// Grows with every connection of this test process, also across its servers' restarts.
fn attempt() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
