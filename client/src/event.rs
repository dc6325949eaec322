//! What the application is told.

use millpond_wire::{Code, Conversation, DeviceId, Kind, MarkKind, Origin, Record, UserId};
use std::time::Duration;

/// One thing the application is told, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server has let this device in.
    Connected {
        /// The server's name of this session, for support.
        session: u64,
    },
    /// The connection, or the attempt to make one, has ended; the next attempt follows by itself.
    Disconnected {
        why: Why,
        /// Until the next attempt.
        retry_in: Duration,
    },
    /// Everything that was in the inbox has been handed over: the application is up to date.
    Synced,
    /// A message of the inbox. Within one process each comes once, in the order of the inbox.
    Message(Message),
    /// An enqueued message is durable (not told where [`crate::Client::send`] waits for it).
    Sent(Sent),
    /// An enqueued message was refused and will not be repeated.
    Failed {
        client_msg_id: u64,
        conversation: Conversation,
        code: Code,
        message: String,
    },
    /// `user` has got, or read, everything of `conversation` up to `up_to`. A hint: cumulative, may repeat.
    Receipt {
        kind: ReceiptKind,
        conversation: Conversation,
        up_to: u64,
        user: Option<UserId>,
    },
    /// The inbox has a new epoch, or older parts are gone: drop what was received in another epoch or above `head`.
    Reset {
        epoch: u64,
        head: u64,
        /// One of the constants of `wire::Reset`, or 0 when the client itself found its cursor unusable.
        reason: u8,
    },
    /// The last event: nothing more will be tried.
    Stopped { why: Stop },
}

/// A message of the inbox or of a conversation's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub conversation: Conversation,
    /// Place in the conversation: 1, 2, 3, … the same for everybody.
    pub seq: u64,
    /// Place in this user's inbox, within `epoch`; 0 in a page of history.
    pub cursor: u64,
    pub epoch: u64,
    pub kind: Kind,
    pub payload: Vec<u8>,
    /// Unix milliseconds of the server.
    pub server_ms: u64,
    /// On my own messages: the device that sent it, and under which id.
    pub origin: Option<Origin>,
    /// This device sent it, and the server left the payload out.
    pub stub: bool,
    /// Counts as unread.
    pub counts: bool,
    /// Named in groups only; see [`Message::author`].
    pub sender: Option<UserId>,
}

impl Message {
    /// Who wrote it; `None` means me.
    pub fn author(&self) -> Option<UserId> {
        match (self.origin, self.conversation) {
            (Some(_), _) => None,
            (None, Conversation::Direct(peer)) => Some(peer),
            (None, Conversation::Group(_)) => self.sender,
        }
    }

    /// Whether `device` sent it.
    pub fn is_from_device(&self, device: DeviceId) -> bool {
        self.origin.is_some_and(|origin| origin.device == device)
    }

    pub(crate) fn of(record: &Record<'_>, epoch: u64, cursor: u64) -> Self {
        Self {
            conversation: record.conversation,
            seq: record.seq,
            cursor,
            epoch,
            kind: record.kind,
            payload: record.payload.to_vec(),
            server_ms: record.server_ms,
            origin: record.origin,
            stub: record.stub,
            counts: record.counts,
            sender: record.sender,
        }
    }
}

/// The acknowledgement of one message: it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub client_msg_id: u64,
    pub conversation: Conversation,
    /// Place in the conversation.
    pub seq: u64,
    /// Unix milliseconds of the server.
    pub server_ms: u64,
    /// An earlier SEND of the same id had been taken already.
    pub duplicate: bool,
}

/// One page of a conversation's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Newest first for `From::Before`, oldest first for `From::After`.
    pub messages: Vec<Message>,
    /// Nothing lies beyond.
    pub end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    Delivered,
    Read,
    Played,
}

impl std::convert::From<MarkKind> for ReceiptKind {
    fn from(kind: MarkKind) -> Self {
        match kind {
            MarkKind::Delivered => Self::Delivered,
            MarkKind::Read => Self::Read,
            MarkKind::Played => Self::Played,
        }
    }
}

/// Why a connection ended that will be made again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server refused: {code} {message}")]
    Refused { code: Code, message: String },
    #[error("the server sends its clients away: {code}")]
    GoAway { code: Code },
    #[error("the server did not answer in time")]
    Silent,
    #[error("the server sent bytes that make no sense: {code} ({detail})")]
    Malformed { code: Code, detail: String },
    #[error("no token: {0}")]
    Token(String),
    #[error("the application asked for it")]
    Asked,
}

/// Why nothing more is tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("closed by the application")]
    Closed,
    #[error("the server refused: {code} {message}")]
    Refused { code: Code, message: String },
    #[error("the server saw a protocol fault, please report it: {code} {message}")]
    Fault { code: Code, message: String },
    #[error("no token that the server takes: {0}")]
    Token(String),
    #[error("the state of this device could not be saved: {0}")]
    Storage(String),
}
