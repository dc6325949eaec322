//! What can happen in a history. Numbers are those of the system under test; `at` is any growing clock of the run, in
//! microseconds; `payload` is a 64-bit hash of kind and body.

use std::fmt;

/// A conversation with the same name on all sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversation {
    /// The lower user first.
    Direct(u64, u64),
    Group(u64),
}

impl Conversation {
    /// The conversation of two users; with oneself, notes to self.
    pub fn direct(one: u64, other: u64) -> Self {
        Self::Direct(one.min(other), one.max(other))
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(low, high) => write!(f, "direct {low}–{high}"),
            Self::Group(group) => write!(f, "group {group}"),
        }
    }
}

/// One step of a history. Steps of one device come in their order; beyond that, any order is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `user` may see `conversation` from the message after `after`. Only for groups; direct ones know their two.
    Member {
        conversation: Conversation,
        user: u64,
        after: u64,
    },
    /// A device sends, for the first time or again.
    Sent {
        user: u64,
        device: u64,
        id: u64,
        conversation: Conversation,
        payload: u64,
        at: u64,
    },
    /// And is told that the message is durable.
    Acked {
        user: u64,
        device: u64,
        id: u64,
        seq: u64,
        at: u64,
    },
    /// Or that it is refused for good.
    Refused {
        user: u64,
        device: u64,
        id: u64,
        code: u16,
        at: u64,
    },
    /// A device gets a record of its user's inbox.
    Delivered {
        user: u64,
        device: u64,
        epoch: u64,
        cursor: u64,
        conversation: Conversation,
        seq: u64,
        sender: u64,
        /// Of the user's own messages: device and client message id.
        origin: Option<(u64, u64)>,
        /// `None` for a stub.
        payload: Option<u64>,
        at: u64,
    },
    /// A device is told to drop what lies above `head`, and to go on in `epoch`.
    Reset {
        user: u64,
        device: u64,
        epoch: u64,
        head: u64,
        at: u64,
    },
    /// After quiet: this device has caught up and should hold everything.
    CaughtUp { user: u64, device: u64, at: u64 },
    /// `reader` finds a message in a page of history.
    History {
        reader: u64,
        conversation: Conversation,
        seq: u64,
        sender: u64,
        payload: u64,
        at: u64,
    },
    /// After quiet: all history of `conversation` was read, and `seq` is its last number.
    Head {
        conversation: Conversation,
        seq: u64,
        at: u64,
    },
}
