//! Answers to reads, all of one call from one snapshot.

use crate::error::store_error;
use crate::tables::{Table, Tables};
use fjall::{Readable, Snapshot, UserValue};
use millpond_backplane::codec::{self, Undecodable};
use millpond_backplane::row::{HistoryRow, InboxRow};
use millpond_backplane::store::{Answer, PayloadBound, Read, StoreError};
use millpond_backplane::{ConversationKey, VirtualPartition};
use millpond_wire::{DeviceId, UserId};

pub(crate) struct View<'a> {
    pub(crate) snapshot: Snapshot,
    pub(crate) tables: &'a Tables,
}

impl View<'_> {
    pub(crate) fn answer(&self, read: &Read) -> Result<Answer, StoreError> {
        match *read {
            Read::HistoryHead(conversation) => self.history(
                conversation,
                (0, u64::MAX),
                Order::Descending,
                1,
                usize::MAX,
            ),
            Read::HistoryAfter {
                conversation,
                after,
                rows,
                bytes,
            } => match after.checked_add(1) {
                Some(first) => self.history(
                    conversation,
                    (first, u64::MAX),
                    Order::Ascending,
                    rows,
                    bytes,
                ),
                None => Ok(Answer::History(Vec::new())),
            },
            Read::HistoryBefore {
                conversation,
                before,
                rows,
                bytes,
            } => match before.checked_sub(1) {
                Some(last) => self.history(conversation, (0, last), Order::Descending, rows, bytes),
                None => Ok(Answer::History(Vec::new())),
            },
            Read::HistoryAt { conversation, seq } => self.history_at(conversation, seq),
            Read::Dedup(key) => {
                let mut bytes = Vec::with_capacity(KEY_BYTES);
                codec::dedup_key(&key, &mut bytes);
                let row = self.row(Table::Dedup, &bytes, codec::decode_dedup)?;
                Ok(Answer::Dedup(row))
            }
            Read::DedupHighest {
                conversation,
                user,
                device,
            } => self.dedup_highest(conversation, user, device),
            Read::Marks(conversation) => {
                let key = codec::marks_key(conversation);
                let row = self.row(Table::Marks, &key, codec::decode_marks)?;
                Ok(Answer::Marks(row))
            }
            Read::InboxHead(user) => self.inbox(user, (0, u64::MAX), Order::Descending, 1),
            Read::InboxAfter { user, after, rows } => match after.checked_add(1) {
                Some(first) => self.inbox(user, (first, u64::MAX), Order::Ascending, rows),
                None => Ok(Answer::Inbox(Vec::new())),
            },
            Read::User(user) => {
                let row = self.row(Table::Users, &codec::user_key(user), codec::decode_user)?;
                Ok(Answer::User(row))
            }
            Read::Partition { stage, partition } => self.partition(stage, partition),
        }
    }

    fn partition(
        &self,
        stage: millpond_backplane::row::Stage,
        partition: VirtualPartition,
    ) -> Result<Answer, StoreError> {
        let key = codec::partition_key(stage, partition);
        let row = self.row(Table::Partitions, &key, codec::decode_partition)?;
        Ok(Answer::Partition(row))
    }

    fn history_at(&self, conversation: ConversationKey, seq: u64) -> Result<Answer, StoreError> {
        let mut key = Vec::with_capacity(KEY_BYTES);
        codec::history_key(conversation, seq, &mut key);
        let row = self.row(Table::History, &key, |bytes| {
            codec::decode_history(conversation, seq, bytes)
        })?;
        Ok(Answer::History(row.into_iter().collect()))
    }

    fn history(
        &self,
        conversation: ConversationKey,
        seqs: (u64, u64),
        order: Order,
        rows: usize,
        bytes: usize,
    ) -> Result<Answer, StoreError> {
        let mut bound = PayloadBound::new(bytes);
        let key = |seq, out: &mut Vec<u8>| codec::history_key(conversation, seq, out);
        let range = Range::of(seqs, key);
        let decode = |key: &[u8], value: &[u8]| -> Result<HistoryRow, Undecodable> {
            codec::decode_history(conversation, codec::history_seq(key)?, value)
        };
        let found = self.range(Table::History, &range, order, rows, decode, |row| {
            bound.take(row);
            bound.is_reached()
        })?;
        Ok(Answer::History(found))
    }

    fn inbox(
        &self,
        user: UserId,
        cursors: (u64, u64),
        order: Order,
        rows: usize,
    ) -> Result<Answer, StoreError> {
        let range = Range::of(cursors, |cursor, out| codec::inbox_key(user, cursor, out));
        let decode = |key: &[u8], value: &[u8]| -> Result<(u64, InboxRow), Undecodable> {
            Ok((codec::inbox_cursor(key)?, codec::decode_inbox(user, value)?))
        };
        let found = self.range(Table::Inbox, &range, order, rows, decode, |_| false)?;
        Ok(Answer::Inbox(found))
    }

    fn dedup_highest(
        &self,
        conversation: ConversationKey,
        user: UserId,
        device: DeviceId,
    ) -> Result<Answer, StoreError> {
        let range = Range::of((0, u64::MAX), |id: u64, out: &mut Vec<u8>| {
            codec::dedup_prefix(conversation, user, device, out);
            out.extend_from_slice(&id.to_be_bytes());
        });
        let decode = |key: &[u8], _: &[u8]| Ok(codec::decode_dedup_key(key)?.client_msg_id);
        let found = self.range(Table::Dedup, &range, Order::Descending, 1, decode, |_| {
            false
        })?;
        Ok(Answer::DedupHighest(found.first().copied()))
    }

    /// The row at exactly this key.
    pub(crate) fn row<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Undecodable>,
    ) -> Result<Option<T>, StoreError> {
        let value: Option<UserValue> = self
            .snapshot
            .get(self.tables.of(table), key)
            .map_err(|error| store_error(table.name(), &error))?;
        let row = value.map(|value| decode(&value));
        row.transpose().map_err(|error| corrupt(table, error))
    }

    fn range<T>(
        &self,
        table: Table,
        range: &Range,
        order: Order,
        rows: usize,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, Undecodable>,
        mut is_last: impl FnMut(&T) -> bool,
    ) -> Result<Vec<T>, StoreError> {
        let keyspace = self.tables.of(table);
        let bounds = range.first.as_slice()..=range.last.as_slice();
        let mut found = self.snapshot.range(keyspace, bounds);
        let next = || match order {
            Order::Ascending => found.next(),
            Order::Descending => found.next_back(),
        };
        let mut taken = Vec::new();
        for guard in std::iter::from_fn(next).take(rows) {
            let (key, value) = guard
                .into_inner()
                .map_err(|error| store_error(table.name(), &error))?;
            let row = decode(&key, &value).map_err(|error| corrupt(table, error))?;
            let last = is_last(&row);
            taken.push(row);
            if last {
                break;
            }
        }
        Ok(taken)
    }
}

/// Room for any key.
const KEY_BYTES: usize = 48;

#[derive(Clone, Copy)]
enum Order {
    Ascending,
    Descending,
}

/// The keys of the first and the last number, these included.
struct Range {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Range {
    fn of((first, last): (u64, u64), key: impl Fn(u64, &mut Vec<u8>)) -> Self {
        let bytes = |number| {
            let mut out = Vec::with_capacity(KEY_BYTES);
            key(number, &mut out);
            out
        };
        Self {
            first: bytes(first),
            last: bytes(last),
        }
    }
}

fn corrupt(table: Table, error: Undecodable) -> StoreError {
    StoreError::Corrupt {
        table: table.name(),
        what: error.to_string(),
    }
}
