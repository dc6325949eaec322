//! kill -9 under load, over and over; a file that may not grow; a disk that is full.
//!
//! The writer is this test program itself, started again for one ignored test.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::conformance::{history_row, message_write, user};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError, Write};
use millpond_backplane::{ConversationKey, Message};
use millpond_embedded::{FjallStore, OpenError, Options};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ROUNDS: u32 = 12;
/// From the start of an open to the return of the first commit.
const RESUME_MAX: Duration = Duration::from_secs(2);
/// Of one batch, one message each.
const CONVERSATIONS: u64 = 64;
const PAYLOAD_BYTES: usize = 600;

fn options(durability: Durability) -> Options {
    Options {
        durability,
        // Small, so that every round seals, flushes and merges many.
        memtable_bytes: 256 << 10,
        ..Options::default()
    }
}

fn conversation(number: u64) -> ConversationKey {
    ConversationKey::direct(user(1 + number), user(1_000 + number))
}

/// Message `seq` of every conversation.
fn batch(seq: u64) -> Batch {
    let message = |number| {
        let mut row = history_row(conversation(number), seq, seq);
        let fill = seq.to_le_bytes()[0];
        row.message = Message {
            payload: vec![fill; PAYLOAD_BYTES].into(),
            ..row.message
        };
        Write::Message { row, hash: 1 }
    };
    Batch {
        writes: (0..CONVERSATIONS).map(message).collect(),
    }
}

fn head(store: &FjallStore, number: u64) -> u64 {
    let read = Read::HistoryHead(conversation(number));
    match &store.read(&[read]).unwrap()[..] {
        [Answer::History(rows)] => rows.first().map_or(0, |row| row.message.seq),
        other => panic!("{other:?}"),
    }
}

/// All of the batches up to some one, nothing of the next: says which.
fn last_whole_batch(store: &FjallStore) -> u64 {
    let last = head(store, 0);
    for number in 1..CONVERSATIONS {
        assert_eq!(head(store, number), last, "a batch is whole or not there");
    }
    let page = Read::HistoryAfter {
        conversation: conversation(7),
        after: 0,
        rows: usize::MAX,
        bytes: usize::MAX,
    };
    let answers = store.read(&[page]).unwrap();
    let [Answer::History(rows)] = &answers[..] else {
        panic!("{answers:?}");
    };
    for (row, seq) in rows.iter().zip(1..) {
        assert_eq!(row.message.seq, seq, "no gap");
        let fill = seq.to_le_bytes()[0];
        assert!(row.message.payload.iter().all(|byte| *byte == fill));
    }
    last
}

const DIRECTORY: &str = "STORE_KILL_DIRECTORY";
const MODE: &str = "STORE_KILL_MODE";

/// The writer: says `open MICROSECONDS`, then every batch that is committed, until it is killed or fails.
#[test]
#[ignore = "the other tests of this file start it"]
fn writer() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let durability = match std::env::var(MODE).unwrap().as_str() {
        "sync" => Durability::Sync,
        _ => Durability::Os,
    };
    let start = Instant::now();
    let store = FjallStore::open(Path::new(&directory), &options(durability)).unwrap();
    let mut seq = head(&store, 0);
    let mut out = std::io::stdout().lock();
    loop {
        seq += 1;
        if let Err(error) = store.commit(&batch(seq)) {
            writeln!(out, "failed {error}").unwrap();
            let again = store.commit(&batch(seq)).unwrap_err();
            assert!(matches!(again, StoreError::Failed(_)));
            assert!(head(&store, 0) < seq, "reads still answer");
            writeln!(out, "refused").unwrap();
            return;
        }
        writeln!(out, "committed {seq} {}", start.elapsed().as_micros()).unwrap();
    }
}

