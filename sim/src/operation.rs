//! What clients can do: the place where every feature registers. A frame or a record that no operation brings about is
//! refused by the compiler in [`by_frame`], [`by_command`] and [`by_inbox`], and by a test that looks whether it was seen.

use millpond_backplane::{CommandBody, InboxBody};
use millpond_wire::Tag;

/// Something a client does. Of the SDK's devices first, then of a client that speaks the wire by hand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Operation {
    Send,
    SendMany,
    SendLarge,
    NoteToSelf,
    MarkRead,
    ReadHistory,
    Probe,
    Disconnect,
    /// Says BYE and comes back later.
    Close,
    /// Another device of a user.
    SecondDevice,
    /// The same user on a device without a past.
    Reinstall,
    Backup,
    /// An old backup on a device with a new id.
    Restore,
    /// A second connection of the same device.
    DuplicateLogin,
    RawSend,
    RawResend,
    RawResendStorm,
    RawOtherBody,
    /// Names an id before it that was never sent.
    RawAfterNothing,
    RawToGroup,
    RawSync,
    /// A cursor that nobody has given out.
    RawSyncAhead,
    RawCursorAck,
    RawReceipt,
    RawHistory,
    RawPing,
    RawPong,
    RawEcho,
    RawComplain,
    RawBye,
    RawGarbage,
}

impl Operation {
    pub const ALL: [Self; 31] = [
        Self::Send,
        Self::SendMany,
        Self::SendLarge,
        Self::NoteToSelf,
        Self::MarkRead,
        Self::ReadHistory,
        Self::Probe,
        Self::Disconnect,
        Self::Close,
        Self::SecondDevice,
        Self::Reinstall,
        Self::Backup,
        Self::Restore,
        Self::DuplicateLogin,
        Self::RawSend,
        Self::RawResend,
        Self::RawResendStorm,
        Self::RawOtherBody,
        Self::RawAfterNothing,
        Self::RawToGroup,
        Self::RawSync,
        Self::RawSyncAhead,
        Self::RawCursorAck,
        Self::RawReceipt,
        Self::RawHistory,
        Self::RawPing,
        Self::RawPong,
        Self::RawEcho,
        Self::RawComplain,
        Self::RawBye,
        Self::RawGarbage,
    ];

    /// Of the client that speaks by hand.
    pub fn is_raw(self) -> bool {
        self >= Self::RawSend
    }

    /// How often, beside the others, before a seed varies it.
    pub(crate) fn usual(self) -> u64 {
        match self {
            Self::Send => 60,
            Self::SendMany => 40,
            Self::RawSend => 16,
            Self::MarkRead | Self::NoteToSelf | Self::RawResend => 8,
            Self::ReadHistory | Self::RawSync | Self::RawCursorAck | Self::RawReceipt => 4,
            Self::SendLarge
            | Self::Probe
            | Self::Disconnect
            | Self::Close
            | Self::Backup
            | Self::RawResendStorm
            | Self::RawOtherBody
            | Self::RawAfterNothing
            | Self::RawToGroup
            | Self::RawHistory
            | Self::RawPing
            | Self::RawPong
            | Self::RawEcho => 2,
            Self::SecondDevice
            | Self::Reinstall
            | Self::Restore
            | Self::DuplicateLogin
            | Self::RawSyncAhead
            | Self::RawComplain
            | Self::RawBye
            | Self::RawGarbage => 1,
        }
    }
}

/// Which operations are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operations(u64);

impl Operations {
    pub const EVERY: Self = Self(u64::MAX);

    pub fn has(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }

    #[must_use]
    pub fn without(self, operation: Operation) -> Self {
        Self(self.0 & !(1 << operation as u8))
    }

    pub fn iter(self) -> impl Iterator<Item = Operation> {
        let all = Operation::ALL.into_iter();
        all.filter(move |operation| self.has(*operation))
    }
}

/// The operation that sends such a frame; `None` for what only a server says.
pub fn by_frame(tag: Tag) -> Option<Operation> {
    match tag {
        Tag::Ping => Some(Operation::RawPing),
        Tag::Pong => Some(Operation::RawPong),
        Tag::Hello => Some(Operation::DuplicateLogin),
        Tag::Error => Some(Operation::RawComplain),
        Tag::Bye => Some(Operation::Close),
        Tag::Echo => Some(Operation::RawEcho),
        Tag::Send => Some(Operation::Send),
        Tag::CursorAck => Some(Operation::RawCursorAck),
        Tag::Receipt => Some(Operation::MarkRead),
        Tag::Sync => Some(Operation::RawSync),
        Tag::History => Some(Operation::ReadHistory),
        Tag::Welcome
        | Tag::GoAway
        | Tag::Echoed
        | Tag::SendAck
        | Tag::Deliver
        | Tag::SyncDone
        | Tag::Reset
        | Tag::HistoryPage => None,
    }
}

/// The operation that leads to such a command, and its name.
pub fn by_command(body: &CommandBody) -> (Operation, &'static str) {
    match body {
        CommandBody::Send { .. } => (Operation::Send, "send"),
        CommandBody::Delivered { .. } => (Operation::RawCursorAck, "delivered"),
        CommandBody::Read { .. } => (Operation::MarkRead, "read"),
    }
}

/// The operation that leads to such an entry, and its name.
pub fn by_inbox(body: &InboxBody) -> (Operation, &'static str) {
    match body {
        InboxBody::Message { .. } => (Operation::Send, "message"),
        InboxBody::Acked { .. } => (Operation::RawCursorAck, "acked"),
        InboxBody::Ahead { .. } => (Operation::RawSyncAhead, "ahead"),
    }
}

/// Names of everything that [`by_command`] and [`by_inbox`] know.
pub const RECORDS: [&str; 6] = ["send", "delivered", "read", "message", "acked", "ahead"];
