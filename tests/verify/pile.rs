//! The rows of a store in maps, so that any of them can be damaged.

use crate::good::{self, user};
use millpond_backplane::audit::{KeyValue, Limits, Report, Rows, Scan, Table, audit};
use millpond_backplane::codec;
use millpond_backplane::row::{
    DedupKey, DedupRow, HistoryRow, InboxRow, MarksRow, PartitionRow, Stage, UserRow,
};
use millpond_backplane::store::StoreError;
use millpond_backplane::{ConversationKey, Message, Position, VirtualPartition};
use millpond_embedded::{OfflineRows, Options};
use millpond_router::digest::digest;
use std::collections::BTreeMap;
use std::sync::OnceLock;

#[derive(Clone, Default, Debug)]
pub(crate) struct Pile {
    pub(crate) tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// A table whose rows cannot be read.
    pub(crate) broken: Option<Table>,
}

/// The rows of the good store. Its partition has consumed a little more than its rows show, as a batch of
/// acknowledgements alone would leave it: room for rows that should not be there.
pub(crate) fn good() -> Pile {
    static GOOD: OnceLock<Pile> = OnceLock::new();
    GOOD.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        good::make(folder.path());
        let rows = OfflineRows::open(folder.path(), &Options::default()).unwrap();
        let mut pile = Pile::default();
        for table in Table::ALL {
            let all: Result<_, StoreError> = rows.scan(table, &[]).collect();
            pile.tables.insert(table, all.unwrap());
        }
        let mut partition = pile.partition();
        partition.consumed.offset += 100;
        pile.put_partition(&partition);
        pile
    })
    .clone()
}

impl Rows for Pile {
    fn scan(&self, table: Table, from: &[u8]) -> Scan<'_> {
        let rows = self.tables[&table].range(from.to_vec()..);
        let rows = rows.map(|(key, value)| Ok((key.clone(), value.clone())));
        let end = (self.broken == Some(table)).then(|| {
            Err(StoreError::Corrupt {
                table: table.name(),
                what: "a block's checksum".to_owned(),
            })
        });
        Box::new(rows.chain(end))
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables[&table].get(key).cloned())
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<KeyValue>, StoreError> {
        let rows = self.tables[&table].iter();
        let last = rows.rev().find(|(key, _)| key.starts_with(prefix));
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }
}

impl Pile {
    pub(crate) fn judged(&self, limits: Limits) -> Report {
        audit(self, limits, digest, &mut |_, _| {}).unwrap()
    }

    pub(crate) fn table(&mut self, table: Table) -> &mut BTreeMap<Vec<u8>, Vec<u8>> {
        self.tables.get_mut(&table).unwrap()
    }

    fn put(&mut self, table: Table, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::new();
        encode(&mut value);
        self.table(table).insert(key.to_vec(), value);
    }

    pub(crate) fn history(&self, conversation: ConversationKey, seq: u64) -> HistoryRow {
        let value = &self.tables[&Table::History][&history_key(conversation, seq)];
        codec::decode_history(conversation, seq, value).unwrap()
    }

    pub(crate) fn put_history(&mut self, row: &HistoryRow) {
        let key = history_key(row.message.conversation, row.message.seq);
        self.put(Table::History, &key, |out| codec::encode_history(row, out));
    }

    /// With the dedup row that belongs to it.
    pub(crate) fn put_message(&mut self, row: &HistoryRow) {
        self.put_history(row);
        let message = &row.message;
        let dedup = DedupRow::of(message, digest(message.kind, &message.payload));
        self.put_dedup(&dedup_key(message), dedup);
    }

    pub(crate) fn remove_message(&mut self, conversation: ConversationKey, seq: u64) -> HistoryRow {
        let row = self.history(conversation, seq);
        self.table(Table::History)
            .remove(&history_key(conversation, seq));
        self.table(Table::Dedup).remove(&dedup_key(&row.message));
        row
    }

    pub(crate) fn put_dedup(&mut self, key: &[u8], row: DedupRow) {
        self.put(Table::Dedup, key, |out| codec::encode_dedup(&row, out));
    }

    pub(crate) fn inbox(&self, id: u64, cursor: u64) -> InboxRow {
        let value = &self.tables[&Table::Inbox][&inbox_key(id, cursor)];
        codec::decode_inbox(user(id), value).unwrap()
    }

    pub(crate) fn inbox_head(&self, id: u64) -> u64 {
        let last = self
            .last(Table::Inbox, &codec::inbox_prefix(user(id)))
            .unwrap();
        codec::inbox_cursor(&last.unwrap().0).unwrap()
    }

    pub(crate) fn put_inbox(&mut self, id: u64, cursor: u64, row: &InboxRow) {
        let key = inbox_key(id, cursor);
        self.put(Table::Inbox, &key, |out| {
            codec::encode_inbox(user(id), row, out)
        });
    }

    /// One more pointer, at a position that was not used.
    pub(crate) fn append_inbox(&mut self, id: u64, conversation: ConversationKey, seq: u64) {
        let row = InboxRow {
            position: self.unused(),
            conversation,
            seq,
        };
        self.put_inbox(id, self.inbox_head(id) + 1, &row);
    }

    pub(crate) fn marks(&self, conversation: ConversationKey) -> MarksRow {
        let value = &self.tables[&Table::Marks][&codec::marks_key(conversation).to_vec()];
        codec::decode_marks(value).unwrap()
    }

    pub(crate) fn put_marks(&mut self, conversation: ConversationKey, row: &MarksRow) {
        let key = codec::marks_key(conversation);
        self.put(Table::Marks, &key, |out| codec::encode_marks(row, out));
    }

    pub(crate) fn user(&self, id: u64) -> UserRow {
        codec::decode_user(&self.tables[&Table::Users][&codec::user_key(user(id)).to_vec()])
            .unwrap()
    }

    pub(crate) fn put_user(&mut self, id: u64, row: &UserRow) {
        let key = codec::user_key(user(id));
        self.put(Table::Users, &key, |out| codec::encode_user(row, out));
    }

    pub(crate) fn partition(&self) -> PartitionRow {
        codec::decode_partition(&self.tables[&Table::Partitions][&partition_key()]).unwrap()
    }

    pub(crate) fn put_partition(&mut self, row: &PartitionRow) {
        let key = partition_key();
        self.put(Table::Partitions, &key, |out| {
            codec::encode_partition(row, out)
        });
    }

    /// Behind every row and before what is consumed.
    fn unused(&self) -> Position {
        let mut position = self.partition().consumed;
        position.offset -= 50;
        position
    }
}

pub(crate) fn partition_key() -> Vec<u8> {
    codec::partition_key(Stage::Conversations, VirtualPartition(0)).to_vec()
}

pub(crate) fn history_key(conversation: ConversationKey, seq: u64) -> Vec<u8> {
    let mut key = Vec::new();
    codec::history_key(conversation, seq, &mut key);
    key
}

pub(crate) fn inbox_key(id: u64, cursor: u64) -> Vec<u8> {
    let mut key = Vec::new();
    codec::inbox_key(user(id), cursor, &mut key);
    key
}

pub(crate) fn dedup_key(message: &Message) -> Vec<u8> {
    let mut key = Vec::new();
    codec::dedup_key(&DedupKey::of(message), &mut key);
    key
}
