//! The link inside one process, over the mesh; and one that only remembers.

use crate::link::{Downlink, DownlinkBody, Link, QUEUE_BYTES_MAX};
use crate::mesh::{Sender, WeighedSender};
use crate::metrics::{Counter, Sample, SampleKind, Source};
use std::sync::{Arc, Mutex, PoisonError};

/// One bounded queue to each shard. A hint that finds no room, or names no shard, is dropped and counted.
#[derive(Debug)]
pub struct MeshLink {
    shards: Vec<WeighedSender<Downlink>>,
    drops: Arc<LinkDrops>,
}

impl MeshLink {
    /// `shards[n]` leads to shard n.
    pub fn new(shards: Vec<Sender<Downlink>>) -> Self {
        let weighed = |shard| WeighedSender::new(shard, QUEUE_BYTES_MAX);
        Self {
            shards: shards.into_iter().map(weighed).collect(),
            drops: Arc::default(),
        }
    }

    /// The counters, for whoever shows them.
    pub fn drops(&self) -> Arc<LinkDrops> {
        Arc::clone(&self.drops)
    }
}

impl Link for MeshLink {
    fn send(&mut self, downlink: Downlink) {
        let shard = usize::from(downlink.to.handle.shard);
        let dropped = match self.shards.get_mut(shard) {
            Some(shard) => {
                let bytes = downlink.body.bytes();
                shard.push(downlink, bytes).err()
            }
            None => Some(downlink),
        };
        if let Some(downlink) = dropped {
            self.drops.of(&downlink.body).add(1);
        }
    }

    fn flush(&mut self) {
        self.shards.iter_mut().for_each(WeighedSender::flush);
    }
}

/// Hints that found no room, by kind.
#[derive(Default, Debug)]
pub struct LinkDrops {
    pub acks: Counter,
    pub refusals: Counter,
    pub deliveries: Counter,
    pub marks: Counter,
    pub kicks: Counter,
}

impl LinkDrops {
    fn of(&self, body: &DownlinkBody) -> &Counter {
        match body {
            DownlinkBody::Ack(_) => &self.acks,
            DownlinkBody::Refused { .. } => &self.refusals,
            DownlinkBody::Deliver { .. } => &self.deliveries,
            DownlinkBody::Mark(_) => &self.marks,
            DownlinkBody::Kick(_) => &self.kicks,
        }
    }
}

impl Source for LinkDrops {
    fn samples(&self, into: &mut Vec<Sample>) {
        let kinds = [
            ("ack", &self.acks),
            ("refusal", &self.refusals),
            ("delivery", &self.deliveries),
            ("mark", &self.marks),
            ("kick", &self.kicks),
        ];
        const HELP: &str = "Hints to connections that found a full queue, by kind";
        into.extend(kinds.map(|(kind, counter)| {
            let value = counter.value();
            Sample::of("link_dropped_total", HELP, SampleKind::Counter, value)
                .labelled("kind", kind)
        }));
    }
}

/// Keeps everything it is sent, for tests. Clones share what they keep.
#[derive(Clone, Default, Debug)]
pub struct RecordingLink {
    sent: Arc<Mutex<Vec<Downlink>>>,
}

impl RecordingLink {
    /// What was sent since the last call, in order.
    pub fn take(&self) -> Vec<Downlink> {
        std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Link for RecordingLink {
    fn send(&mut self, downlink: Downlink) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(downlink);
    }

    fn flush(&mut self) {}
}
