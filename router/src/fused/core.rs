//! The fused driver without threads: records in, one batch of rows and its effects out.
//!
//! The caller commits the batch and says so ([`FusedCore::committed`]) before it releases the effects; several turns
//! may be on their way at once, but they are committed in order. Used by the writer thread, by benchmarks and by
//! simulations. It must never be used again after an error.

use super::Config;
use super::counters::Counters;
use super::hints::{Hints, Offered};
use super::lazy::Lazy;
use crate::conversation::{self, MarkHint, admit, members};
use crate::effects::{Delivery, Effects, Places};
use crate::inbox;
use crate::world::{Lagging, Rows, Wants, World};
use millpond_backplane::position::Stamp;
use millpond_backplane::row::{HistoryRow, PartitionRow, Stage};
use millpond_backplane::store::{Answer, Batch, Read, Store, StoreError, Write};
use millpond_backplane::{
    Address, Command, CommandBody, Entry, InboxBody, InboxEntry, Message, Position,
    VirtualPartition,
};
use millpond_wire::UserId;
use std::sync::Arc;

/// One moment on two clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Unix time, for the stamps of what is written. May jump, both ways.
    pub wall_ms: u64,
    /// Since any moment before this core was opened, for what is due. Never goes back.
    pub steady_ms: u64,
}

/// What one run leads to.
#[derive(Debug)]
pub struct Turn {
    /// Grows by one with every run; the offset of its records' positions.
    pub number: u64,
    /// To be committed, unless it is empty.
    pub batch: Batch,
    /// To be released when the batch, and every one before it, is durable.
    pub effects: Effects,
}

/// The machines, their states, and the place in the sequence of batches.
#[derive(Debug)]
pub struct FusedCore {
    config: Config,
    store: Arc<dyn Store>,
    world: World,
    wants: Wants,
    rows: Rows,
    lazy: Lazy,
    hints: Hints,
    /// Commands that inboxes gave rise to, run at the end of the batch.
    inner: Vec<Command>,
    spare: Batch,
    /// Its time is the wall clock's, but never goes back: so it may stand still for long, and nothing is due by it.
    at: Stamp,
    steady_ms: u64,
    committed: u64,
    counters: Arc<Counters>,
}

/// The fused driver has one partition of its own.
const PARTITION: VirtualPartition = VirtualPartition(0);
const STAGE: Stage = Stage::Conversations;

