//! The router's end.

use crate::counts::Sent;
use crate::outbox::Frame;
use crate::peer::{Common, Peer};
use crate::{FRAME_BYTES, PEERS_MAX};
use millpond_background::Background;
use millpond_backplane::GatewayId;
use millpond_backplane::codec::DownlinkEncoder;
use millpond_backplane::link::{Directory, Downlink, Link};
use millpond_backplane::metrics::Source;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// A gateway in one of its epochs.
type Name = (GatewayId, u32);

/// The streams of one process; its threads each have a [`StreamLink`]. Clones are the same streams.
#[derive(Clone, Debug)]
pub struct Streams {
    shared: Arc<Shared>,
    _runtime: Arc<Background>,
}

#[derive(Debug)]
struct Shared {
    common: Common,
    peers: Mutex<BTreeMap<Name, Arc<Peer>>>,
    runtime: Handle,
}

impl Streams {
    /// Nothing is connected yet: a stream is made with the first hint for its gateway.
    ///
    /// # Errors
    /// No thread for the streams.
    pub fn new(secret: &[u8], directory: Arc<dyn Directory>) -> io::Result<Self> {
        let runtime = Background::start("link", 1)?;
        let common = Common {
            secret: secret.to_vec(),
            directory,
            sent: Arc::default(),
        };
        let shared = Shared {
            common,
            peers: Mutex::default(),
            runtime: runtime.handle().clone(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            _runtime: Arc::new(runtime),
        })
    }

    /// For one thread.
    pub fn link(&self) -> StreamLink {
        StreamLink {
            shared: Arc::clone(&self.shared),
            batches: BTreeMap::new(),
        }
    }

    /// The numbers, for whoever shows them.
    pub fn counts(&self) -> Arc<dyn Source> {
        Arc::<Sent>::clone(&self.shared.common.sent)
    }
}

impl Shared {
    /// Queues a frame for a gateway, whose stream begins with the first one. Under the lock, so that no peer ends with
    /// something to say.
    fn push(self: &Arc<Self>, name: Name, frame: Frame) {
        let sent = &self.common.sent;
        let mut peers = self.lock();
        if let Some(peer) = peers.get(&name) {
            return peer.push(frame, sent);
        }
        if peers.len() >= PEERS_MAX {
            return sent.dropped.add(frame.hints);
        }
        let peer = Arc::new(Peer::new(name.0, name.1));
        peer.push(frame, sent);
        peers.insert(name, Arc::clone(&peer));
        self.runtime.spawn(Arc::clone(self).run(name, peer));
    }

    async fn run(self: Arc<Self>, name: Name, peer: Arc<Peer>) {
        loop {
            peer.run(&self.common).await;
            let mut peers = self.lock();
            if peer.is_idle() {
                peers.remove(&name);
                return;
            }
        }
    }

    /// Every change leaves the table whole, so a panic elsewhere under the lock does no harm.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's end of the streams.
#[derive(Debug)]
pub struct StreamLink {
    shared: Arc<Shared>,
    /// Of the turn at hand.
    batches: BTreeMap<Name, Batch>,
}

#[derive(Default, Debug)]
struct Batch {
    encoder: DownlinkEncoder,
    hints: u64,
}

impl Batch {
    fn take(&mut self) -> Frame {
        Frame {
            batch: self.encoder.take(),
            hints: std::mem::take(&mut self.hints),
        }
    }
}

impl Link for StreamLink {
    fn send(&mut self, downlink: Downlink) {
        let name = (downlink.to.gateway, downlink.to.gateway_epoch);
        let batch = self.batches.entry(name).or_default();
        batch.encoder.push(&downlink);
        batch.hints += 1;
        if batch.encoder.bytes() >= FRAME_BYTES {
            let frame = batch.take();
            self.shared.push(name, frame);
        }
    }

    fn flush(&mut self) {
        for (name, mut batch) in std::mem::take(&mut self.batches) {
            if batch.hints > 0 {
                self.shared.push(name, batch.take());
            }
        }
    }
}
