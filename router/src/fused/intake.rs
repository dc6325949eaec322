//! The queues from the shards to the writer: one per shard, bounded, never waiting.

use millpond_backplane::log::{Appender, Full, QUEUE_BYTES_MAX};
use millpond_backplane::mesh::{Receiver, ThreadBell, WeighedSender, channel};
use millpond_backplane::{CommandBody, Entry};
use std::sync::Arc;

/// One appender per shard, and the end that [`super::Fused::start`] takes. Each queue holds `capacity` records,
/// and [`QUEUE_BYTES_MAX`] of payloads.
pub fn intake(shards: usize, capacity: usize) -> (Vec<Box<dyn Appender>>, Intake) {
    let bell = Arc::new(ThreadBell::default());
    let mut appenders: Vec<Box<dyn Appender>> = Vec::with_capacity(shards);
    let mut queues = Vec::with_capacity(shards);
    for _ in 0..shards {
        let (sender, receiver) = channel(capacity, bell.clone());
        let sender = WeighedSender::new(sender, QUEUE_BYTES_MAX);
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
    sender: WeighedSender<Entry>,
}

impl Appender for ShardAppender {
    fn append(&mut self, entry: Entry) -> Result<(), Full> {
        if self.sender.is_closed() {
            return Err(Full(entry));
        }
        let bytes = payload_bytes(&entry);
        self.sender.push(entry, bytes).map_err(Full)
    }

    fn flush(&mut self) {
        self.sender.flush();
    }
}

impl Intake {
    pub(super) fn bell(&self) -> Arc<ThreadBell> {
        self.bell.clone()
    }

    /// Takes what is there, in the order of each shard, up to the bounds of a batch. Does not wait.
    pub(super) fn take(&mut self, entries: &mut Vec<Entry>, entries_max: usize, bytes_max: usize) {
        let shards = self.queues.len();
        let mut room = Room {
            entries: entries_max,
            bytes: bytes_max,
        };
        let mut found = true;
        while found && !room.is_used_up() {
            found = false;
            for turn in 0..shards {
                let queue = &mut self.queues[(self.first + turn) % shards];
                found |= room.fill(queue, entries);
            }
        }
        self.first = (self.first + 1) % shards.max(1);
    }
}

/// What a batch still takes.
struct Room {
    entries: usize,
    bytes: usize,
}

/// Records taken from one shard before the next one is asked.
const TURN_ENTRIES: usize = 64;

impl Room {
    fn is_used_up(&self) -> bool {
        self.entries == 0 || self.bytes == 0
    }

    /// Whether the queue had anything.
    fn fill(&mut self, queue: &mut Receiver<Entry>, entries: &mut Vec<Entry>) -> bool {
        let before = entries.len();
        for _ in 0..TURN_ENTRIES {
            if self.is_used_up() {
                break;
            }
            let Some(entry) = queue.pop() else { break };
            self.entries -= 1;
            self.bytes = self.bytes.saturating_sub(payload_bytes(&entry));
            entries.push(entry);
        }
        entries.len() > before
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

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_backplane::{Address, Command, ConversationKey, GatewayId, Handle};
    use millpond_wire::{DeviceId, Kind, PAYLOAD_BYTES_MAX, UserId};

    fn largest() -> Entry {
        let user = UserId::new(1).unwrap();
        let from = Address {
            gateway: GatewayId(1),
            gateway_epoch: 1,
            handle: Handle {
                shard: 0,
                slot: 0,
                generation: 0,
            },
            user,
            device: DeviceId(1),
        };
        Entry::Command(Command {
            conversation: ConversationKey::Direct(user, user),
            body: CommandBody::Send {
                from,
                client_msg_id: 1,
                after: None,
                kind: Kind::TEXT,
                payload: vec![0; PAYLOAD_BYTES_MAX].into(),
            },
        })
    }

    #[test]
    fn a_queue_is_full_by_bytes_too_and_what_is_taken_makes_room() {
        let (mut appenders, mut intake) = intake(1, 4_096);
        let most = QUEUE_BYTES_MAX / PAYLOAD_BYTES_MAX;
        let taken = (0..4_096).filter(|_| appenders[0].append(largest()).is_ok());
        assert_eq!(taken.count(), most);
        let mut entries = Vec::new();
        intake.take(&mut entries, 3, usize::MAX);
        let again = (0..10).filter(|_| appenders[0].append(largest()).is_ok());
        assert_eq!(again.count(), 3);
    }
}
