//! Partitions as vectors, shared by everybody who holds a clone: appenders of gateways, owners of partitions.
//!
//! Like the real log: virtual partitions share fewer real ones, so the positions one of them sees have holes; an append
//! is one envelope with one offset; the append time is the log's own. Faults are ordered one at a time.

use super::clock::Clock;
use crate::log::{Appender, Full, Log, LogError, Logged, Topic};
use crate::mesh::Bell;
use crate::{Entry, Position, VirtualPartition};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Mutex<Shared>>,
}

/// What happens to the next append of a [`Log`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppendFault {
    /// Entries that are in the log all the same; `usize::MAX` for an error although everything was written.
    pub written: usize,
}

impl MemoryLog {
    /// Real partitions are 1 to 256 in number.
    pub fn new(real_partitions: u16, clock: Arc<dyn Clock>) -> Self {
        assert!((1..=256).contains(&real_partitions));
        Self {
            shared: Arc::new(Mutex::new(Shared {
                real_partitions,
                clock,
                epoch: 1,
                next_offsets: BTreeMap::new(),
                partitions: BTreeMap::new(),
                append_faults: VecDeque::new(),
                read_faults: VecDeque::new(),
                bells: Vec::new(),
            })),
        }
    }

    /// A gateway's end, which holds at most `entries_max` between two flushes.
    pub fn appender(&self, entries_max: usize) -> MemoryAppender {
        MemoryAppender {
            log: self.clone(),
            queued: Vec::new(),
            entries_max,
        }
    }

    /// Rings after every append.
    pub fn ring_on_append(&self, bell: Arc<dyn Bell>) {
        self.lock().bells.push(bell);
    }

    /// Orders faults of the next appends, first in, first out.
    pub fn fail_append(&self, fault: AppendFault) {
        self.lock().append_faults.push_back(fault);
    }

    /// Orders the answer to the next read.
    pub fn fail_read(&self, error: LogError) {
        self.lock().read_faults.push_back(error);
    }

    /// Later positions carry the next epoch, and offsets start again.
    pub fn switch_epoch(&self) {
        let mut shared = self.lock();
        shared.epoch += 1;
        shared.next_offsets.clear();
    }

    /// Forgets everything up to `position`, this included.
    pub fn truncate(&self, topic: Topic, partition: VirtualPartition, position: Position) {
        let mut shared = self.lock();
        let kept = shared.partitions.entry((topic, partition)).or_default();
        let end = kept
            .entries
            .partition_point(|logged| logged.position <= position);
        kept.entries.drain(..end);
        kept.forgotten = kept.forgotten.max(position);
    }

    /// Everything of a partition that is still there, for the checks of a test.
    pub fn entries(&self, topic: Topic, partition: VirtualPartition) -> Vec<Logged> {
        let shared = self.lock();
        let kept = shared.partitions.get(&(topic, partition));
        kept.map_or_else(Vec::new, |kept| kept.entries.clone())
    }

    /// Every change leaves the log whole, so a panic elsewhere under the lock does no harm.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for MemoryLog {
    fn read(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        after: Position,
        max: usize,
    ) -> Result<Vec<Logged>, LogError> {
        let mut shared = self.lock();
        if let Some(error) = shared.read_faults.pop_front() {
            return Err(error);
        }
        let Some(kept) = shared.partitions.get(&(topic, partition)) else {
            return Ok(Vec::new());
        };
        if after < kept.forgotten {
            return Err(LogError::Truncated {
                topic,
                partition,
                after,
            });
        }
        let start = kept
            .entries
            .partition_point(|logged| logged.position <= after);
        Ok(kept.entries[start..].iter().take(max).cloned().collect())
    }

    fn append(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        entries: &[Entry],
    ) -> Result<(), LogError> {
        for entry in entries {
            assert_eq!((entry.topic(), entry.partition()), (topic, partition));
        }
        let mut shared = self.lock();
        let fault = shared.append_faults.pop_front();
        let written = fault.map_or(entries.len(), |fault| fault.written.min(entries.len()));
        shared.append_envelope(topic, &entries[..written]);
        shared.bells.iter().for_each(|bell| bell.ring());
        match fault {
            None => Ok(()),
            Some(fault) => Err(LogError::Append(format!("ordered by a test: {fault:?}"))),
        }
    }
}

/// The uplink of one shard.
#[derive(Debug)]
pub struct MemoryAppender {
    log: MemoryLog,
    queued: Vec<Entry>,
    entries_max: usize,
}

impl Appender for MemoryAppender {
    fn append(&mut self, entry: Entry) -> Result<(), Full> {
        if self.queued.len() >= self.entries_max {
            return Err(Full(entry));
        }
        self.queued.push(entry);
        Ok(())
    }

    fn flush(&mut self) {
        if self.queued.is_empty() {
            return;
        }
        let mut shared = self.log.lock();
        let mut envelopes: BTreeMap<(Topic, u16), Vec<Entry>> = BTreeMap::new();
        for entry in self.queued.drain(..) {
            let real = shared.real_partition(entry.partition());
            envelopes
                .entry((entry.topic(), real))
                .or_default()
                .push(entry);
        }
        for ((topic, _), entries) in envelopes {
            shared.append_envelope(topic, &entries);
        }
        shared.bells.iter().for_each(|bell| bell.ring());
    }
}

#[derive(Debug)]
struct Shared {
    real_partitions: u16,
    clock: Arc<dyn Clock>,
    epoch: u32,
    /// By topic and real partition.
    next_offsets: BTreeMap<(Topic, u16), u64>,
    partitions: BTreeMap<(Topic, VirtualPartition), Kept>,
    append_faults: VecDeque<AppendFault>,
    read_faults: VecDeque<LogError>,
    bells: Vec<Arc<dyn Bell>>,
}

/// One virtual partition.
#[derive(Default, Debug)]
struct Kept {
    entries: Vec<Logged>,
    /// The last position that was cut off; [`Position::ZERO`] when all is there.
    forgotten: Position,
}

impl Shared {
    fn real_partition(&self, partition: VirtualPartition) -> u16 {
        u16::from(partition.0) % self.real_partitions
    }

    /// Entries of one real partition.
    fn append_envelope(&mut self, topic: Topic, entries: &[Entry]) {
        let Some(first) = entries.first() else {
            return;
        };
        let real = self.real_partition(first.partition());
        let next = self.next_offsets.entry((topic, real)).or_default();
        let offset = *next;
        *next += 1;
        let append_ms = self.clock.now_ms();
        for (entry, index) in entries.iter().zip(0..) {
            let position = Position {
                epoch: self.epoch,
                offset,
                index,
            };
            let kept = self
                .partitions
                .entry((topic, entry.partition()))
                .or_default();
            kept.entries.push(Logged {
                position,
                append_ms,
                entry: entry.clone(),
            });
        }
    }
}
