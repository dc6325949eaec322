//! Virtual partitions out of real ones.
//!
//! Pure. A [`Tap`] is one partition of a topic as one reader sees it: where Kafka has to read on, and a queue for each virtual
//! partition that somebody asked for. Each queue has places of its own: entries at or below its tail are dropped, so a tap
//! that moves back for one of them repeats nothing to the others.

use millpond_backplane::codec::decode_envelope;
use millpond_backplane::log::{LogError, Logged, Topic};
use millpond_backplane::{Position, VirtualPartition};
use std::collections::{BTreeMap, VecDeque};

/// A partition of a topic of Kafka.
pub(crate) type Name = (Topic, i32);

/// What a queued entry counts beside its share of the record's bytes.
const ENTRY_BYTES: usize = 128;

#[derive(Debug)]
pub(crate) struct Demux {
    epoch: u32,
    bytes_max: usize,
    taps: BTreeMap<Name, Tap>,
}

#[derive(Default, Debug)]
pub(crate) struct Tap {
    /// The record that is wanted next.
    pub(crate) next: u64,
    /// Kafka does not know of it yet.
    pub(crate) moved: bool,
    /// The first record that there still is.
    pub(crate) first: u64,
    pub(crate) paused: bool,
    /// `next` when it was last looked at whether the tap stands still.
    pub(crate) seen: u64,
    bytes: usize,
    queues: BTreeMap<VirtualPartition, Queue>,
}

#[derive(Debug)]
struct Queue {
    /// Everything up to here was taken.
    head: Position,
    /// Everything up to here was taken or is queued.
    tail: Position,
    items: VecDeque<Item>,
}

#[derive(Debug)]
enum Item {
    Entry { logged: Logged, bytes: usize },
    Corrupt { offset: u64, what: String },
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Entry { bytes, .. } => *bytes,
            Self::Corrupt { .. } => ENTRY_BYTES,
        }
    }

    /// The last position that it stands for.
    fn position(&self, epoch: u32) -> Position {
        match self {
            Self::Entry { logged, .. } => logged.position,
            Self::Corrupt { offset, .. } => Position::end_of(epoch, *offset),
        }
    }
}

impl Demux {
    pub(crate) fn new(epoch: u32, bytes_max: usize) -> Self {
        Self {
            epoch,
            bytes_max,
            taps: BTreeMap::new(),
        }
    }

    /// Entries behind `after` that are here, at most `max`. Empty when Kafka has to be asked.
    pub(crate) fn take(
        &mut self,
        topic: Topic,
        real: i32,
        partition: VirtualPartition,
        after: Position,
        max: usize,
    ) -> Result<Vec<Logged>, LogError> {
        let wanted = self.offset_of(topic, partition, after)?;
        let tap = self.taps.entry((topic, real)).or_insert_with(|| Tap {
            next: wanted,
            moved: true,
            ..Tap::default()
        });
        if tap.queue(partition, after) {
            tap.moved |= wanted < tap.next;
            tap.next = tap.next.min(wanted);
        }
        // Everything of the record that `after` stands in was there when it was read.
        let kept_from = wanted + u64::from(after.epoch == self.epoch);
        if kept_from < tap.first {
            return Err(LogError::Truncated {
                topic,
                partition,
                after,
            });
        }
        tap.take(partition, max)
    }

    /// The record in which what follows `after` may begin.
    fn offset_of(
        &self,
        topic: Topic,
        partition: VirtualPartition,
        after: Position,
    ) -> Result<u64, LogError> {
        if after.epoch > self.epoch {
            return Err(LogError::Unreadable(format!(
                "{after:?} of {topic:?}/{partition:?} is of a later epoch than this log's {}",
                self.epoch
            )));
        }
        let of_this = after.epoch == self.epoch;
        Ok(if of_this { after.offset } else { 0 })
    }

