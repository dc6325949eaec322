//! The seam to rows: history, inboxes, dedup, marks.
//!
//! The calls block, and take many keys at a time: the embedded driver answers from its tree, a Cassandra driver runs
//! the batch concurrently on a runtime of its own and returns when all is there. Neither shards nor anything else that
//! must not wait calls this; routers do, on threads of their own, and the gateways' pool of page readers.
//!
//! What a driver promises:
//! - One [`Write`] is atomic: readers and a crash see all of it or none. The embedded driver makes the whole batch
//!   atomic; a distributed one only each unit (all rows of one partition key, one mutation). Correctness rests on the
//!   unit alone.
//! - Rows are idempotent upserts stamped by position: writing the same unit again changes nothing, and an older write
//!   never wins over a newer one (Cassandra: the write timestamp comes from the position).
//! - [`Store::commit`] returns when the batch has the durability of the store's mode. Partition rows become visible
//!   only after all other rows of the batch.

use crate::row::{
    DedupKey, DedupRow, HistoryRow, InboxRow, MarksRow, PartitionRow, Stage, UserRow,
};
use crate::{ConversationKey, VirtualPartition};
use millpond_wire::{DeviceId, UserId};

/// Rows, read and written in batches.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Answers each read, in order.
    fn read(&self, reads: &[Read]) -> Result<Vec<Answer>, StoreError>;

    /// Writes all, in order; see the promises above.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Epoch of all inboxes in this store. Changes when cursors may have been reused: after an unclean end in a mode
    /// that does not sync, or when a backup was restored. The resets of an inbox (a `u32`) are added to it, and may have
    /// been lost with the rest, so the next one must not be one that this one can have reached.
    fn epoch(&self) -> u64;

    fn durability(&self) -> Durability;

    /// Whether readers see all of a [`Batch`] or none. Where only units are atomic, an inbox may point to a message that is
    /// not in the history yet.
    fn batches_are_atomic(&self) -> bool {
        true
    }
}

/// What `commit` has done when it returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Synced to the device: survives a power cut.
    Sync,
    /// Handed to the operating system, synced at an interval: a power cut loses at most that.
    Interval,
    /// Handed to the operating system: survives `kill -9`, not a power cut.
    Os,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// The newest message of a conversation.
    HistoryHead(ConversationKey),
    /// Messages with `after < seq`, ascending, at most `rows`, and none behind the one with which their payloads reach
    /// `bytes`: so a short answer is the end of the conversation only if they do not.
    HistoryAfter {
        conversation: ConversationKey,
        after: u64,
        rows: usize,
        bytes: usize,
    },
    /// Messages with `seq < before`, descending, bounded in the same way.
    HistoryBefore {
        conversation: ConversationKey,
        before: u64,
        rows: usize,
        bytes: usize,
    },
    /// One message.
    HistoryAt {
        conversation: ConversationKey,
        seq: u64,
    },
    Dedup(DedupKey),
    /// The highest client message id that has a dedup row in this scope: every higher id is new, without a read each.
    /// One backward seek, since dedup rows sort by (conversation, user, device, id).
    DedupHighest {
        conversation: ConversationKey,
        user: UserId,
        device: DeviceId,
    },
    Marks(ConversationKey),
    /// The newest cursor of an inbox.
    InboxHead(UserId),
    /// Pointers with `after < cursor`, ascending, at most `rows`.
    InboxAfter {
        user: UserId,
        after: u64,
        rows: usize,
    },
    User(UserId),
    Partition {
        stage: Stage,
        partition: VirtualPartition,
    },
}

/// The answer to the [`Read`] at the same place.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Of the four history reads.
    History(Vec<HistoryRow>),
    Dedup(Option<DedupRow>),
    DedupHighest(Option<u64>),
    Marks(Option<MarksRow>),
    /// (cursor, pointer), of the two inbox reads.
    Inbox(Vec<(u64, InboxRow)>),
    User(Option<UserRow>),
    Partition(Option<PartitionRow>),
}

/// One unit's rows; a later write of the same key in one batch wins.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// A message with its dedup row.
    Message {
        row: HistoryRow,
        hash: u32,
    },
    Marks {
        conversation: ConversationKey,
        row: MarksRow,
    },
    Inbox {
        user: UserId,
        cursor: u64,
        row: InboxRow,
    },
    User {
        user: UserId,
        row: UserRow,
    },
    Partition {
        stage: Stage,
        partition: VirtualPartition,
        row: PartitionRow,
    },
}

#[derive(Clone, PartialEq, Default, Debug)]
pub struct Batch {
    pub writes: Vec<Write>,
}

impl Batch {
    /// Rows this batch touches (a message is two).
    pub fn rows(&self) -> usize {
        self.writes
            .iter()
            .map(|write| {
                if matches!(write, Write::Message { .. }) {
                    2
                } else {
                    1
                }
            })
            .sum()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing of the batch may be assumed written, and the store takes no more: reopen it.
    #[error("the store failed: {0}")]
    Failed(String),
    /// A row does not decode: never skipped, never repaired silently.
    #[error("corrupt row in {table}: {what}")]
    Corrupt { table: &'static str, what: String },
}

/// Takes rows until their payloads reach a number of bytes: the bound of the history reads, for drivers and readers alike.
#[derive(Debug)]
pub struct PayloadBound {
    bytes_left: usize,
}

impl PayloadBound {
    pub fn new(bytes: usize) -> Self {
        Self { bytes_left: bytes }
    }

    /// Counts a row that was taken.
    pub fn take(&mut self, row: &HistoryRow) {
        self.bytes_left = self.bytes_left.saturating_sub(row.message.payload.len());
    }

    /// No row is taken any more.
    pub fn is_reached(&self) -> bool {
        self.bytes_left == 0
    }
}