fn start_writer(directory: &Path, mode: &str, limits: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    let run = format!("{limits} exec \"$0\" --exact writer --ignored --nocapture");
    Command::new("sh")
        .args(["-c", &run, this.to_str().unwrap()])
        .env(DIRECTORY, directory)
        .env(MODE, mode)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a writer run and kills it: the batch it said last, and how long its first one took.
fn run_and_kill(directory: &Path, mode: &str, run: Duration) -> (u64, Duration) {
    let mut child = start_writer(directory, mode, "");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut last, mut first, mut start) = (0, None, Instant::now());
    let mut killed = false;
    for line in lines.map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        if let ["committed", seq, took] = words[..] {
            // What it said before it died may still be in the pipe; a torn last line is no word of it.
            let Ok(seq) = seq.parse() else { continue };
            last = seq;
            if first.is_none() {
                first = Some(Duration::from_micros(took.parse().unwrap()));
                start = Instant::now();
            }
        }
        if !killed && first.is_some() && start.elapsed() > run {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the writer ended by itself after {last}");
    (last, first.unwrap())
}

#[test]
fn writes_resume_at_once_after_every_kill_and_nothing_acknowledged_is_lost() {
    let directory = TempDir::new().unwrap();
    let (mut slowest, mut last) = (Duration::ZERO, 0);
    let mut epoch = None;
    for round in 0..ROUNDS {
        let run = Duration::from_millis(300 + 50 * u64::from(round % 4));
        let (said, first) = run_and_kill(directory.path(), "sync", run);
        assert!(said > last, "round {round} wrote");
        assert!(
            first < RESUME_MAX,
            "round {round}: first commit after {first:?}"
        );
        slowest = slowest.max(first);
        if round % 4 == 3 {
            let store = FjallStore::open(directory.path(), &options(Durability::Sync)).unwrap();
            let there = last_whole_batch(&store);
            assert!(
                there >= said,
                "batch {said} was acknowledged, {there} is there"
            );
            assert_eq!(*epoch.get_or_insert(store.epoch()), store.epoch());
        }
        last = said;
    }
    println!("{ROUNDS} kills, {last} batches, slowest first commit {slowest:?}");
}

#[test]
fn a_kill_in_a_mode_that_does_not_sync_loses_nothing_and_changes_the_epoch() {
    let directory = TempDir::new().unwrap();
    let store = FjallStore::open(directory.path(), &options(Durability::Os)).unwrap();
    let epoch = store.epoch();
    drop(store);
    let (said, _) = run_and_kill(directory.path(), "os", Duration::from_millis(200));
    let store = FjallStore::open(directory.path(), &options(Durability::Os)).unwrap();
    assert!(last_whole_batch(&store) >= said);
    assert_ne!(store.epoch(), epoch);
}

/// Runs a writer into a limit: the batch it said last.
fn run_until_it_fails(directory: &Path, limits: &str) -> u64 {
    let mut child = start_writer(directory, "sync", limits);
    let (mut last, mut failed, mut refused) = (0, false, false);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(rest) = line.strip_prefix("committed ") {
            last = rest.split(' ').next().unwrap().parse().unwrap();
        }
        failed |= line.starts_with("failed ");
        refused |= line == "refused";
    }
    assert!(child.wait().unwrap().success(), "it ended without a panic");
    assert!(failed && refused, "a failed commit ends the store");
    last
}

/// A limit on file sizes stands for any write that the operating system refuses.
#[test]
fn a_write_that_fails_ends_the_store_and_keeps_what_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    // In blocks of 512 bytes: a little below what a journal is lengthened to.
    let limits = "trap '' XFSZ; ulimit -f 80000;";
    drop(FjallStore::open(directory.path(), &options(Durability::Sync)).unwrap());
    let last = run_until_it_fails(directory.path(), limits);
    let store = FjallStore::open(directory.path(), &options(Durability::Sync)).unwrap();
    let there = last_whole_batch(&store);
    assert!(there == last || there == last + 1, "{there} after {last}");
    store.commit(&batch(there + 1)).unwrap();
}

#[test]
fn a_full_disk_ends_the_store_and_room_brings_it_back() {
    let directory = TempDir::new().unwrap();
    let mount = |options: &str| {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(directory.path());
        mount
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount("size=96m") {
        println!("skipped: a file system of limited size can be mounted by root only");
        return;
    }
    let _unmount = Unmount(directory.path());
    drop(FjallStore::open(directory.path(), &options(Durability::Sync)).unwrap());
    let last = run_until_it_fails(directory.path(), "");
    assert!(mount("remount,size=400m"), "there is room again");
    let store = FjallStore::open(directory.path(), &options(Durability::Sync)).unwrap();
    let there = last_whole_batch(&store);
    assert!(there == last || there == last + 1, "{there} after {last}");
    store.commit(&batch(there + 1)).unwrap();
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn another_process_is_kept_out() {
    let directory = TempDir::new().unwrap();
    let store = FjallStore::open(directory.path(), &options(Durability::Sync)).unwrap();
    store
        .commit(&Batch {
            writes: vec![message_write(conversation(0), 1, 1)],
        })
        .unwrap();
    let mut child = start_writer(directory.path(), "sync", "");
    assert!(!child.wait().unwrap().success());
    drop(store);
    let again = FjallStore::open(directory.path(), &options(Durability::Sync));
    assert!(!matches!(again, Err(OpenError::Locked { .. })));
}
