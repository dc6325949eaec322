//! A store that is looked at without a server: what is read, what is refused, and that nothing is made.

use millpond_backplane::audit::{KeyValue, Rows as _, Table};
use millpond_backplane::codec;
use millpond_backplane::row::InboxRow;
use millpond_backplane::store::{Batch, Store as _, Write};
use millpond_backplane::{ConversationKey, Position};
use millpond_embedded::{FjallStore, OfflineRows, OpenError, Options};
use millpond_wire::UserId;
use std::path::Path;

fn user(id: u64) -> UserId {
    UserId::new(id).expect("a user")
}

fn look(data: &Path) -> Result<OfflineRows, OpenError> {
    OfflineRows::open(data, &Options::default())
}

/// Inboxes of 300 rows for user 1 and 2 for user 2.
fn make(data: &Path) -> u64 {
    let store = FjallStore::open(data, &Options::default()).expect("a new store");
    let places = (1..=300).map(|cursor| (1, cursor));
    let writes = places.chain([(2, 1), (2, 2)]).map(|(id, cursor)| {
        let position = Position {
            epoch: 1,
            offset: cursor,
            index: 0,
        };
        Write::Inbox {
            user: user(id),
            cursor,
            row: InboxRow {
                position,
                conversation: ConversationKey::direct(user(1), user(2)),
                seq: cursor,
            },
        }
    });
    let writes = writes.collect();
    store.commit(&Batch { writes }).expect("committed");
    store.epoch()
}

fn named(row: &KeyValue) -> (u64, u64) {
    let (user, cursor) = codec::decode_inbox_key(&row.0).expect("a key");
    (user.value(), cursor)
}

#[test]
fn rows_come_in_order_and_from_where_one_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let epoch = make(folder.path());
    let rows = look(folder.path()).expect("it opens");
    assert_eq!(rows.epoch(), epoch);
    let all: Vec<KeyValue> = rows
        .scan(Table::Inbox, &[])
        .map(|row| row.expect("read"))
        .collect();
    let wanted = (1..=300).map(|cursor| (1, cursor)).chain([(2, 1), (2, 2)]);
    assert!(all.iter().map(named).eq(wanted));
    let from: Vec<KeyValue> = rows
        .scan(Table::Inbox, &all[299].0)
        .map(|row| row.expect("read"))
        .collect();
    assert_eq!(from, all[299..], "the key itself is the first");
    assert!(rows.scan(Table::Marks, &[]).next().is_none());
}

#[test]
fn single_rows_and_last_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let rows = look(folder.path()).expect("it opens");
    let last = |id| {
        rows.last(Table::Inbox, &codec::inbox_prefix(user(id)))
            .expect("read")
    };
    assert_eq!(last(1).as_ref().map(named), Some((1, 300)));
    assert_eq!(last(3), None);
    let (key, value) = last(2).expect("there");
    assert_eq!(rows.value(Table::Inbox, &key).expect("read"), Some(value));
    assert_eq!(rows.value(Table::History, &key).expect("read"), None);
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(
        look(folder.path()),
        Err(OpenError::NoStore { .. })
    ));
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(look(&nowhere), Err(OpenError::NoStore { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
    std::fs::write(folder.path().join("LOCK"), "").expect("written");
    assert!(matches!(
        look(folder.path()),
        Err(OpenError::NoStore { .. })
    ));
}

#[test]
fn a_server_and_a_look_keep_each_other_out() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let store = FjallStore::open(folder.path(), &Options::default()).expect("it opens");
    assert!(matches!(look(folder.path()), Err(OpenError::Locked { .. })));
    drop(store);
    let rows = look(folder.path()).expect("it opens");
    let server = FjallStore::open(folder.path(), &Options::default());
    assert!(matches!(server, Err(OpenError::Locked { .. })));
    drop(rows);
    assert!(FjallStore::open(folder.path(), &Options::default()).is_ok());
}
