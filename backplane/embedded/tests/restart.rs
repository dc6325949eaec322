//! Opening again: after a close, beside another process, after damage.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::ConversationKey;
use millpond_backplane::conformance::{history_row, message_write, user};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError, Write};
use millpond_embedded::{FjallStore, OpenError, Options};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn conversation() -> ConversationKey {
    ConversationKey::direct(user(5), user(9))
}

fn open(directory: &Path, durability: Durability) -> Result<FjallStore, OpenError> {
    let options = Options {
        durability,
        ..Options::default()
    };
    FjallStore::open(directory, &options)
}

/// One message a batch.
fn write(store: &FjallStore, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let writes = vec![message_write(conversation(), seq, seq)];
        store.commit(&Batch { writes }).unwrap();
    }
}

fn head(store: &FjallStore) -> u64 {
    match &store.read(&[Read::HistoryHead(conversation())]).unwrap()[..] {
        [Answer::History(rows)] => rows.first().map_or(0, |row| row.message.seq),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_committed_is_there_after_a_clean_close_in_every_mode() {
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let directory = TempDir::new().unwrap();
        let store = open(directory.path(), durability).unwrap();
        let epoch = store.epoch();
        assert!(epoch > 0 && epoch < 1 << 63);
        write(&store, 1..=20);
        drop(store);
        let store = open(directory.path(), durability).unwrap();
        assert_eq!((head(&store), store.epoch()), (20, epoch));
        let at = Read::HistoryAt {
            conversation: conversation(),
            seq: 13,
        };
        let row = history_row(conversation(), 13, 13);
        assert_eq!(store.read(&[at]).unwrap(), [Answer::History(vec![row])]);
    }
}

#[test]
fn two_stores_have_two_epochs() {
    let epoch = || {
        let directory = TempDir::new().unwrap();
        open(directory.path(), Durability::Sync).unwrap().epoch()
    };
    assert_ne!(epoch(), epoch());
}

#[test]
fn a_restored_store_has_another_epoch_and_keeps_it() {
    let directory = TempDir::new().unwrap();
    let first = open(directory.path(), Durability::Sync).unwrap().epoch();
    let options = Options {
        restored: true,
        ..Options::default()
    };
    let restored = FjallStore::open(directory.path(), &options).unwrap();
    let epoch = restored.epoch();
    assert_ne!(epoch, first);
    drop(restored);
    let later = open(directory.path(), Durability::Sync).unwrap();
    assert_eq!(later.epoch(), epoch);
}

#[test]
fn a_store_that_syncs_at_an_interval_does() {
    let directory = TempDir::new().unwrap();
    let options = Options {
        durability: Durability::Interval,
        sync_interval: Duration::from_millis(5),
        ..Options::default()
    };
    let store = FjallStore::open(directory.path(), &options).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.metrics().syncs.value() < 10 {
        assert!(Instant::now() < deadline, "{:?}", store.metrics().syncs);
        std::thread::sleep(Duration::from_millis(1));
    }
    store.health().unwrap();
    let other = TempDir::new().unwrap();
    let never = open(other.path(), Durability::Os).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(never.metrics().syncs.value(), 0);
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), Durability::Sync).unwrap();
    let second = open(directory.path(), Durability::Sync);
    assert!(
        matches!(second, Err(OpenError::Locked { .. })),
        "{second:?}"
    );
    drop(store);
    open(directory.path(), Durability::Sync).unwrap();
}

