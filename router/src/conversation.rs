//! The conversation machine: puts the messages of one conversation in order, once each, and keeps its marks.
//!
//! A record goes in with its stamp, exactly one [`Outcome`] comes out. The machine never reads a clock or a store: what
//! it has to know beyond its state is named by [`Conversation::lookups`] and given to [`Conversation::step`]. Called by
//! both drivers; equal records after equal rows give equal outcomes, which is what makes a replay harmless.
//!
//! Two units of rows come from it, each with its own position: the messages and the marks.

mod known;
mod marks;

pub use marks::MarkHint;

use crate::digest::digest;
use known::KnownDevices;
use millpond_backplane::position::Stamp;
use millpond_backplane::row::{DedupKey, DedupRow, HistoryRow, MarksRow};
use millpond_backplane::{Command, CommandBody, ConversationKey, Message, Position};
use millpond_wire::{Ack, AckStatus, Code, DeviceId, PAYLOAD_BYTES_MAX, UserId};

/// What an operator may set about conversations. Both drivers of one installation must agree on it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// For how long a client message id is remembered, in milliseconds of the log's time.
    pub dedup_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            dedup_ms: 30 * 24 * 60 * 60 * 1000,
        }
    }
}

/// The state of one conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    key: ConversationKey,
    head: Head,
    marks: MarksRow,
    known: KnownDevices,
}

/// The newest message.
#[derive(Clone, Copy, Debug)]
struct Head {
    seq: u64,
    server_ms: u64,
    position: Position,
}

/// What has to be read before [`Conversation::step`] can take a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lookups {
    /// The dedup row of the command's own id.
    pub id: Option<DedupKey>,
    /// The dedup row of the id it wants to come after.
    pub after: Option<DedupKey>,
    /// The position of the message with this sequence.
    pub seq: Option<u64>,
}

/// The answers to [`Lookups`]: `None` where nothing was asked or nothing was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    pub id: Option<DedupRow>,
    pub after: Option<DedupRow>,
    pub seq: Option<Position>,
}

/// What one command leads to.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// A new message: a row for history, one emission per member, and an ack for its sender.
    Sequenced { message: Message, hash: u32 },
    /// The message is in history already; the ack repeats the first result.
    Duplicate(Ack),
    /// The sender is told why not; nothing else happens.
    Refused(Code),
    /// A mark moved: the marks unit changed, and others may want to know.
    Marked(MarkHint),
    /// Nothing changed and nobody is told.
    Unchanged,
}

impl Conversation {
    /// The state that these rows describe; no rows, no messages yet.
    pub fn from_rows(
        key: ConversationKey,
        head: Option<&HistoryRow>,
        marks: Option<MarksRow>,
    ) -> Self {
        let head = head.map_or(Head::NONE, Head::of_row);
        let known = if head.seq == 0 {
            KnownDevices::of_empty_conversation()
        } else {
            KnownDevices::default()
        };
        Self {
            key,
            head,
            marks: marks.unwrap_or_else(|| marks::none_yet(key)),
            known,
        }
    }

    /// Whether [`Self::learn`] has to be called before a SEND of this device.
    pub fn knows(&self, user: UserId, device: DeviceId) -> bool {
        self.known.has(user, device)
    }

    /// Takes the highest client message id of a device that has a dedup row.
    pub fn learn(&mut self, user: UserId, device: DeviceId, highest: Option<u64>) {
        self.known.learn(user, device, highest);
    }

    /// What must be looked up for a command at `position`.
    pub fn lookups(&self, position: Position, command: &Command) -> Lookups {
        match &command.body {
            CommandBody::Send {
                from,
                client_msg_id,
                after,
                ..
            } => {
                let key = |client_msg_id| DedupKey {
                    conversation: self.key,
                    user: from.user,
                    device: from.device,
                    client_msg_id,
                };
                let known = &self.known;
                let id = Some(*client_msg_id).filter(|id| !known.is_new(from, *id));
                let after =
                    after.filter(|id| !known.is_new(from, *id) && !known.is_last(from, *id));
                Lookups {
                    id: id.map(key),
                    after: after.map(key),
                    seq: None,
                }
            }
            CommandBody::Delivered { up_to, .. } | CommandBody::Read { up_to, .. } => Lookups {
                seq: Some(*up_to)
                    .filter(|seq| self.head.is_ahead_of(position) && *seq <= self.head.seq),
                ..Lookups::default()
            },
        }
    }

    /// Takes one command. `found` answers [`Self::lookups`] of the same command in the same state.
    pub fn step(
        &mut self,
        rules: &Rules,
        stamp: Stamp,
        command: &Command,
        found: &Found,
    ) -> Outcome {
        assert_eq!(
            command.conversation, self.key,
            "a command of another conversation"
        );
        match &command.body {
            CommandBody::Send { .. } => self.send(rules, stamp, command, found),
            CommandBody::Delivered { user, up_to } => {
                self.mark(stamp, found, MarkHint::delivered(self.key, *user, *up_to))
            }
            CommandBody::Read { user, up_to } => {
                self.mark(stamp, found, MarkHint::read(self.key, *user, *up_to))
            }
        }
    }

