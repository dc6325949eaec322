//! The seam to the log: what gateways hand in, in order, and routers read.
//!
//! Built for Kafka: a record of the real log is an *envelope* of all entries that one tick of one producer brought for
//! one real partition; the identity of an entry is its [`Position`] (epoch, offset of the envelope, index in it), known
//! only to readers. 256 virtual partitions are a field of the entry; the driver maps them onto few real ones.
//! Four rules make effects exactly-once: positions only grow ([`Position`], [`Stamp`](crate::position::Stamp)); a machine
//! is a function of its partition's records, so a replay emits the same; a unit of rows carries its position and is
//! written only after everything emitted up to it is durable ([`crate::row`]); the inbox side drops what is at or below
//! the high-water mark of its source ([`crate::row::HighWater`]), so what a producer appends must be a prefix without gaps.

use crate::{Entry, Position, VirtualPartition};
use std::collections::BTreeMap;

/// Bytes of payloads that may wait between one shard and its router.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The gateway's end: one per shard, never waits.
pub trait Appender: Send + std::fmt::Debug {
    /// Queues one entry. `Full` gives it back: the client is told 2001 busy, and repeats.
    fn append(&mut self, entry: Entry) -> Result<(), Full>;

    /// End of a tick: what was queued may leave as one envelope per partition.
    fn flush(&mut self);
}

/// No room now; nothing of the entry was kept.
#[derive(Debug)]
pub struct Full(pub Entry);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    Commands,
    Inboxes,
}

/// The router's end: reads partitions it owns, and appends what its machines emit.
pub trait Log: Send + std::fmt::Debug {
    /// Entries behind `after`, at most `max`, in order. Empty at the end of the log. A position that the log no longer
    /// holds is an error, never a silent jump.
    fn read(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        after: Position,
        max: usize,
    ) -> Result<Vec<Logged>, LogError>;

    /// What follows `after` will be read: to be said of all partitions of an owner before the first read, so that a driver
    /// goes to its places once.
    fn begin(&mut self, topic: Topic, partition: VirtualPartition, after: Position) {
        let _no_need = (topic, partition, after);
    }

    /// How far this reader knows that nothing follows what it has given out of a partition: its neighbours in the same real
    /// partition have gone on without it. [`Position::ZERO`] when it does not know.
    fn passed(&self, topic: Topic, partition: VirtualPartition) -> Position {
        let _neither = (topic, partition);
        Position::ZERO
    }

    /// Appends some of these, whole partitions and at least one, and takes what is durable out of `entries`. As after
    /// [`Log::append`], any prefix of each partition may be there after an error.
    fn append_some(
        &mut self,
        topic: Topic,
        entries: &mut BTreeMap<VirtualPartition, Vec<Entry>>,
    ) -> Result<(), LogError> {
        match entries.pop_first() {
            Some((partition, entries)) => self.append(topic, partition, &entries),
            None => Ok(()),
        }
    }

    /// Appends entries of one virtual partition, in order, and returns when all are durable. After an error any prefix
    /// may have been appended: the owner of the partition stops, reopens and replays.
    fn append(
        &mut self,
        topic: Topic,
        partition: VirtualPartition,
        entries: &[Entry],
    ) -> Result<(), LogError>;
}

/// An entry as read.
#[derive(Clone, PartialEq, Debug)]
pub struct Logged {
    pub position: Position,
    /// The log's own time of the append, unix milliseconds.
    pub append_ms: u64,
    pub entry: Entry,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log no longer holds what follows {after:?} in {topic:?}/{partition:?}")]
    Truncated {
        topic: Topic,
        partition: VirtualPartition,
        after: Position,
    },
    #[error("append failed: {0}")]
    Append(String),
    /// Not now: whoever stops and opens again may find it back.
    #[error("the log cannot be read: {0}")]
    Unreadable(String),
    #[error("record at offset {offset} does not decode: {what}")]
    Corrupt { offset: u64, what: String },
}
