//! Brings the states into memory that a batch of records touches: at most two reads for all that is missing.

use super::{Kept, World};
use crate::conversation::{Conversation, admit, members};
use crate::inbox::Inbox;
use millpond_backplane::row::{HistoryRow, InboxRow, MarksRow, UserRow};
use millpond_backplane::store::{Answer, Read, Store, StoreError};
use millpond_backplane::{Command, CommandBody, ConversationKey};
use millpond_wire::{DeviceId, UserId};
use std::vec::IntoIter;

/// What a batch of records touches. Bounded by the batch; used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    conversations: Vec<ConversationKey>,
    devices: Vec<(ConversationKey, UserId, DeviceId)>,
    inboxes: Vec<UserId>,
    /// Conversations that have messages, while the rest of them is read.
    heads: Vec<(ConversationKey, HistoryRow)>,
    reads: Vec<Read>,
}

impl Wants {
    /// The conversation of a command that will not be refused at the door.
    pub(crate) fn command(&mut self, world: &World, command: &Command) {
        let key = command.conversation;
        if admit(command).is_err() {
            return;
        }
        let known = world.conversations.peek(&key);
        if known.is_none() {
            self.conversations.push(key);
        }
        if let CommandBody::Send { from, .. } = &command.body
            && known.is_none_or(|kept| !kept.state.knows(from.user, from.device))
        {
            self.devices.push((key, from.user, from.device));
        }
    }

    /// The inboxes that a message of this command would reach.
    pub(crate) fn recipients(&mut self, world: &World, command: &Command) {
        if matches!(command.body, CommandBody::Send { .. }) && admit(command).is_ok() {
            for user in members(command.conversation) {
                self.inbox(world, user);
            }
        }
    }

    pub(crate) fn inbox(&mut self, world: &World, user: UserId) {
        if !world.inboxes.has(&user) {
            self.inboxes.push(user);
        }
    }

    fn heads_reads(&mut self) -> &[Read] {
        unique(&mut self.conversations);
        unique(&mut self.devices);
        unique(&mut self.inboxes);
        self.reads.clear();
        for key in &self.conversations {
            self.reads.push(Read::HistoryHead(*key));
        }
        for user in &self.inboxes {
            self.reads
                .extend([Read::InboxHead(*user), Read::User(*user)]);
        }
        &self.reads
    }

    fn rest_reads(&mut self) -> &[Read] {
        self.reads.clear();
        for (key, _) in &self.heads {
            self.reads.push(Read::Marks(*key));
        }
        for (conversation, user, device) in self.devices.iter().copied() {
            self.reads.push(Read::DedupHighest {
                conversation,
                user,
                device,
            });
        }
        &self.reads
    }
}

fn unique<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

impl World {
    /// Loads what is wanted and missing: first the heads, then what only a conversation with messages can have. A new
    /// conversation thus costs one seek.
    pub(crate) fn load(&mut self, store: &dyn Store, wants: &mut Wants) -> Result<(), StoreError> {
        self.load_heads(store, wants)?;
        wants.devices.retain(|(key, user, device)| {
            let kept = self.conversations.peek(key);
            kept.is_none_or(|kept| !kept.state.knows(*user, *device))
        });
        self.load_rest(store, wants)
    }

    fn load_heads(&mut self, store: &dyn Store, wants: &mut Wants) -> Result<(), StoreError> {
        let mut answers = Answers::of(store, wants.heads_reads())?;
        for key in wants.conversations.drain(..) {
            match answers.history()?.pop() {
                Some(head) => wants.heads.push((key, head)),
                None => self.insert(Conversation::from_rows(key, None, None), key),
            }
        }
        for user in wants.inboxes.drain(..) {
            let head = answers.inbox()?;
            let state = Inbox::from_rows(user, head.first(), answers.user()?);
            self.inboxes.insert(user, Kept::clean(state), self.batch);
        }
        Ok(())
    }

    fn load_rest(&mut self, store: &dyn Store, wants: &mut Wants) -> Result<(), StoreError> {
        let mut answers = Answers::of(store, wants.rest_reads())?;
        for (key, head) in wants.heads.drain(..) {
            let marks = answers.marks()?;
            self.insert(Conversation::from_rows(key, Some(&head), marks), key);
        }
        for (key, user, device) in wants.devices.drain(..) {
            let highest = answers.highest()?;
            let kept = self.conversations.touch(&key, self.batch);
            kept.expect(super::LOADED)
                .state
                .learn(user, device, highest);
        }
        Ok(())
    }

    fn insert(&mut self, state: Conversation, key: ConversationKey) {
        self.conversations
            .insert(key, Kept::clean(state), self.batch);
    }
}

/// The answers to a list of reads, taken one by one in the same order.
pub(super) struct Answers(IntoIter<Answer>);

impl Answers {
    pub(super) fn of(store: &dyn Store, reads: &[Read]) -> Result<Self, StoreError> {
        if reads.is_empty() {
            return Ok(Self(Vec::new().into_iter()));
        }
        let answers = store.read(reads)?;
        if answers.len() == reads.len() {
            Ok(Self(answers.into_iter()))
        } else {
            Err(mismatch())
        }
    }

    pub(super) fn history(&mut self) -> Result<Vec<HistoryRow>, StoreError> {
        let Some(Answer::History(rows)) = self.0.next() else {
            return Err(mismatch());
        };
        Ok(rows)
    }

    pub(super) fn dedup(
        &mut self,
    ) -> Result<Option<millpond_backplane::row::DedupRow>, StoreError> {
        let Some(Answer::Dedup(row)) = self.0.next() else {
            return Err(mismatch());
        };
        Ok(row)
    }

    pub(super) fn inbox(&mut self) -> Result<Vec<(u64, InboxRow)>, StoreError> {
        let Some(Answer::Inbox(rows)) = self.0.next() else {
            return Err(mismatch());
        };
        Ok(rows)
    }

    fn marks(&mut self) -> Result<Option<MarksRow>, StoreError> {
        let Some(Answer::Marks(row)) = self.0.next() else {
            return Err(mismatch());
        };
        Ok(row)
    }

    fn highest(&mut self) -> Result<Option<u64>, StoreError> {
        let Some(Answer::DedupHighest(id)) = self.0.next() else {
            return Err(mismatch());
        };
        Ok(id)
    }

    fn user(&mut self) -> Result<Option<UserRow>, StoreError> {
        let Some(Answer::User(row)) = self.0.next() else {
            return Err(mismatch());
        };
        Ok(row)
    }
}

fn mismatch() -> StoreError {
    StoreError::Failed("the store driver answered another question than was asked".into())
}
