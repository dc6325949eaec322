//! The queues from the shards to the writer: one per shard, bounded, never waiting.

use super::bell::ThreadBell;
use millpond_backplane::log::{Appender, Full};
use millpond_backplane::mesh::{Receiver, Sender, channel};
use millpond_backplane::{CommandBody, Entry};
use std::sync::Arc;

/// One appender per shard, and the end that [`super::Fused::start`] takes. Each queue holds `capacity` records.
pub fn intake(shards: usize, capacity: usize) -> (Vec<Box<dyn Appender>>, Intake) {
    let bell = Arc::new(ThreadBell::default());
    let mut appenders: Vec<Box<dyn Appender>> = Vec::with_capacity(shards);
    let mut queues = Vec::with_capacity(shards);
    for _ in 0..shards {
        let (sender, receiver) = channel(capacity, bell.clone());
        appenders.push(Box::new(ShardAppender { sender }));
        queues.push(receiver);
    }
    let intake = Intake {
        queues,
        first: 0,
        bell,
    };
    (appenders, intake)
}

/// The receiving ends.
#[derive(Debug)]
pub struct Intake {
    queues: Vec<Receiver<Entry>>,
    /// The queue that is asked first next time, so that none is favoured.
    first: usize,
    bell: Arc<ThreadBell>,
}

#[derive(Debug)]
struct ShardAppender {
    sender: Sender<Entry>,
}

impl Appender for ShardAppender {
    fn append(&mut self, entry: Entry) -> Result<(), Full> {
        if self.sender.is_closed() {
            return Err(Full(entry));
        }
        self.sender.push(entry).map_err(Full)
    }

    fn flush(&mut self) {
        self.sender.flush();
    }
}

impl Intake {
    pub(super) fn bell(&self) -> Arc<ThreadBell> {
        self.bell.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(Receiver::is_empty)
    }

    /// Takes what is there, in the order of each shard, up to the bounds of a batch. Does not wait.
    pub(super) fn take(&mut self, entries: &mut Vec<Entry>, entries_max: usize, bytes_max: usize) {
        let shards = self.queues.len().max(1);
        let share = entries_max.div_ceil(shards);
        let mut bytes = 0;
        for turn in 0..shards {
            let Some(queue) = self.queues.get_mut((self.first + turn) % shards) else {
                return;
            };
            for _ in 0..share {
                if bytes >= bytes_max || entries.len() >= entries_max {
                    break;
                }
                let Some(entry) = queue.pop() else { break };
                bytes += payload_bytes(&entry);
                entries.push(entry);
            }
        }
        self.first = (self.first + 1) % shards;
    }
}

fn payload_bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Command(command) => match &command.body {
            CommandBody::Send { payload, .. } => payload.len(),
            CommandBody::Delivered { .. } | CommandBody::Read { .. } => 0,
        },
        Entry::Inbox(_) => 0,
    }
}
