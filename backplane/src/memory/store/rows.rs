//! The rows themselves. An older position never replaces a newer one.

use crate::row::{
    DedupKey, DedupRow, HistoryRow, InboxRow, MarksRow, PartitionRow, Stage, UserRow,
};
use crate::store::{Answer, PayloadBound, Read, Write};
use crate::{ConversationKey, Position, VirtualPartition};
use millpond_wire::{DeviceId, UserId};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

#[derive(Clone, Default, Debug)]
pub(super) struct Rows {
    /// With the hash that its dedup row repeats.
    history: BTreeMap<(ConversationKey, u64), (HistoryRow, u32)>,
    dedup: BTreeMap<DedupKey, DedupRow>,
    marks: BTreeMap<ConversationKey, MarksRow>,
    inbox: BTreeMap<(UserId, u64), InboxRow>,
    users: BTreeMap<UserId, UserRow>,
    partitions: BTreeMap<(Stage, VirtualPartition), PartitionRow>,
    /// The last write wins, whatever its position: a bug for tests to find.
    pub(super) careless: bool,
}

impl Rows {
    pub(super) fn write_all<'a>(&mut self, writes: impl IntoIterator<Item = &'a Write>) {
        writes.into_iter().for_each(|write| self.write(write));
    }

    fn write(&mut self, write: &Write) {
        let careless = self.careless;
        match write {
            Write::Message { row, hash } => self.write_message(row, *hash),
            Write::Marks { conversation, row } => {
                newer(careless, &mut self.marks, *conversation, row, |row| {
                    row.position
                });
            }
            Write::Inbox { user, cursor, row } => {
                newer(careless, &mut self.inbox, (*user, *cursor), row, |row| {
                    row.position
                });
            }
            Write::User { user, row } => {
                newer(careless, &mut self.users, *user, row, |row| row.position);
            }
            Write::Partition {
                stage,
                partition,
                row,
            } => {
                newer(
                    careless,
                    &mut self.partitions,
                    (*stage, *partition),
                    row,
                    |row| row.consumed,
                );
            }
        }
    }

    fn write_message(&mut self, row: &HistoryRow, hash: u32) {
        let message = &row.message;
        let key = (message.conversation, message.seq);
        let kept = newer(
            self.careless,
            &mut self.history,
            key,
            &(row.clone(), hash),
            |(row, _)| row.position,
        );
        if kept {
            let (key, row) = dedup_of(row, hash);
            self.dedup.insert(key, row);
        }
    }

    pub(super) fn read(&self, read: &Read) -> Answer {
        match *read {
            Read::HistoryHead(conversation) => {
                self.history_before(conversation, None, 1, usize::MAX)
            }
            Read::HistoryAfter {
                conversation,
                after,
                rows,
                bytes,
            } => self.history_after(conversation, after, rows, bytes),
            Read::HistoryBefore {
                conversation,
                before,
                rows,
                bytes,
            } => self.history_before(conversation, Some(before), rows, bytes),
            Read::HistoryAt { conversation, seq } => {
                let row = self.history.get(&(conversation, seq));
                Answer::History(row.map(|(row, _)| row.clone()).into_iter().collect())
            }
            Read::Dedup(key) => Answer::Dedup(self.dedup.get(&key).copied()),
            Read::DedupHighest {
                conversation,
                user,
                device,
            } => self.dedup_highest(conversation, user, device),
            Read::Marks(conversation) => Answer::Marks(self.marks.get(&conversation).cloned()),
            Read::InboxHead(user) => {
                let mut rows = self.inbox.range((user, 0)..=(user, u64::MAX));
                Answer::Inbox(rows.next_back().map(inbox_row).into_iter().collect())
            }
            Read::InboxAfter { user, after, rows } => self.inbox_after(user, after, rows),
            Read::User(user) => Answer::User(self.users.get(&user).cloned()),
            Read::Partition { stage, partition } => {
                Answer::Partition(self.partitions.get(&(stage, partition)).cloned())
            }
        }
    }

    fn history_after(
        &self,
        conversation: ConversationKey,
        after: u64,
        rows: usize,
        bytes: usize,
    ) -> Answer {
        let Some(first) = after.checked_add(1) else {
            return Answer::History(Vec::new());
        };
        let found = self
            .history
            .range((conversation, first)..=(conversation, u64::MAX));
        Answer::History(bounded(found.map(|(_, (row, _))| row), rows, bytes))
    }

    /// Without a bound when `before` is `None`.
    fn history_before(
        &self,
        conversation: ConversationKey,
        before: Option<u64>,
        rows: usize,
        bytes: usize,
    ) -> Answer {
        let last = match before {
            None => u64::MAX,
            Some(0) => return Answer::History(Vec::new()),
            Some(before) => before - 1,
        };
        let found = self.history.range((conversation, 0)..=(conversation, last));
        Answer::History(bounded(found.rev().map(|(_, (row, _))| row), rows, bytes))
    }

    fn dedup_highest(
        &self,
        conversation: ConversationKey,
        user: UserId,
        device: DeviceId,
    ) -> Answer {
        let key = |client_msg_id| DedupKey {
            conversation,
            user,
            device,
            client_msg_id,
        };
        let mut found = self.dedup.range(key(0)..=key(u64::MAX));
        Answer::DedupHighest(found.next_back().map(|(key, _)| key.client_msg_id))
    }

    fn inbox_after(&self, user: UserId, after: u64, rows: usize) -> Answer {
        let Some(first) = after.checked_add(1) else {
            return Answer::Inbox(Vec::new());
        };
        let found = self.inbox.range((user, first)..=(user, u64::MAX));
        Answer::Inbox(found.take(rows).map(inbox_row).collect())
    }

    /// As the writes that make them.
    pub(super) fn dump(&self) -> Vec<Write> {
        let messages = self.history.values().map(|(row, hash)| Write::Message {
            row: row.clone(),
            hash: *hash,
        });
        let marks = self.marks.iter().map(|(conversation, row)| Write::Marks {
            conversation: *conversation,
            row: row.clone(),
        });
        let inboxes = self.inbox.iter().map(|((user, cursor), row)| Write::Inbox {
            user: *user,
            cursor: *cursor,
            row: *row,
        });
        let users = self.users.iter().map(|(user, row)| Write::User {
            user: *user,
            row: row.clone(),
        });
        let partitions = self.partitions.iter();
        let partitions = partitions.map(|((stage, partition), row)| Write::Partition {
            stage: *stage,
            partition: *partition,
            row: row.clone(),
        });
        let all = messages.chain(marks).chain(inboxes).chain(users);
        all.chain(partitions).collect()
    }
}

