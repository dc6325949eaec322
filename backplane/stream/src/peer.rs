//! One stream to one gateway, in one of its epochs: made when there is something to say, made again after a pause when it
//! breaks, given up when nothing was said for a while.

use crate::counts::Sent;
use crate::greeting::{self, ANSWER_BYTES, Sealer};
use crate::outbox::{Frame, Outbox};
use crate::{FRAME_BYTES_MAX, OUTBOX_BYTES_MAX};
use millpond_backplane::GatewayId;
use millpond_backplane::link::Directory;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// To find a gateway, connect, and greet it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A gateway that takes nothing for so long is left.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(250);
const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Peer {
    gateway: GatewayId,
    epoch: u32,
    outbox: Mutex<Outbox>,
    filled: Notify,
}

/// What every peer uses.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) secret: Vec<u8>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) sent: Arc<Sent>,
}

impl Peer {
    pub(crate) fn new(gateway: GatewayId, epoch: u32) -> Self {
        Self {
            gateway,
            epoch,
            outbox: Mutex::new(Outbox::new(OUTBOX_BYTES_MAX)),
            filled: Notify::new(),
        }
    }

    /// Queues a frame, or drops it.
    pub(crate) fn push(&self, frame: Frame, sent: &Sent) {
        match self.lock().push(frame) {
            Ok(()) => self.filled.notify_one(),
            Err(frame) => sent.dropped.add(frame.hints),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_empty()
    }

    /// Works until nothing was said for a while; whoever started it forgets the peer then.
    pub(crate) async fn run(&self, common: &Common) {
        let mut failing = false;
        while self.has_work().await {
            match self.serve(common).await {
                Ok(()) => return,
                Err(error) => {
                    common.sent.failures.add(1);
                    common.sent.dropped.add(self.lock().clear());
                    if !failing {
                        let (gateway, epoch) = (self.gateway.0, self.epoch);
                        tracing::warn!(gateway, epoch, %error, "hints to a gateway are dropped");
                    }
                    failing = true;
                    sleep(RETRY_PAUSE).await;
                    common.sent.dropped.add(self.lock().clear());
                }
            }
        }
    }

    /// Waits for something to say; false when nothing came for a while.
    async fn has_work(&self) -> bool {
        loop {
            let filled = self.filled.notified();
            if !self.lock().is_empty() {
                return true;
            }
            if timeout(IDLE, filled).await.is_err() {
                return !self.lock().is_empty();
            }
        }
    }

    /// Makes a stream and writes what comes, until nothing does.
    async fn serve(&self, common: &Common) -> io::Result<()> {
        let connected = timeout(CONNECT_TIMEOUT, self.connect(common)).await;
        let (mut stream, mut sealer) = connected.map_err(|_| late("no greeting in time"))??;
        common.sent.connects.add(1);
        while self.has_work().await {
            // Its own statement, so that the lock is not held over the write.
            let next = self.lock().pop();
            let Some(frame) = next else { continue };
            let Some(bytes) = framed(&mut sealer, &frame.batch) else {
                common.sent.dropped.add(frame.hints);
                continue;
            };
            let written = timeout(WRITE_TIMEOUT, stream.write_all(&bytes)).await;
            let written = written.unwrap_or_else(|_| Err(late("it takes nothing")));
            if written.is_err() {
                common.sent.dropped.add(frame.hints);
            }
            written?;
            common.sent.frames.add(1);
            common.sent.hints.add(frame.hints);
            common.sent.bytes.add(bytes.len() as u64);
        }
        Ok(())
    }

    async fn connect(&self, common: &Common) -> io::Result<(TcpStream, Sealer)> {
        let directory = Arc::clone(&common.directory);
        let (gateway, epoch) = (self.gateway, self.epoch);
        let found = tokio::task::spawn_blocking(move || directory.address(gateway, epoch));
        let address = found.await.ok().flatten();
        let address = address.ok_or_else(|| {
            io::Error::new(ErrorKind::NotFound, "it has no lease with an address")
        })?;
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        rustix::net::sockopt::set_tcp_user_timeout(&stream, millis(WRITE_TIMEOUT))?;
        let mut nonce = greeting::Nonce::default();
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let hello = greeting::hello(nonce, gateway.0, epoch);
        stream.write_all(&hello).await?;
        let mut answer = [0; ANSWER_BYTES];
        stream.read_exact(&mut answer).await?;
        let refused = |refused: greeting::Refused| {
            io::Error::new(ErrorKind::PermissionDenied, format!("{address} {refused}"))
        };
        let proof = greeting::proof(&common.secret, &hello, &answer).map_err(refused)?;
        stream.write_all(&proof).await?;
        let sealer = Sealer::new(&common.secret, &hello, &answer);
        Ok((stream, sealer))
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` for a batch that no gateway would take.
fn framed(sealer: &mut Sealer, batch: &[u8]) -> Option<Vec<u8>> {
    let length = greeting::SEAL_BYTES + batch.len();
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let length = u32::try_from(length).expect("the longest frame has fewer than 2^32 bytes");
    let mut bytes = Vec::with_capacity(4 + greeting::SEAL_BYTES + batch.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&sealer.seal(batch));
    bytes.extend_from_slice(batch);
    Some(bytes)
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, what)
}
