//! The rows of the store. A *unit* is what is written atomically with the position it reflects:
//!
//! | unit | rows | its position |
//! | --- | --- | --- |
//! | a conversation's messages | [`HistoryRow`] per message, [`DedupRow`] per message | that of its newest history row |
//! | a conversation's marks | one [`MarksRow`] | in the row |
//! | a user's inbox | [`InboxRow`] per message | that of its newest inbox row |
//! | a user's devices | one [`UserRow`] | in the row |
//! | a partition of a stage | one [`PartitionRow`], written after the others | it is the position |
//!
//! So a message costs four rows and no head has to be rewritten: heads are the newest rows. What moves often and matters
//! little (marks, cursors) is written less often than it changes, and the partition's consumed position waits for it.

use crate::{ConversationKey, Message, Position, VirtualPartition};
use millpond_wire::{DeviceId, UserId};

/// One message of a conversation: key (conversation, seq).
#[derive(Clone, PartialEq, Debug)]
pub struct HistoryRow {
    pub position: Position,
    pub message: Message,
}

/// Scope of a client message id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DedupKey {
    pub conversation: ConversationKey,
    pub user: UserId,
    pub device: DeviceId,
    pub client_msg_id: u64,
}

impl DedupKey {
    pub fn of(message: &Message) -> Self {
        Self {
            conversation: message.conversation,
            user: message.sender,
            device: message.device,
            client_msg_id: message.client_msg_id,
        }
    }
}

/// The first result of a client message id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DedupRow {
    pub seq: u64,
    pub server_ms: u64,
    /// Of kind and payload.
    pub hash: u32,
}

impl DedupRow {
    pub fn of(message: &Message, hash: u32) -> Self {
        Self {
            seq: message.seq,
            server_ms: message.server_ms,
            hash,
        }
    }
}

/// Delivered and read positions of a conversation: key (conversation).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarksRow {
    pub position: Position,
    /// Grows with every change, so that a client can ask for what it missed.
    pub version: u64,
    /// By user id, ascending.
    pub members: Vec<MemberMarks>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberMarks {
    pub user: UserId,
    pub delivered: u64,
    pub read: u64,
}

/// A pointer from an inbox to history: key (user, cursor).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InboxRow {
    pub position: Position,
    pub conversation: ConversationKey,
    pub seq: u64,
}

/// What a user's devices have: key (user).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserRow {
    pub position: Position,
    /// Added to the store's epoch: how often this inbox alone was reset.
    pub resets: u32,
    /// By device id, ascending; at most [`DEVICES_MAX`].
    pub devices: Vec<DeviceCursor>,
}

/// Devices remembered per user; the one with the lowest cursor is forgotten first.
pub const DEVICES_MAX: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceCursor {
    pub device: DeviceId,
    pub cursor: u64,
}

/// Which half of the router a partition belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    Conversations,
    Inboxes,
}

/// How far a partition has been consumed: key (stage, partition).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionRow {
    /// Everything up to here, this included, is reflected in the rows, and all it emitted is durable.
    pub consumed: Position,
    pub time_ms: u64,
    /// Of the inbox stage: per source partition the last (position, emission) taken, ascending by partition.
    pub high_water: Vec<HighWater>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HighWater {
    pub partition: VirtualPartition,
    pub position: Position,
    pub emission: u32,
}