impl FusedCore {
    /// Goes on where the store ends.
    pub fn open(config: Config, store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let last = last_row(&*store)?;
        let at = Stamp {
            partition: PARTITION,
            position: last.consumed,
            time_ms: last.time_ms,
        };
        Ok(Self {
            world: World::new(
                config.rules,
                config.caches,
                store.epoch(),
                last.consumed.offset,
            ),
            config,
            store,
            wants: Wants::default(),
            rows: Rows::default(),
            lazy: Lazy::new(config.lazy_ms, config.dirty_max),
            hints: Hints::new(config.hint_ms, config.hints_max),
            inner: Vec::new(),
            spare: Batch::default(),
            at,
            steady_ms: 0,
            committed: last.consumed.offset,
            counters: Arc::default(),
        })
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Runs the records, in order, and whatever is due by `now`; they are taken away. After an error they are still
    /// there, and this core is of no use any more.
    pub fn run(&mut self, entries: &mut Vec<Entry>, now: Now) -> Result<Turn, StoreError> {
        let mut turn = self.begin(now);
        self.load(entries)?;
        for entry in entries.iter() {
            self.take(entry, &mut turn)?;
        }
        entries.clear();
        self.run_inner(&mut turn)?;
        self.hints.due(self.steady_ms, &mut turn.effects.hints);
        self.write_lazy(self.steady_ms, &mut turn);
        self.finish(&mut turn);
        Ok(turn)
    }

    /// A turn that writes rows which lag, due or not; empty when none does. For the end of a run.
    pub fn run_last(&mut self, now: Now) -> Turn {
        let mut turn = self.begin(now);
        self.write_lazy(u64::MAX, &mut turn);
        self.finish(&mut turn);
        turn
    }

    /// The batch of this turn, and all before it, are durable. `emptied` is a batch whose memory may be used again.
    pub fn committed(&mut self, number: u64, emptied: Option<Batch>) {
        assert!(number > self.committed, "batches are committed in order");
        self.committed = number;
        self.world.committed(number);
        if let Some(batch) = emptied {
            self.spare = batch;
        }
    }

    /// When the next run is due without any new record, by the steady clock.
    pub fn next_due(&self) -> Option<u64> {
        let dues = [self.lazy.next_due(), self.hints.next_due()];
        dues.into_iter().flatten().min()
    }

    /// Whether rows lag behind memory.
    pub fn has_dirty(&self) -> bool {
        self.lazy.len() > 0
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    fn begin(&mut self, now: Now) -> Turn {
        let number = self.at.position.offset + 1;
        self.at.position = Position {
            epoch: self.at.position.epoch,
            offset: number,
            index: 0,
        };
        self.at.time_ms = self.at.time_ms.max(now.wall_ms);
        assert!(now.steady_ms >= self.steady_ms, "it never goes back");
        self.steady_ms = now.steady_ms;
        self.world.begin(number);
        let mut batch = std::mem::take(&mut self.spare);
        batch.writes.clear();
        Turn {
            number,
            batch,
            effects: Effects::default(),
        }
    }

    fn load(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        for entry in entries {
            match entry {
                Entry::Command(command) => {
                    self.wants.command(&self.world, command);
                    self.wants.recipients(&self.world, command);
                }
                Entry::Inbox(entry) => self.wants.inbox(&self.world, entry.user),
            }
        }
        self.world.load(&*self.store, &mut self.wants)?;
        self.rows.clear();
        for entry in entries {
            match entry {
                Entry::Command(command) => {
                    self.rows.command(&self.world, self.at.position, command)
                }
                Entry::Inbox(entry) => self.rows.entry(&self.world, self.at.position, entry),
            }
        }
        self.world.look_up(&*self.store, &mut self.rows)
    }

    fn take(&mut self, entry: &Entry, turn: &mut Turn) -> Result<(), StoreError> {
        self.at.position.index += 1;
        self.counters.entries.add(1);
        match entry {
            Entry::Command(command) => self.command(command, turn)?,
            Entry::Inbox(entry) => self.entry(entry, turn)?,
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, turn: &mut Turn) -> Result<(), StoreError> {
        let outcome = match admit(command) {
            Ok(()) => self
                .world
                .command(&*self.store, self.at, command, &self.rows)?,
            Err(code) => conversation::Outcome::Refused(code),
        };
        match (&command.body, outcome) {
            (
                CommandBody::Send {
                    from,
                    client_msg_id,
                    ..
                },
                outcome,
            ) => {
                self.sent(*from, *client_msg_id, outcome, turn);
            }
            (_, conversation::Outcome::Marked(hint)) => self.marked(hint, turn),
            (CommandBody::Delivered { .. } | CommandBody::Read { .. }, _) => {}
        }
        Ok(())
    }

    fn sent(&mut self, to: Address, id: u64, outcome: conversation::Outcome, turn: &mut Turn) {
        match outcome {
            conversation::Outcome::Sequenced { message, hash } => {
                self.counters.messages.add(1);
                turn.effects.ack(to, conversation::ack(&message));
                self.sequenced(message, hash, turn);
            }
            conversation::Outcome::Duplicate(ack) => {
                self.counters.duplicates.add(1);
                turn.effects.ack(to, ack);
            }
            conversation::Outcome::Refused(code) => {
                self.counters.refused(code);
                turn.effects.refuse(to, id, code);
            }
            conversation::Outcome::Marked(_) | conversation::Outcome::Unchanged => {
                unreachable!("a SEND is sequenced, repeated or refused")
            }
        }
    }

    fn sequenced(&mut self, message: Message, hash: u32, turn: &mut Turn) {
        let row = HistoryRow {
            position: self.at.position,
            message: message.clone(),
        };
        turn.batch.writes.push(Write::Message { row, hash });
        let mut places = Places::default();
        for (place, user) in places.iter_mut().zip(members(message.conversation)) {
            *place = Some((user, self.place(user, &message, turn)));
        }
        turn.effects.deliveries.push(Delivery { message, places });
    }

    fn place(&mut self, user: UserId, message: &Message, turn: &mut Turn) -> u64 {
        let durable = Position {
            offset: self.committed,
            index: u32::MAX,
            ..self.at.position
        };
        let (cursor, row) = self.world.place(self.at, user, message, durable);
        turn.batch.writes.push(Write::Inbox { user, cursor, row });
        cursor
    }

    fn marked(&mut self, hint: MarkHint, turn: &mut Turn) {
        if self.world.soil(Lagging::Marks(hint.conversation)) {
            self.lazy
                .push(self.steady_ms, Lagging::Marks(hint.conversation));
        }
        match self.hints.offer(self.steady_ms, hint) {
            Offered::Now => turn.effects.hints.push(hint),
            Offered::Later => {}
            Offered::Dropped => self.counters.hints_dropped.add(1),
        }
    }

    fn entry(&mut self, entry: &InboxEntry, turn: &mut Turn) -> Result<(), StoreError> {
        if matches!(entry.body, InboxBody::Message { .. }) {
            // Only the conversation machine emits messages; a shard that sends one is wrong, but not fatal.
            self.counters.entries_dropped.add(1);
            return Ok(());
        }
        match self.world.entry(&*self.store, self.at, entry)? {
            inbox::Outcome::Acked { delivered } => {
                self.inner.extend(delivered);
                if self.world.soil(Lagging::User(entry.user)) {
                    self.lazy.push(self.steady_ms, Lagging::User(entry.user));
                }
            }
            inbox::Outcome::Reset => self.reset(entry.user, turn),
            inbox::Outcome::Unchanged => {}
            inbox::Outcome::Placed { .. } => unreachable!("only messages are placed"),
        }
        Ok(())
    }

    /// A new epoch is written at once: the devices are sent away to come back with it.
    fn reset(&mut self, user: UserId, turn: &mut Turn) {
        self.world.soil(Lagging::User(user));
        self.write(Lagging::User(user), turn);
        turn.effects.resets.push(user);
    }

    fn run_inner(&mut self, turn: &mut Turn) -> Result<(), StoreError> {
        let commands = std::mem::take(&mut self.inner);
        for command in &commands {
            self.wants.command(&self.world, command);
        }
        self.world.load(&*self.store, &mut self.wants)?;
        for command in &commands {
            self.at.position.index += 1;
            self.command(command, turn)?;
        }
        self.inner = commands;
        self.inner.clear();
        Ok(())
    }

    fn write_lazy(&mut self, until_ms: u64, turn: &mut Turn) {
        let due: Vec<Lagging> = self.lazy.due(until_ms, turn.batch.writes.len()).collect();
        for key in due {
            self.write(key, turn);
        }
    }

    fn write(&mut self, key: Lagging, turn: &mut Turn) {
        if let Some(write) = self.world.clean(key) {
            self.counters.lazy_rows.add(1);
            turn.batch.writes.push(write);
        }
    }

    fn finish(&mut self, turn: &mut Turn) {
        let (conversations, inboxes) = self.world.sizes();
        self.counters.conversations.set(conversations as u64);
        self.counters.inboxes.set(inboxes as u64);
        self.counters.dirty.set(self.lazy.len() as u64);
        self.counters.batches.add(1);
        if turn.batch.writes.is_empty() {
            return;
        }
        turn.batch.writes.push(Write::Partition {
            stage: STAGE,
            partition: PARTITION,
            row: PartitionRow {
                consumed: self.at.position,
                time_ms: self.at.time_ms,
                high_water: Vec::new(),
            },
        });
    }
}

/// Where the last run ended; before the first record in a new store.
fn last_row(store: &dyn Store) -> Result<PartitionRow, StoreError> {
    let read = Read::Partition {
        stage: STAGE,
        partition: PARTITION,
    };
    let Some(Answer::Partition(row)) = store.read(&[read])?.pop() else {
        return Err(StoreError::Failed(
            "the store driver did not answer where it ends".into(),
        ));
    };
    Ok(row.unwrap_or(PartitionRow {
        consumed: Position {
            epoch: 1,
            ..Position::ZERO
        },
        time_ms: 0,
        high_water: Vec::new(),
    }))
}