#[test]
fn another_format_and_a_stranger_are_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path(), Durability::Sync).unwrap());
    let file = directory.path().join("store/STORE");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("format 1", "format 2")).unwrap();
    let later = open(directory.path(), Durability::Sync).unwrap_err();
    assert!(later.to_string().contains(r#"format "2""#), "{later}");
    fs::remove_file(&file).unwrap();
    let stranger = open(directory.path(), Durability::Sync);
    assert!(matches!(stranger, Err(OpenError::NotAStore { .. })));
    fs::write(&file, text).unwrap();
    open(directory.path(), Durability::Sync).unwrap();
}

#[test]
fn a_crash_while_it_was_made_leaves_no_store_and_does_no_harm() {
    let directory = TempDir::new().unwrap();
    let rows = directory.path().join("store.new/rows");
    fs::create_dir_all(&rows).unwrap();
    fs::write(rows.join("0.jnl"), b"half").unwrap();
    let store = open(directory.path(), Durability::Sync).unwrap();
    write(&store, 1..=1);
    assert_eq!(head(&store), 1);
}

#[test]
fn a_row_that_does_not_decode_is_an_error_that_names_its_table() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), Durability::Sync).unwrap();
    write(&store, 1..=3);
    drop(store);
    let engine = fjall::Database::builder(directory.path().join("store/rows"));
    let engine = engine.open().unwrap();
    let history = engine.keyspace("history", Default::default).unwrap();
    let mut key = Vec::new();
    millpond_backplane::codec::history_key(conversation(), 2, &mut key);
    history.insert(key, b"\x01\x02").unwrap();
    drop((history, engine));
    let store = open(directory.path(), Durability::Sync).unwrap();
    let page = Read::HistoryAfter {
        conversation: conversation(),
        after: 0,
        rows: 10,
        bytes: usize::MAX,
    };
    for read in [
        page,
        Read::HistoryAt {
            conversation: conversation(),
            seq: 2,
        },
    ] {
        let error = store.read(&[read]).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Corrupt {
                    table: "history",
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(head(&store), 3, "other rows are still answered");
}

fn journal(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory.join("store/rows")).unwrap();
    let mut journals = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let journal = journals.next().unwrap();
    assert_eq!(journals.next(), None);
    journal
}

/// A store of 20 batches whose journal ends without the marks of a clean close, as after a crash; and where each of
/// its batches ends.
fn crashed(durability: Durability) -> (TempDir, Vec<u8>, Vec<usize>) {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), durability).unwrap();
    write(&store, 1..=20);
    let bytes = fs::read(journal(directory.path())).unwrap();
    drop(store);
    let ends: Vec<_> = (4..=bytes.len())
        .filter(|end| bytes[..*end].ends_with(b"FJL\x03"))
        .collect();
    fs::write(journal(directory.path()), &bytes).unwrap();
    (directory, bytes, ends)
}

#[test]
fn a_torn_last_batch_is_cut_off_wherever_it_was_torn() {
    let (directory, bytes, ends) = crashed(Durability::Sync);
    let [.., start, end] = ends[..] else {
        panic!("there are batches");
    };
    // Its end never came; or it came and something before it did not.
    let mut torn: Vec<Vec<u8>> = Vec::new();
    for at in (start + 1..end).step_by(7) {
        let mut without_end = bytes.clone();
        without_end[at..end].fill(0);
        torn.push(without_end);
        let mut hole = bytes.clone();
        hole[at..(at + 5).min(end)].fill(0);
        torn.push(hole);
    }
    for bytes in torn {
        fs::write(journal(directory.path()), bytes).unwrap();
        let store = open(directory.path(), Durability::Sync).unwrap();
        assert!((19..=20).contains(&head(&store)), "the others are there");
        write(&store, 20..=21);
        assert_eq!(head(&store), 21);
    }
}

/// A client sends what the engine's next batches look like, and the power goes while just that is written.
#[test]
fn a_payload_that_looks_like_a_batch_stops_no_start() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), Durability::Sync).unwrap();
    write(&store, 1..=20);
    let written = fs::read(journal(directory.path())).unwrap();
    let start = written.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let fakes: Vec<u8> = (0..1_000).flat_map(fake_batch).collect();
    let mut row = history_row(conversation(), 21, 21);
    row.message.payload = fakes.into();
    let writes = vec![Write::Message { row, hash: 0 }];
    store.commit(&Batch { writes }).unwrap();
    let bytes = fs::read(journal(directory.path())).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(end - start > 40_000, "the last batch is the large one");
    drop(store);
    for lost in [end - 1, end - 12, start + 45_000] {
        let mut torn = bytes.clone();
        torn[lost..].fill(0);
        fs::write(journal(directory.path()), &torn).unwrap();
        let store = open(directory.path(), Durability::Sync).unwrap();
        assert_eq!(head(&store), 20, "torn at {lost}");
    }
}