    /// A record of Kafka.
    pub(crate) fn record(
        &mut self,
        (topic, real): Name,
        offset: u64,
        append_ms: u64,
        payload: &[u8],
    ) -> Result<(), String> {
        let epoch = self.epoch;
        let Some(tap) = self.taps.get_mut(&(topic, real)) else {
            return Ok(());
        };
        // One that was on its way before the tap moved.
        if tap.moved || offset < tap.next {
            return Ok(());
        }
        tap.next = offset + 1;
        match decode_envelope(payload) {
            Ok(entries) => {
                let share = payload.len() / entries.len().max(1) + ENTRY_BYTES;
                for (entry, index) in entries.into_iter().zip(0..) {
                    let position = Position {
                        epoch,
                        offset,
                        index,
                    };
                    let partition = entry.partition();
                    let logged = Logged {
                        position,
                        append_ms,
                        entry,
                    };
                    let bytes = share;
                    tap.push(partition, epoch, Item::Entry { logged, bytes });
                }
                Ok(())
            }
            Err(error) => {
                let what = error.to_string();
                let all: Vec<_> = tap.queues.keys().copied().collect();
                for partition in all {
                    let what = what.clone();
                    tap.push(partition, epoch, Item::Corrupt { offset, what });
                }
                Err(what)
            }
        }
    }

    /// Where a queue that is empty has been passed by its neighbours.
    pub(crate) fn passed(&self, topic: Topic, real: i32, partition: VirtualPartition) -> Position {
        let tap = self.taps.get(&(topic, real)).filter(|tap| !tap.moved);
        let Some((tap, last)) = tap.and_then(|tap| Some((tap, tap.next.checked_sub(1)?))) else {
            return Position::ZERO;
        };
        match tap.queues.get(&partition) {
            Some(queue) if queue.items.is_empty() && queue.tail.offset <= last => {
                Position::end_of(self.epoch, last)
            }
            Some(_) | None => Position::ZERO,
        }
    }

    pub(crate) fn taps(&mut self) -> impl Iterator<Item = (&Name, &mut Tap)> {
        self.taps.iter_mut()
    }

    /// Taps that are to be read no further, and those that are again.
    pub(crate) fn flow(&mut self) -> (Vec<Name>, Vec<Name>) {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for (name, tap) in &mut self.taps {
            if !tap.paused && tap.bytes > self.bytes_max {
                tap.paused = true;
                pause.push(*name);
            } else if tap.paused && tap.bytes < self.bytes_max / 2 {
                tap.paused = false;
                resume.push(*name);
            }
        }
        (pause, resume)
    }
}

impl Tap {
    /// Puts the head of a queue to `after`; says whether Kafka may have to go back for it.
    fn queue(&mut self, partition: VirtualPartition, after: Position) -> bool {
        let mut new = false;
        let queue = self.queues.entry(partition).or_insert_with(|| {
            new = true;
            Queue {
                head: after,
                tail: after,
                items: VecDeque::new(),
            }
        });
        if new || after == queue.head {
            return new;
        }
        let back = after < queue.head;
        let epoch = after.epoch;
        let passed = if back {
            queue.items.len()
        } else {
            let passed = |item: &&Item| item.position(epoch) <= after;
            queue.items.iter().take_while(passed).count()
        };
        let bytes: usize = queue.items.drain(..passed).map(|item| item.bytes()).sum();
        self.bytes -= bytes;
        queue.head = after;
        queue.tail = if back { after } else { queue.tail.max(after) };
        back
    }

    fn push(&mut self, partition: VirtualPartition, epoch: u32, item: Item) {
        let Some(queue) = self.queues.get_mut(&partition) else {
            return;
        };
        let position = item.position(epoch);
        if position > queue.tail {
            queue.tail = position;
            self.bytes += item.bytes();
            queue.items.push_back(item);
        }
    }

    /// What stands before a record that does not decode comes first; then the error, until `after` is past it.
    fn take(&mut self, partition: VirtualPartition, max: usize) -> Result<Vec<Logged>, LogError> {
        let queue = self
            .queues
            .get_mut(&partition)
            .expect("it has just been made");
        if let (Some(Item::Corrupt { offset, what }), true) = (queue.items.front(), max > 0) {
            let (offset, what) = (*offset, what.clone());
            return Err(LogError::Corrupt { offset, what });
        }
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(Item::Entry { .. }) = queue.items.front()
            && let Some(Item::Entry { logged, bytes }) = queue.items.pop_front()
        {
            self.bytes -= bytes;
            queue.head = logged.position;
            taken.push(logged);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
