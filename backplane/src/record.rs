//! What travels through the log: commands (ordered per conversation) and inbox entries (ordered per user).

use crate::log::Topic;
use crate::{Address, ConversationKey, Position, VirtualPartition};
use millpond_wire::{DeviceId, Kind, Origin, Record, UserId};
use std::sync::Arc;

/// One record of either topic.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    Command(Command),
    Inbox(InboxEntry),
}

impl Entry {
    pub fn topic(&self) -> Topic {
        match self {
            Self::Command(_) => Topic::Commands,
            Self::Inbox(_) => Topic::Inboxes,
        }
    }

    /// Where it belongs: a function of its key, so it needs no field of its own.
    pub fn partition(&self) -> VirtualPartition {
        match self {
            Self::Command(command) => VirtualPartition::of_conversation(command.conversation),
            Self::Inbox(entry) => VirtualPartition::of_user(entry.user),
        }
    }
}

/// Input of the conversation machine, in `commands[partition of the conversation]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    pub conversation: ConversationKey,
    pub body: CommandBody,
}

#[derive(Clone, PartialEq, Debug)]
pub enum CommandBody {
    /// A client's SEND. `from` names the author and the connection that waits for the answer.
    Send {
        from: Address,
        client_msg_id: u64,
        /// The id that must be known before this one is taken.
        after: Option<u64>,
        kind: Kind,
        payload: Arc<[u8]>,
    },
    /// `user` has everything up to `up_to` (from the inbox machine, when its best device acknowledged).
    Delivered { user: UserId, up_to: u64 },
    /// `user` has read everything up to `up_to` (a client's RECEIPT).
    Read { user: UserId, up_to: u64 },
}

/// Input of the inbox machine, in `inboxes[partition of the user]`.
#[derive(Clone, PartialEq, Debug)]
pub struct InboxEntry {
    pub user: UserId,
    pub body: InboxBody,
}

#[derive(Clone, PartialEq, Debug)]
pub enum InboxBody {
    /// A message for this user, emitted by the conversation machine.
    Message { source: Source, message: Message },
    /// A device keeps everything up to `cursor` (CURSOR_ACK, PING with cursor, HELLO with resume). Cumulative.
    Acked { device: DeviceId, cursor: u64 },
    /// A device showed a cursor beyond the head: cursors may have been reused, so the inbox takes a new epoch.
    Ahead {
        device: DeviceId,
        epoch: u64,
        cursor: u64,
    },
}

/// Which record emitted this, and as its how-manieth emission. Within one source partition sources only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Source {
    pub partition: VirtualPartition,
    pub position: Position,
    pub emission: u32,
}

/// A sequenced message, as history keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub conversation: ConversationKey,
    pub seq: u64,
    pub sender: UserId,
    pub device: DeviceId,
    pub client_msg_id: u64,
    pub server_ms: u64,
    pub kind: Kind,
    pub payload: Arc<[u8]>,
}

impl Message {
    /// In full, as the devices of `viewer` get it. Only those of the sender learn its origin, and only what another
    /// person wrote counts as unread.
    pub fn record_for(&self, viewer: UserId) -> Record<'_> {
        let mine = self.sender == viewer;
        Record {
            kind: self.kind,
            origin: mine.then_some(Origin {
                device: self.device,
                client_msg_id: self.client_msg_id,
            }),
            stub: false,
            counts: self.kind == Kind::TEXT && !mine,
            conversation: self.conversation.seen_by(viewer),
            seq: self.seq,
            sender: None,
            server_ms: self.server_ms,
            payload: &self.payload,
        }
    }

    /// Without its body, as the device that sent it gets it.
    pub fn stub(&self) -> Record<'_> {
        Record {
            stub: true,
            payload: &[],
            ..self.record_for(self.sender)
        }
    }
}