    /// Whether the rows this state came from have seen the command at `position` already: then all its effects are
    /// durable, and it must be skipped.
    pub fn reflects(&self, position: Position, command: &Command) -> bool {
        match command.body {
            CommandBody::Send { .. } => self.head.position >= position,
            CommandBody::Delivered { .. } | CommandBody::Read { .. } => {
                self.marks.position >= position
            }
        }
    }

    /// The marks unit as it stands.
    pub fn marks(&self) -> &MarksRow {
        &self.marks
    }

    fn send(&mut self, rules: &Rules, stamp: Stamp, command: &Command, found: &Found) -> Outcome {
        let CommandBody::Send {
            from,
            client_msg_id,
            after,
            kind,
            payload,
        } = &command.body
        else {
            unreachable!("the caller matched a SEND")
        };
        if let Err(code) = admit(command) {
            return Outcome::Refused(code);
        }
        let hash = digest(*kind, payload);
        if let Some(first) = self.seen(found.id) {
            return repeated(rules, stamp, first, hash, *client_msg_id);
        }
        let after_is_known = |id| self.known.is_last(from, id) || self.seen(found.after).is_some();
        if after.is_some_and(|id| !after_is_known(id)) {
            return Outcome::Refused(Code::OUT_OF_ORDER);
        }
        self.head = self.head.next(stamp);
        self.known.accept(from, *client_msg_id);
        let message = Message {
            conversation: self.key,
            seq: self.head.seq,
            sender: from.user,
            device: from.device,
            client_msg_id: *client_msg_id,
            server_ms: self.head.server_ms,
            kind: *kind,
            payload: payload.clone(),
        };
        Outcome::Sequenced { message, hash }
    }

    /// A dedup row beyond the head was written by another owner that is ahead of us in the same log: it says nothing
    /// about the record at hand, which we shall sequence just as that owner did.
    fn seen(&self, row: Option<DedupRow>) -> Option<DedupRow> {
        row.filter(|row| row.seq <= self.head.seq)
    }

    fn mark(&mut self, stamp: Stamp, found: &Found, hint: MarkHint) -> Outcome {
        // On replay history may be ahead of this record: what counts is what stood there when it first came by.
        let exists = match found.seq {
            Some(position) => position < stamp.position,
            None => !self.head.is_ahead_of(stamp.position),
        };
        if !exists || hint.up_to > self.head.seq {
            return Outcome::Unchanged;
        }
        if marks::raise(&mut self.marks, stamp.position, hint) {
            Outcome::Marked(hint)
        } else {
            Outcome::Unchanged
        }
    }
}

/// What can be said about a command without any state. A driver asks before it loads anything, so that refused
/// commands cannot fill its caches.
pub fn admit(command: &Command) -> Result<(), Code> {
    let author = match &command.body {
        CommandBody::Send { from, payload, .. } => {
            if payload.len() > PAYLOAD_BYTES_MAX {
                return Err(Code::TOO_LARGE);
            }
            from.user
        }
        CommandBody::Delivered { user, .. } | CommandBody::Read { user, .. } => *user,
    };
    match command.conversation {
        // Groups come with their own records; until then no group exists.
        ConversationKey::Group(_) => Err(Code::NOT_FOUND),
        ConversationKey::Direct(low, high) if author == low || author == high => Ok(()),
        ConversationKey::Direct(..) => Err(Code::FORBIDDEN),
    }
}

/// The members of a conversation in order of user id: each gets one emission per message, numbered in this order.
pub fn members(key: ConversationKey) -> impl Iterator<Item = UserId> {
    let (first, second) = match key {
        ConversationKey::Direct(low, high) => (Some(low), Some(high).filter(|high| *high != low)),
        ConversationKey::Group(_) => (None, None),
    };
    first.into_iter().chain(second)
}

/// The ack of a new message.
pub fn ack(message: &Message) -> Ack {
    Ack {
        client_msg_id: message.client_msg_id,
        status: AckStatus::New,
        seq: message.seq,
        server_ms: message.server_ms,
    }
}

fn repeated(
    rules: &Rules,
    stamp: Stamp,
    first: DedupRow,
    hash: u32,
    client_msg_id: u64,
) -> Outcome {
    if stamp.time_ms.saturating_sub(first.server_ms) > rules.dedup_ms {
        return Outcome::Refused(Code::TOO_OLD);
    }
    if first.hash != hash {
        return Outcome::Refused(Code::ID_REUSED);
    }
    Outcome::Duplicate(Ack {
        client_msg_id,
        status: AckStatus::Duplicate,
        seq: first.seq,
        server_ms: first.server_ms,
    })
}

impl Head {
    const NONE: Self = Self {
        seq: 0,
        server_ms: 0,
        position: Position::ZERO,
    };

    fn of_row(row: &HistoryRow) -> Self {
        Self {
            seq: row.message.seq,
            server_ms: row.message.server_ms,
            position: row.position,
        }
    }

    fn next(self, stamp: Stamp) -> Self {
        Self {
            seq: self.seq + 1,
            server_ms: self.server_ms.max(stamp.time_ms),
            position: stamp.position,
        }
    }

    fn is_ahead_of(self, position: Position) -> bool {
        self.position > position
    }
}
