//! The states in memory, and how they get there: shared by both drivers.
//!
//! A driver names what a batch of records touches ([`Wants`]), has it loaded in two reads at most, has rows looked up
//! in one more where a machine asks for some, and then steps record by record. What lies in batches that are not committed
//! yet is answered from here, never from the store. Nothing here decides; the machines do.

mod load;
mod lookup;
mod overlay;

pub(crate) use load::Wants;
pub(crate) use lookup::Rows;

use crate::cache::Cache;
use crate::conversation::{self, Conversation, Found, Rules};
use crate::inbox::{self, Inbox};
use millpond_backplane::position::Stamp;
use millpond_backplane::row::{DedupKey, DedupRow, InboxRow};
use millpond_backplane::store::{Store, StoreError, Write};
use millpond_backplane::{Command, ConversationKey, InboxEntry, Message, Position};
use millpond_wire::UserId;
use overlay::Overlay;

/// Bounds of the states in memory.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    pub conversations: usize,
    pub inboxes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            conversations: 1 << 18,
            inboxes: 1 << 18,
        }
    }
}

#[derive(Debug)]
pub(crate) struct World {
    rules: Rules,
    store_epoch: u64,
    batch: u64,
    conversations: Cache<ConversationKey, Kept<Conversation>>,
    inboxes: Cache<UserId, Kept<Inbox>>,
    overlay: Overlay,
}

/// The key of a row that is written less often than it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lagging {
    Marks(ConversationKey),
    User(UserId),
}

/// A state, and whether its lazily written row lags behind it.
#[derive(Debug)]
struct Kept<S> {
    state: S,
    dirty: bool,
}

impl<S> Kept<S> {
    fn clean(state: S) -> Self {
        Self {
            state,
            dirty: false,
        }
    }
}

/// The states are loaded before the records are taken: a miss here is our own error.
const LOADED: &str = "what a batch touches was loaded before it ran";

impl World {
    pub(crate) fn new(rules: Rules, limits: CacheLimits, store_epoch: u64, batch: u64) -> Self {
        Self {
            rules,
            store_epoch,
            batch,
            conversations: Cache::new(limits.conversations),
            inboxes: Cache::new(limits.inboxes),
            overlay: Overlay::default(),
        }
    }

    /// What follows belongs to this batch; numbers only grow.
    pub(crate) fn begin(&mut self, batch: u64) {
        assert!(batch > self.batch, "batch numbers grow");
        self.batch = batch;
    }

    /// Everything of the batches up to `batch` is in the store.
    pub(crate) fn committed(&mut self, batch: u64) {
        self.overlay.forget_up_to(batch);
        self.conversations.shrink(batch, |kept| kept.dirty);
        self.inboxes.shrink(batch, |kept| kept.dirty);
    }

    /// Feeds a command to its conversation. `rows` holds what was looked up for the batch; what an earlier command of
    /// the batch has made necessary is read now.
    pub(crate) fn command(
        &mut self,
        store: &dyn Store,
        stamp: Stamp,
        command: &Command,
        rows: &Rows,
    ) -> Result<conversation::Outcome, StoreError> {
        let kept = self.conversations.touch(&command.conversation, self.batch);
        let conversation = &mut kept.expect(LOADED).state;
        let lookups = conversation.lookups(stamp.position, command);
        let dedup = |key: Option<DedupKey>| match key.map(|key| (key, self.overlay.find(&key))) {
            None => Ok(None),
            Some((_, Some(row))) => Ok(Some(row)),
            Some((key, None)) => rows.dedup(store, key),
        };
        let found = Found {
            id: dedup(lookups.id)?,
            after: dedup(lookups.after)?,
            seq: match lookups.seq {
                None => None,
                Some(seq) => rows.position(store, command.conversation, seq)?,
            },
        };
        let outcome = conversation.step(&self.rules, stamp, command, &found);
        if let conversation::Outcome::Sequenced { message, hash } = &outcome {
            let row = DedupRow::of(message, *hash);
            self.overlay.insert(self.batch, DedupKey::of(message), row);
        }
        Ok(outcome)
    }

    /// Puts a message into an inbox.
    pub(crate) fn place(
        &mut self,
        stamp: Stamp,
        user: UserId,
        message: &Message,
        durable: Position,
    ) -> (u64, InboxRow) {
        let inbox = self.inbox(user);
        let placed = inbox.place(stamp, message.conversation, message.seq);
        inbox.trim(durable);
        placed
    }

    /// Feeds any other entry to its inbox. Pointers that an earlier entry of the batch has made necessary are read now.
    pub(crate) fn entry(
        &mut self,
        store: &dyn Store,
        stamp: Stamp,
        entry: &InboxEntry,
    ) -> Result<inbox::Outcome, StoreError> {
        let store_epoch = self.store_epoch;
        let inbox = self.inbox(entry.user);
        if let Some(missing) = inbox.missing(stamp.position, &entry.body) {
            inbox.recall(&lookup::pointers(store, entry.user, missing)?);
        }
        Ok(inbox.step(stamp, store_epoch, entry))
    }

    /// Whether the rows have seen this command already; its conversation is loaded.
    pub(crate) fn reflects_command(&self, position: Position, command: &Command) -> bool {
        let kept = self
            .conversations
            .peek(&command.conversation)
            .expect(LOADED);
        kept.state.reflects(position, command)
    }

    /// Whether the rows have seen this entry already; its inbox is loaded.
    pub(crate) fn reflects_entry(&self, position: Position, entry: &InboxEntry) -> bool {
        let kept = self.inboxes.peek(&entry.user).expect(LOADED);
        kept.state.reflects(position, &entry.body)
    }

    /// Notes that a row lags from now on; true when it did not before.
    pub(crate) fn soil(&mut self, key: Lagging) -> bool {
        let dirty = match key {
            Lagging::Marks(key) => {
                &mut self
                    .conversations
                    .touch(&key, self.batch)
                    .expect(LOADED)
                    .dirty
            }
            Lagging::User(user) => &mut self.inboxes.touch(&user, self.batch).expect(LOADED).dirty,
        };
        !std::mem::replace(dirty, true)
    }

    /// The row to be written with this batch, if it lags.
    pub(crate) fn clean(&mut self, key: Lagging) -> Option<Write> {
        match key {
            Lagging::Marks(conversation) => {
                let kept = self.conversations.touch(&conversation, self.batch)?;
                std::mem::take(&mut kept.dirty).then(|| Write::Marks {
                    conversation,
                    row: kept.state.marks().clone(),
                })
            }
            Lagging::User(user) => {
                let kept = self.inboxes.touch(&user, self.batch)?;
                std::mem::take(&mut kept.dirty).then(|| Write::User {
                    user,
                    row: kept.state.user_row().clone(),
                })
            }
        }
    }

    /// States in memory: conversations and inboxes.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.conversations.len(), self.inboxes.len())
    }

    fn inbox(&mut self, user: UserId) -> &mut Inbox {
        &mut self.inboxes.touch(&user, self.batch).expect(LOADED).state
    }
}
