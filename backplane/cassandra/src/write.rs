//! A batch as units of the cluster: encoded, stamped, each key once, and cut where a unit is too long for one mutation.
//!
//! A unit that is cut is written part by part, in the order of its sequences or cursors, the newest row last. So a crash
//! between two parts leaves a shorter unit, whose newest row says its position: what a router finds after a batch that
//! ended there, and goes on from. A message is never cut from its dedup row.

use crate::cluster::Cluster;
use crate::schema::{DEDUP, HISTORY};
use crate::timestamp::{OutOfBounds, exact, saturating};
use millpond_backplane::row::{DedupKey, DedupRow, HistoryRow, InboxRow, Stage};
use millpond_backplane::store::{Batch, StoreError, Write};
use millpond_backplane::{ConversationKey, VirtualPartition, codec};
use millpond_wire::UserId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Bytes of one mutation, unless one message is longer. The server's bound on batches (50 KiB) is for those of several
/// partitions; a mutation may have half a segment of its commit log, 16 MiB as it comes, and a frame 16 MiB.
pub(crate) const PART_BYTES_MAX: usize = 1 << 20;
/// Statements of one mutation; the protocol counts them in 16 bits.
const PART_ROWS_MAX: usize = 4_096;

/// Which partition of which table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Conversation([u8; 16]),
    Marks([u8; 16]),
    Inbox(i64),
    User(i64),
    Partition(i8, i16),
}

/// User ids are below 2^63.
pub(crate) fn signed(user: UserId) -> i64 {
    user.value().cast_signed()
}

pub(crate) fn stage_and_number(stage: Stage, partition: VirtualPartition) -> (i8, i16) {
    let [stage, number] = codec::partition_key(stage, partition);
    (stage.cast_signed(), i16::from(number))
}

/// The end of a history key: what follows the conversation.
pub(crate) fn history_row_key(conversation: ConversationKey, seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    codec::history_key(conversation, seq, &mut key);
    key.split_off(CONVERSATION_BYTES)
}

/// The end of a dedup key: what follows the conversation.
pub(crate) fn dedup_row_key(dedup: &DedupKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    codec::dedup_key(dedup, &mut key);
    key.split_off(CONVERSATION_BYTES)
}

/// The end of an inbox key: what follows the user.
pub(crate) fn inbox_row_key(user: UserId, cursor: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    codec::inbox_key(user, cursor, &mut key);
    key.split_off(USER_BYTES)
}

const CONVERSATION_BYTES: usize = 16;
const USER_BYTES: usize = 8;
/// Room for any key.
const KEY_BYTES: usize = 48;

#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Unit {
    pub(crate) key: Key,
    pub(crate) parts: Vec<Part>,
}

/// What goes as one mutation.
#[derive(PartialEq, Eq, Default, Debug)]
pub(crate) struct Part {
    pub(crate) rows: Vec<Row>,
}

#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) kind: i8,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: i64,
}

impl Row {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// What a batch came to.
#[derive(Default, Debug)]
pub(crate) struct Plan {
    units: Vec<Unit>,
    /// Written when all units are.
    partitions: Vec<Unit>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Plan {
    /// # Errors
    /// A position without a timestamp; then nothing of the batch is written.
    pub(crate) fn of(batch: &Batch) -> Result<Self, StoreError> {
        let mut encoder = Encoder::default();
        for write in &batch.writes {
            let added = encoder.add(write);
            added.map_err(|error| StoreError::Failed(error.to_string()))?;
        }
        let mut plan = Self::default();
        for (key, rows) in encoder.units {
            plan.rows += rows.len() as u64;
            let unit = Unit {
                key,
                parts: cut(rows),
            };
            let bytes = unit.parts.iter().flat_map(|part| &part.rows);
            plan.bytes += bytes.map(Row::bytes).sum::<usize>() as u64;
            match key {
                Key::Partition(..) => plan.partitions.push(unit),
                Key::Conversation(_) | Key::Marks(_) | Key::Inbox(_) | Key::User(_) => {
                    plan.units.push(unit);
                }
            }
        }
        Ok(plan)
    }

    /// Returns when all is acknowledged, or the first has failed for good: then others may be written, or be yet.
    pub(crate) async fn write(self, cluster: &Arc<Cluster>) -> Result<(), StoreError> {
        write_all(cluster, self.units).await?;
        write_all(cluster, self.partitions).await
    }
}

async fn write_all(cluster: &Arc<Cluster>, mut units: Vec<Unit>) -> Result<(), StoreError> {
    // One needs no task of its own.
    let Some(last) = units.pop() else {
        return Ok(());
    };
    let mut tasks = JoinSet::new();
    for unit in units {
        let cluster = cluster.clone();
        tasks.spawn(async move { cluster.put(&unit).await });
    }
    cluster.put(&last).await?;
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| StoreError::Failed(format!("a write ended early: {error}")))??;
    }
    Ok(())
}

