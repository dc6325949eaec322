//! Fetches the rows that machines ask for beyond their states: one read for a whole batch of records.
//!
//! What a record asks for is judged in the state before the batch, which is nearly always what it asks for when its
//! turn comes. What an earlier record of the batch has changed about that is read then, one by one: how records were
//! cut into batches must not decide anything.

use super::World;
use super::load::Answers;
use crate::conversation::{Lookups, admit};
use crate::inbox::Missing;
use millpond_backplane::row::{DedupKey, DedupRow, InboxRow};
use millpond_backplane::store::{Read, Store, StoreError};
use millpond_backplane::{Command, ConversationKey, InboxEntry, Position};
use millpond_wire::UserId;
use rustc_hash::FxHashMap;

/// Rows looked up for one batch.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    dedup_keys: Vec<DedupKey>,
    seqs: Vec<(ConversationKey, u64)>,
    pointers: Vec<(UserId, Missing)>,
    dedup: FxHashMap<DedupKey, Option<DedupRow>>,
    positions: FxHashMap<(ConversationKey, u64), Option<Position>>,
}

impl Rows {
    pub(crate) fn clear(&mut self) {
        self.dedup.clear();
        self.positions.clear();
    }

    pub(crate) fn command(&mut self, world: &World, position: Position, command: &Command) {
        if admit(command).is_err() {
            return;
        }
        let kept = world
            .conversations
            .peek(&command.conversation)
            .expect(super::LOADED);
        let Lookups { id, after, seq } = kept.state.lookups(position, command);
        self.dedup_keys.extend(id.into_iter().chain(after));
        self.seqs.extend(seq.map(|seq| (command.conversation, seq)));
    }

    pub(crate) fn entry(&mut self, world: &World, position: Position, entry: &InboxEntry) {
        let kept = world.inboxes.peek(&entry.user).expect(super::LOADED);
        if kept.state.reflects(position, &entry.body) {
            return;
        }
        let missing = kept.state.missing(position, &entry.body);
        self.pointers
            .extend(missing.map(|missing| (entry.user, missing)));
    }

    pub(super) fn dedup(
        &self,
        store: &dyn Store,
        key: DedupKey,
    ) -> Result<Option<DedupRow>, StoreError> {
        if let Some(row) = self.dedup.get(&key) {
            return Ok(*row);
        }
        Answers::of(store, &[Read::Dedup(key)])?.dedup()
    }

    pub(super) fn position(
        &self,
        store: &dyn Store,
        conversation: ConversationKey,
        seq: u64,
    ) -> Result<Option<Position>, StoreError> {
        if let Some(position) = self.positions.get(&(conversation, seq)) {
            return Ok(*position);
        }
        let read = Read::HistoryAt { conversation, seq };
        let rows = Answers::of(store, &[read])?.history()?;
        Ok(rows.first().map(|row| row.position))
    }

    fn reads(&self) -> Vec<Read> {
        let dedup = self.dedup_keys.iter().map(|key| Read::Dedup(*key));
        let history = self.seqs.iter().map(|(conversation, seq)| Read::HistoryAt {
            conversation: *conversation,
            seq: *seq,
        });
        let pointers = self.pointers.iter();
        let inbox = pointers.map(|(user, missing)| pointers_read(*user, *missing));
        dedup.chain(history).chain(inbox).collect()
    }
}

/// The pointers of one inbox.
pub(super) fn pointers(
    store: &dyn Store,
    user: UserId,
    missing: Missing,
) -> Result<Vec<(u64, InboxRow)>, StoreError> {
    Answers::of(store, &[pointers_read(user, missing)])?.inbox()
}

fn pointers_read(user: UserId, missing: Missing) -> Read {
    Read::InboxAfter {
        user,
        after: missing.after,
        rows: usize::try_from(missing.up_to - missing.after).expect("pages are small"),
    }
}

impl World {
    /// Answers everything noted in `rows`. Dedup rows of uncommitted batches are looked for later, in the overlay.
    pub(crate) fn look_up(&mut self, store: &dyn Store, rows: &mut Rows) -> Result<(), StoreError> {
        let reads = rows.reads();
        if reads.is_empty() {
            return Ok(());
        }
        let mut answers = Answers::of(store, &reads)?;
        for key in rows.dedup_keys.drain(..) {
            rows.dedup.insert(key, answers.dedup()?);
        }
        for (key, seq) in rows.seqs.drain(..) {
            let found = answers.history()?;
            let position = found.first().map(|row| row.position);
            rows.positions.insert((key, seq), position);
        }
        for (user, _) in rows.pointers.drain(..) {
            let pointers = answers.inbox()?;
            self.inbox(user).recall(&pointers);
        }
        Ok(())
    }
}
