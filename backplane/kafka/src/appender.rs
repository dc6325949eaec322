//! A gateway shard's end of the log. It never waits.
//!
//! What a failed delivery loses are clients' commands that nobody has acknowledged: the client sends them again. Later
//! ones of the same client may be in the log before that; the conversation machine puts this right by their ids.

use crate::producer::{Lane, Shared};
use millpond_backplane::Entry;
use millpond_backplane::codec::encode_envelope;
use millpond_backplane::log::{Appender, Full, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub struct KafkaAppender {
    shared: Arc<Shared>,
    /// By topic, then partition; made when first used.
    lanes: [Vec<Option<Arc<Lane>>>; 2],
    /// Those that have something which has not left.
    touched: Vec<(Topic, i32)>,
    held: Arc<AtomicUsize>,
    alone: Vec<u8>,
}

impl KafkaAppender {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let lanes = || vec![None; usize::from(shared.options.partitions)];
        Self {
            lanes: [lanes(), lanes()],
            shared,
            touched: Vec::new(),
            held: Arc::default(),
            alone: Vec::new(),
        }
    }

    fn lane(&mut self, topic: Topic, partition: i32) -> &Arc<Lane> {
        let lanes = match topic {
            Topic::Commands => &mut self.lanes[0],
            Topic::Inboxes => &mut self.lanes[1],
        };
        let at = usize::try_from(partition).expect("partitions are counted from 0");
        lanes[at].get_or_insert_with(|| self.shared.lane(topic, partition, &self.held))
    }
}

impl Appender for KafkaAppender {
    fn append(&mut self, entry: Entry) -> Result<(), Full> {
        self.alone.clear();
        encode_envelope(std::slice::from_ref(&entry), &mut self.alone);
        let held = self.held.load(Ordering::Relaxed);
        if held + self.alone.len() > self.shared.options.appender_bytes_max {
            self.shared.counts.refused.add(1);
            return Err(Full(entry));
        }
        let (topic, partition) = (entry.topic(), self.shared.options.real(entry.partition()));
        let alone = std::mem::take(&mut self.alone);
        self.lane(topic, partition).push(&alone);
        self.alone = alone;
        if !self.touched.contains(&(topic, partition)) {
            self.touched.push((topic, partition));
        }
        Ok(())
    }

    fn flush(&mut self) {
        let mut stuck = Vec::new();
        for (topic, partition) in std::mem::take(&mut self.touched) {
            let lane = Arc::clone(self.lane(topic, partition));
            lane.send(&self.shared.producer, &self.shared.counts);
            if lane.is_stuck() {
                stuck.push((topic, partition));
            }
        }
        self.touched = stuck;
    }
}
