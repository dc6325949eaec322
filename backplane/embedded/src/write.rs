//! A batch of writes as rows of the engine: encoded, sorted, each key once.

use crate::read::View;
use crate::tables::{Table, Tables};
use fjall::{OwnedWriteBatch, UserKey, UserValue};
use millpond_backplane::Position;
use millpond_backplane::codec;
use millpond_backplane::row::{DedupKey, DedupRow, HistoryRow};
use millpond_backplane::store::{Batch, StoreError, Write};

/// Reused from commit to commit.
#[derive(Default)]
pub(crate) struct Encoder {
    rows: Vec<Row>,
    key: Vec<u8>,
    value: Vec<u8>,
}

struct Row {
    table: Table,
    key: UserKey,
    value: UserValue,
}

/// What a batch came to.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Size {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Encoder {
    /// Puts the rows of `batch` into `out`, sorted: neighbours in the memtable are searched for together.
    ///
    /// Marks, users and partitions are compared with what is there, since their rows are replaced all the time. A
    /// message or an inbox pointer is the same whoever writes it, so it needs no read.
    pub(crate) fn encode(
        &mut self,
        batch: &Batch,
        view: &View<'_>,
        out: &mut OwnedWriteBatch,
    ) -> Result<Size, StoreError> {
        self.rows.clear();
        for write in &batch.writes {
            self.write(write, view)?;
        }
        // Stable, so of equal keys the last one is the latest write.
        self.rows
            .sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        Ok(self.drain_into(view.tables, out))
    }

    fn drain_into(&mut self, tables: &Tables, out: &mut OwnedWriteBatch) -> Size {
        let mut size = Size::default();
        let mut rows = self.rows.drain(..).peekable();
        while let Some(row) = rows.next() {
            let replaced = rows
                .peek()
                .is_some_and(|next| (next.table, &next.key) == (row.table, &row.key));
            if !replaced {
                size.rows += 1;
                size.bytes += (row.key.len() + row.value.len()) as u64;
                out.insert(tables.of(row.table), row.key, row.value);
            }
        }
        size
    }

    fn write(&mut self, write: &Write, view: &View<'_>) -> Result<(), StoreError> {
        match write {
            Write::Message { row, hash } => self.message(row, *hash),
            Write::Inbox { user, cursor, row } => {
                self.push(
                    Table::Inbox,
                    |key| codec::inbox_key(*user, *cursor, key),
                    |value| codec::encode_inbox(*user, row, value),
                );
            }
            Write::Marks { conversation, row } => {
                let key = codec::marks_key(*conversation);
                self.replace(Table::Marks, &key, row.position, view, |value| {
                    codec::encode_marks(row, value);
                })?;
            }
            Write::User { user, row } => {
                let key = codec::user_key(*user);
                self.replace(Table::Users, &key, row.position, view, |value| {
                    codec::encode_user(row, value);
                })?;
            }
            Write::Partition {
                stage,
                partition,
                row,
            } => {
                let key = codec::partition_key(*stage, *partition);
                self.replace(Table::Partitions, &key, row.consumed, view, |value| {
                    codec::encode_partition(row, value);
                })?;
            }
        }
        Ok(())
    }

    fn message(&mut self, row: &HistoryRow, hash: u32) {
        let message = &row.message;
        self.push(
            Table::History,
            |key| codec::history_key(message.conversation, message.seq, key),
            |value| codec::encode_history(row, value),
        );
        self.push(
            Table::Dedup,
            |key| codec::dedup_key(&DedupKey::of(message), key),
            |value| codec::encode_dedup(&DedupRow::of(message, hash), value),
        );
    }

    /// Leaves the row out when a newer one is in the store.
    fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        position: Position,
        view: &View<'_>,
        value: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), StoreError> {
        let there = view.row(table, key, codec::decode_position)?;
        if there.is_none_or(|there| there <= position) {
            self.push(table, |out| out.extend_from_slice(key), value);
        }
        Ok(())
    }

    fn push(
        &mut self,
        table: Table,
        key: impl FnOnce(&mut Vec<u8>),
        value: impl FnOnce(&mut Vec<u8>),
    ) {
        self.key.clear();
        self.value.clear();
        key(&mut self.key);
        value(&mut self.value);
        self.rows.push(Row {
            table,
            key: UserKey::from(self.key.as_slice()),
            value: UserValue::from(self.value.as_slice()),
        });
    }
}
