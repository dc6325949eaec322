//! The inbox machine: gives what reaches one user a gap-free cursor, and keeps what each device has.
//!
//! A record goes in with its stamp, exactly one [`Outcome`] comes out. The machine never reads a clock or a store:
//! pointers it needs and no longer remembers are named by [`Inbox::missing`] and given back with [`Inbox::recall`].
//! Called by both drivers; equal records after equal rows give equal outcomes.
//!
//! Two units of rows come from it, each with its own position: the inbox and the devices.

mod devices;
mod tail;

use devices::Devices;
use millpond_backplane::position::Stamp;
use millpond_backplane::row::{InboxRow, UserRow};
use millpond_backplane::{
    Command, CommandBody, ConversationKey, InboxBody, InboxEntry, Message, Position,
};
use millpond_wire::{DeviceId, UserId};
use tail::Tail;

/// Pointers that one acknowledgement may cover. A device that has this many more than every other device is believed
/// in steps: its next acknowledgement, or the cursor in its next PING, takes the next step.
pub const COVERED_MAX: u64 = 1024;

/// The state of one user's inbox.
#[derive(Clone, Debug)]
pub struct Inbox {
    user: UserId,
    head: u64,
    position: Position,
    devices: Devices,
    tail: Tail,
}

/// Pointers with `after < cursor <= up_to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    pub after: u64,
    pub up_to: u64,
}

/// What one record leads to.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// A message has its place: a row, and a delivery to whoever is connected.
    Placed { cursor: u64, row: InboxRow },
    /// A device has more than before: the devices unit changed. Where it has more than every other device, the commands
    /// tell the conversations, in order of their keys.
    Acked { delivered: Vec<Command> },
    /// Cursors may have been reused: the devices unit changed, the inbox has a new epoch.
    Reset,
    /// Nothing changed.
    Unchanged,
}

impl Inbox {
    /// The state that these rows describe; no rows, an empty inbox.
    pub fn from_rows(user: UserId, head: Option<&(u64, InboxRow)>, row: Option<UserRow>) -> Self {
        let (head, position) =
            head.map_or((0, Position::ZERO), |(cursor, row)| (*cursor, row.position));
        Self {
            user,
            head,
            position,
            devices: Devices::from_row(row),
            tail: Tail::new(head),
        }
    }

    /// The pointers that have to be given to [`Self::recall`] before the entry at `position` can be taken.
    pub fn missing(&self, position: Position, body: &InboxBody) -> Option<Missing> {
        let (after, up_to) = match *body {
            InboxBody::Message { .. } => return None,
            InboxBody::Acked { cursor, .. } => {
                let best = self.devices.best();
                (best, cursor.min(self.head).min(best + COVERED_MAX))
            }
            // Only on replay, when the inbox is ahead of the record, is the head not answer enough.
            InboxBody::Ahead { cursor, .. } if self.position > position && cursor <= self.head => {
                (cursor.saturating_sub(1), cursor)
            }
            InboxBody::Ahead { .. } => return None,
        };
        let up_to = up_to.min(self.tail.first().saturating_sub(1));
        let is_missing = after < up_to && !self.tail.recalls(after, up_to);
        is_missing.then_some(Missing { after, up_to })
    }

    /// Takes pointers read for [`Self::missing`], ascending by cursor.
    pub fn recall(&mut self, pointers: &[(u64, InboxRow)]) {
        self.tail.recall(pointers);
    }

    /// A message for this user.
    pub fn place(
        &mut self,
        stamp: Stamp,
        conversation: ConversationKey,
        seq: u64,
    ) -> (u64, InboxRow) {
        self.head += 1;
        self.position = stamp.position;
        let row = InboxRow {
            position: stamp.position,
            conversation,
            seq,
        };
        self.tail.push(self.head, row);
        (self.head, row)
    }

    /// A device keeps everything up to `cursor`.
    pub fn acked(&mut self, stamp: Stamp, device: DeviceId, cursor: u64) -> Outcome {
        let best = self.devices.best();
        let covered = self.tail.between(best, cursor.min(best + COVERED_MAX));
        // On replay the inbox may be ahead of this record: what counts is what stood there when it first came by.
        let covered = covered.take_while(|(_, row)| row.position < stamp.position);
        let mut last = best;
        let mut reached: Vec<(ConversationKey, u64)> = Vec::new();
        for (pointer, row) in covered {
            last = pointer;
            tail::raise(&mut reached, row);
        }
        if !self.devices.raise(stamp.position, device, cursor.min(last)) {
            return Outcome::Unchanged;
        }
        self.tail.forget_up_to(self.devices.best());
        Outcome::Acked {
            delivered: self.delivered(reached),
        }
    }

    /// A device showed a cursor beyond the head, in the inbox epoch `epoch`; `store_epoch` is what resets are added to.
    pub fn ahead(&mut self, stamp: Stamp, store_epoch: u64, epoch: u64, cursor: u64) -> Outcome {
        let stood = cursor == 0
            || cursor <= self.head
                && (self.position < stamp.position || self.stood_at(stamp, cursor));
        if stood || epoch != self.epoch(store_epoch) {
            return Outcome::Unchanged;
        }
        self.devices.reset(stamp.position);
        Outcome::Reset
    }

    /// Takes one entry of any kind.
    pub fn step(&mut self, stamp: Stamp, store_epoch: u64, entry: &InboxEntry) -> Outcome {
        assert_eq!(entry.user, self.user, "an entry of another user");
        match &entry.body {
            InboxBody::Message {
                message: Message {
                    conversation, seq, ..
                },
                ..
            } => {
                let (cursor, row) = self.place(stamp, *conversation, *seq);
                Outcome::Placed { cursor, row }
            }
            InboxBody::Acked { device, cursor } => self.acked(stamp, *device, *cursor),
            InboxBody::Ahead { epoch, cursor, .. } => {
                self.ahead(stamp, store_epoch, *epoch, *cursor)
            }
        }
    }

    /// Whether the rows this state came from have seen the entry at `position` already.
    pub fn reflects(&self, position: Position, body: &InboxBody) -> bool {
        match body {
            InboxBody::Message { .. } => self.position >= position,
            InboxBody::Acked { .. } | InboxBody::Ahead { .. } => {
                self.devices.row().position >= position
            }
        }
    }

    /// Lets go of pointers beyond the bound, but keeps those at positions above `durable`: the store cannot be asked
    /// for them yet.
    pub fn trim(&mut self, durable: Position) {
        self.tail.trim(durable);
    }

    /// The devices unit as it stands.
    pub fn user_row(&self) -> &UserRow {
        self.devices.row()
    }

    /// The epoch of this inbox: what a client's cursor belongs to.
    pub fn epoch(&self, store_epoch: u64) -> u64 {
        store_epoch + u64::from(self.devices.row().resets)
    }

    fn stood_at(&self, stamp: Stamp, cursor: u64) -> bool {
        let mut pointer = self.tail.between(cursor - 1, cursor);
        pointer
            .next()
            .is_some_and(|(_, row)| row.position < stamp.position)
    }

    fn delivered(&self, mut reached: Vec<(ConversationKey, u64)>) -> Vec<Command> {
        reached.retain(|(key, _)| somebody_else_cares(*key));
        reached.sort_unstable();
        let tell = |(conversation, up_to)| Command {
            conversation,
            body: CommandBody::Delivered {
                user: self.user,
                up_to,
            },
        };
        reached.into_iter().map(tell).collect()
    }
}

fn somebody_else_cares(key: ConversationKey) -> bool {
    match key {
        ConversationKey::Direct(low, high) => low != high,
        ConversationKey::Group(_) => true,
    }
}