/// One small row, in the engine's own bytes.
fn fake_batch(number: u64) -> Vec<u8> {
    let mut row = vec![2, 0, 0];
    row.extend(5_u64.to_le_bytes());
    row.extend([1, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    row.extend(b"kv");
    let mut bytes = vec![1];
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(&row);
    bytes.push(3);
    bytes.extend(xxhash_rust::xxh3::xxh3_64(&row).to_le_bytes());
    bytes.extend(b"FJL\x03");
    bytes
}

#[test]
fn damage_in_the_middle_of_what_was_synced_is_refused() {
    let (directory, bytes, ends) = crashed(Durability::Sync);
    let middle = ends[ends.len() - 10];
    for at in [0, 3, 20, 40] {
        let mut damaged = bytes.clone();
        damaged[middle + at] ^= 0xff;
        fs::write(journal(directory.path()), &damaged).unwrap();
        let refused = open(directory.path(), Durability::Sync).unwrap_err();
        let OpenError::Journal { offset, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(offset, middle);
        let after = fs::read(journal(directory.path())).unwrap();
        assert_eq!(after, damaged, "nothing was cut off");
    }
    fs::write(journal(directory.path()), &bytes).unwrap();
    assert_eq!(head(&open(directory.path(), Durability::Sync).unwrap()), 20);
}

/// Many batches may have been under way, so a hole is what a power cut looks like; the epoch says that rows were lost.
#[test]
fn a_hole_in_a_mode_that_does_not_sync_costs_what_follows_and_the_epoch() {
    let (directory, mut bytes, ends) = crashed(Durability::Os);
    let middle = ends[ends.len() - 10];
    bytes[middle + 20..middle + 40].fill(0);
    fs::write(journal(directory.path()), &bytes).unwrap();
    let store = open(directory.path(), Durability::Sync).unwrap();
    assert_eq!(head(&store), 11);
    let epoch = store.epoch();
    drop(store);
    let store = open(directory.path(), Durability::Sync).unwrap();
    assert_eq!(store.epoch(), epoch, "once");
}

/// Every table file, damaged at many places, one at a time: a read gives the rows or an error, never other rows.
#[test]
fn damage_in_a_table_file_is_never_taken_for_rows() {
    const ROWS: u64 = 3_000;
    let directory = TempDir::new().unwrap();
    let small = Options {
        memtable_bytes: 64 << 10,
        ..Options::default()
    };
    let store = FjallStore::open(directory.path(), &small).unwrap();
    for first in (1..=ROWS).step_by(100) {
        let writes = (first..first + 100).map(|seq| message_write(conversation(), seq, seq));
        let writes = writes.collect();
        store.commit(&Batch { writes }).unwrap();
    }
    drop(store);
    let files = table_files(&directory.path().join("store/rows/keyspaces"));
    assert!(!files.is_empty());
    let (mut errors, mut whole) = (0, 0);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 6 + 1) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            fs::write(&file, damaged).unwrap();
            if rows_or_error(directory.path(), ROWS) {
                whole += 1;
            } else {
                errors += 1;
            }
        }
        fs::write(&file, bytes).unwrap();
    }
    println!("{errors} errors, {whole} times whole");
    assert!(errors > 0, "the damage was met");
}

/// Whether all rows were read.
fn rows_or_error(directory: &Path, rows: u64) -> bool {
    let Ok(store) = open(directory, Durability::Sync) else {
        return false;
    };
    let page = Read::HistoryAfter {
        conversation: conversation(),
        after: 0,
        rows: usize::MAX,
        bytes: usize::MAX,
    };
    let Ok(answers) = store.read(&[page]) else {
        return false;
    };
    let all = (1..=rows).map(|seq| history_row(conversation(), seq, seq));
    assert_eq!(answers, [Answer::History(all.collect())]);
    true
}

fn table_files(keyspaces: &Path) -> Vec<PathBuf> {
    let tables = fs::read_dir(keyspaces).unwrap();
    let tables = tables.map(|table| table.unwrap().path().join("tables"));
    let files = tables
        .filter_map(|tables| fs::read_dir(tables).ok())
        .flatten();
    files.map(|file| file.unwrap().path()).collect()
}