/// Puts the row, unless a newer one is there. Of equal positions the later write wins. Says whether it was put.
fn newer<K: Ord, R: Clone>(
    careless: bool,
    rows: &mut BTreeMap<K, R>,
    key: K,
    row: &R,
    position: impl Fn(&R) -> Position,
) -> bool {
    match rows.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(row.clone());
            true
        }
        Entry::Occupied(entry) if !careless && position(entry.get()) > position(row) => false,
        Entry::Occupied(mut entry) => {
            entry.insert(row.clone());
            true
        }
    }
}

fn inbox_row((key, row): (&(UserId, u64), &InboxRow)) -> (u64, InboxRow) {
    (key.1, *row)
}

fn dedup_of(row: &HistoryRow, hash: u32) -> (DedupKey, DedupRow) {
    let message = &row.message;
    (DedupKey::of(message), DedupRow::of(message, hash))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Messages(ConversationKey),
    Marks(ConversationKey),
    Inbox(UserId),
    Devices(UserId),
    Partition(Stage, VirtualPartition),
}

/// The writes by unit, those of one unit in their order; partitions come last.
pub(super) fn units(writes: &[Write]) -> Vec<Vec<&Write>> {
    let mut units: BTreeMap<Unit, Vec<&Write>> = BTreeMap::new();
    for write in writes {
        units.entry(unit_of(write)).or_default().push(write);
    }
    units.into_values().collect()
}

fn unit_of(write: &Write) -> Unit {
    match write {
        Write::Message { row, .. } => Unit::Messages(row.message.conversation),
        Write::Marks { conversation, .. } => Unit::Marks(*conversation),
        Write::Inbox { user, .. } => Unit::Inbox(*user),
        Write::User { user, .. } => Unit::Devices(*user),
        Write::Partition {
            stage, partition, ..
        } => Unit::Partition(*stage, *partition),
    }
}

fn bounded<'a>(
    found: impl Iterator<Item = &'a HistoryRow>,
    rows: usize,
    bytes: usize,
) -> Vec<HistoryRow> {
    let mut bound = PayloadBound::new(bytes);
    let mut taken = Vec::new();
    for row in found.take(rows) {
        bound.take(row);
        taken.push(row.clone());
        if bound.is_reached() {
            break;
        }
    }
    taken
}