/// Rows of a unit in the order in which they are written.
type Rows = BTreeMap<Place, Cell>;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The sequence or cursor; rows of one stay together.
    order: u64,
    kind: i8,
    key: Vec<u8>,
}

struct Cell {
    value: Vec<u8>,
    timestamp: i64,
}

#[derive(Default)]
struct Encoder {
    units: BTreeMap<Key, Rows>,
}

impl Encoder {
    fn add(&mut self, write: &Write) -> Result<(), OutOfBounds> {
        match write {
            Write::Message { row, hash } => self.message(row, *hash),
            Write::Inbox { user, cursor, row } => self.inbox(*user, *cursor, row),
            Write::Marks { conversation, row } => {
                let mut value = Vec::new();
                codec::encode_marks(row, &mut value);
                let key = Key::Marks(codec::marks_key(*conversation));
                self.replaced(key, value, exact(row.position)?);
            }
            Write::User { user, row } => {
                let mut value = Vec::new();
                codec::encode_user(row, &mut value);
                self.replaced(Key::User(signed(*user)), value, exact(row.position)?);
            }
            Write::Partition {
                stage,
                partition,
                row,
            } => {
                let mut value = Vec::new();
                codec::encode_partition(row, &mut value);
                let (stage, number) = stage_and_number(*stage, *partition);
                self.replaced(Key::Partition(stage, number), value, exact(row.consumed)?);
            }
        }
        Ok(())
    }

    fn message(&mut self, row: &HistoryRow, hash: u32) {
        let message = &row.message;
        let unit = Key::Conversation(message.conversation.to_bytes());
        let timestamp = saturating(row.position);
        let place = |kind, key| Place {
            order: message.seq,
            kind,
            key,
        };
        let mut value = Vec::new();
        codec::encode_history(row, &mut value);
        let key = history_row_key(message.conversation, message.seq);
        self.put(unit, place(HISTORY, key), Cell { value, timestamp });
        let mut value = Vec::new();
        codec::encode_dedup(&DedupRow::of(message, hash), &mut value);
        let key = dedup_row_key(&DedupKey::of(message));
        self.put(unit, place(DEDUP, key), Cell { value, timestamp });
    }

    fn inbox(&mut self, user: UserId, cursor: u64, row: &InboxRow) {
        let mut value = Vec::new();
        codec::encode_inbox(user, row, &mut value);
        let place = Place {
            order: cursor,
            kind: 0,
            key: inbox_row_key(user, cursor),
        };
        let timestamp = saturating(row.position);
        self.put(Key::Inbox(signed(user)), place, Cell { value, timestamp });
    }

    /// A unit of one row.
    fn replaced(&mut self, key: Key, value: Vec<u8>, timestamp: i64) {
        let place = Place {
            order: 0,
            kind: 0,
            key: Vec::new(),
        };
        self.put(key, place, Cell { value, timestamp });
    }

    /// The server would take the greater of two values with one timestamp; the later one of a batch is meant.
    fn put(&mut self, unit: Key, place: Place, cell: Cell) {
        let rows = self.units.entry(unit).or_default();
        let there = rows.get(&place);
        if there.is_none_or(|there| there.timestamp <= cell.timestamp) {
            rows.insert(place, cell);
        }
    }
}

fn cut(rows: Rows) -> Vec<Part> {
    let mut parts = vec![Part::default()];
    let mut bytes = 0;
    let mut order = None;
    for (place, cell) in rows {
        let row = Row {
            kind: place.kind,
            key: place.key,
            value: cell.value,
            timestamp: cell.timestamp,
        };
        let part = parts.last_mut().expect("there is always one");
        let full = bytes + row.bytes() > PART_BYTES_MAX || part.rows.len() >= PART_ROWS_MAX;
        if full && !part.rows.is_empty() && order != Some(place.order) {
            parts.push(Part::default());
            bytes = 0;
        }
        bytes += row.bytes();
        order = Some(place.order);
        let part = parts.last_mut().expect("there is always one");
        part.rows.push(row);
    }
    parts
}

#[cfg(test)]
mod tests;
