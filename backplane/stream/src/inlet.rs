//! The gateway's end: takes streams from routers, and hands their hints to the shards.

use crate::FRAME_BYTES_MAX;
use crate::counts::Received;
use crate::greeting::{self, HELLO_BYTES, PROOF_BYTES, Refused, SEAL_BYTES, Sealer};
use millpond_background::Background;
use millpond_backplane::GatewayId;
use millpond_backplane::codec::decode_downlinks;
use millpond_backplane::link::Link;
use millpond_backplane::metrics::Source;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Streams at a time, those that have not greeted yet among them.
const STREAMS_MAX: usize = 1024;
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first byte of a frame to its last.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// A router hangs up by itself when it has said nothing for a minute: one that is silent for longer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(150);
/// After an accept that failed, for want of descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who takes hints, and where.
#[derive(Clone, Debug)]
pub struct InletOptions {
    pub listen: SocketAddr,
    /// The cluster's.
    pub secret: Vec<u8>,
    pub gateway: GatewayId,
    pub epoch: u32,
}

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Inlet {
    address: SocketAddr,
    received: Arc<Received>,
    _runtime: Background,
}

struct Door {
    options: InletOptions,
    link: Mutex<Box<dyn Link>>,
    received: Arc<Received>,
}

impl Inlet {
    /// Hands every hint for this gateway and epoch to `link`.
    ///
    /// # Errors
    /// An address that cannot be listened on, or no thread.
    pub fn listen(options: InletOptions, link: Box<dyn Link>) -> io::Result<Self> {
        let runtime = Background::start("link", 1)?;
        let listener = runtime.block_on(TcpListener::bind(options.listen))?;
        let address = listener.local_addr()?;
        let received = Arc::<Received>::default();
        let door = Arc::new(Door {
            options,
            link: Mutex::new(link),
            received: Arc::clone(&received),
        });
        runtime.spawn(door.accept(listener));
        Ok(Self {
            address,
            received,
            _runtime: runtime,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The numbers, for whoever shows them.
    pub fn counts(&self) -> Arc<dyn Source> {
        Arc::<Received>::clone(&self.received)
    }
}

impl Door {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(STREAMS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let Ok((stream, from)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let door = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(error) = door.serve(stream).await
                    && error.kind() != ErrorKind::UnexpectedEof
                {
                    door.received.refused.add(1);
                    tracing::warn!(%from, %error, "a stream of hints has ended");
                }
                drop(place);
            });
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let greeted = timeout(GREETING_TIMEOUT, self.greet(&mut stream)).await;
        let mut sealer = greeted.map_err(|_| bad("no greeting in time"))??;
        self.received.streams.add(1);
        let mut bytes = Vec::new();
        loop {
            let length = timeout(SILENCE_MAX, stream.read_u32()).await;
            let length = length.map_err(|_| bad("silence"))??;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !(SEAL_BYTES..=FRAME_BYTES_MAX).contains(&length) {
                return Err(bad("a frame of an impossible length"));
            }
            bytes.resize(length, 0);
            let read = timeout(FRAME_TIMEOUT, stream.read_exact(&mut bytes)).await;
            read.map_err(|_| bad("half a frame"))??;
            self.take(&mut sealer, &bytes)?;
            self.received.frames.add(1);
            self.received.bytes.add(4 + length as u64);
        }
    }

    async fn greet(&self, stream: &mut TcpStream) -> io::Result<Sealer> {
        let InletOptions {
            secret,
            gateway,
            epoch,
            ..
        } = &self.options;
        let mut hello = [0; HELLO_BYTES];
        stream.read_exact(&mut hello).await?;
        let mut nonce = greeting::Nonce::default();
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let answer = greeting::answer(secret, &hello, nonce, gateway.0, *epoch);
        let answer = answer.map_err(refused)?;
        stream.write_all(&answer).await?;
        let mut proof = [0; PROOF_BYTES];
        stream.read_exact(&mut proof).await?;
        greeting::check(secret, &hello, &answer, &proof).map_err(refused)?;
        Ok(Sealer::new(secret, &hello, &answer))
    }

    /// Hands on what a frame holds.
    fn take(&self, sealer: &mut Sealer, frame: &[u8]) -> io::Result<()> {
        let (seal, batch) = frame.split_first_chunk().expect("longer than a seal");
        if !sealer.holds(seal, batch) {
            return Err(bad("a frame that was changed"));
        }
        let hints = decode_downlinks(batch);
        let hints = hints.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let mine = (self.options.gateway, self.options.epoch);
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        for hint in hints {
            if (hint.to.gateway, hint.to.gateway_epoch) == mine {
                self.received.hints.add(1);
                link.send(hint);
            } else {
                self.received.elsewhere.add(1);
            }
        }
        link.flush();
        Ok(())
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn refused(refused: Refused) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, format!("it {refused}"))
}
