//! How many messages a second the store takes, and how long its worst commit is.
//!
//! `cargo run --release -p millpond-embedded --example store_rate -- [DIRECTORY [MESSAGES [MEMTABLE_KIB [WORKERS [TABLE_KIB]]]]]`
//!
//! A message is what a direct one costs: a history row with 64 bytes of payload, its dedup row, and a pointer in each of
//! the two inboxes; every batch ends with a partition row. Conversations are random among a million.
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use millpond_backplane::row::{HistoryRow, InboxRow, PartitionRow, Stage};
use millpond_backplane::store::{Batch, Durability, Read, Store, Write};
use millpond_backplane::{ConversationKey, Message, Position, VirtualPartition};
use millpond_embedded::{FjallStore, Options};
use millpond_wire::{DeviceId, Kind, UserId};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USERS: u64 = 100_000;
const CONVERSATIONS: u64 = 1_000_000;
const PAYLOAD_BYTES: usize = 64;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let messages = number(arguments.next(), 600_000);
    let memtable_bytes = number(arguments.next(), 4 << 10) << 10;
    let workers = number(arguments.next(), 3);
    let table_bytes = number(arguments.next(), 16 << 10) << 10;
    for (durability, batch) in [
        (Durability::Sync, 64),
        (Durability::Sync, 256),
        (Durability::Os, 256),
    ] {
        let options = Options {
            durability,
            memtable_bytes,
            table_bytes,
            workers: usize::try_from(workers).expect("a small number"),
            ..Options::default()
        };
        let place = tempfile::TempDir::new_in(&directory).expect("a directory can be made");
        let store = FjallStore::open(place.path(), &options).expect("a new store opens");
        let mut load = Load::default();
        let cpu = cpu_time();
        let mut run = load.run(&store, messages, batch);
        run.cpu = cpu_time() - cpu;
        print(durability, batch, &run);
        load.read(&store);
        let closing = Instant::now();
        drop(store);
        let closed = closing.elapsed();
        let opening = Instant::now();
        let store = FjallStore::open(place.path(), &options).expect("it opens again");
        println!("  close {closed:?}, open {:?}", opening.elapsed());
        drop(store);
    }
}

fn number(argument: Option<String>, default: u64) -> u64 {
    argument.map_or(default, |text| text.parse().expect("a number"))
}

/// Of this process so far, in the kernel's ticks of 10 ms: fields 14 and 15, counted behind the program's name.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

struct Run {
    took: Duration,
    /// Of all threads, making the load included.
    cpu: Duration,
    messages: u64,
    /// Ascending.
    commits: Vec<Duration>,
}

fn print(durability: Durability, batch: u64, run: &Run) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is printed without its last digits"
    )]
    let rate = run.messages as f64 / run.took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let cpu = run.cpu.as_micros() as f64 / run.messages as f64;
    let at = |share: usize| run.commits[(run.commits.len() - 1) * share / 1_000];
    println!(
        "{durability:?} batch {batch}: {rate:.0} messages/s, {cpu:.1} us of CPU each; commit p50 {:?} p99 {:?} p999 {:?} max {:?}",
        at(500),
        at(990),
        at(999),
        at(1_000)
    );
}

/// A read as it is printed, and how to draw one.
type ReadKind = (&'static str, fn(&mut Load) -> Read);

#[derive(Default)]
struct Load {
    seqs: HashMap<ConversationKey, u64>,
    cursors: HashMap<UserId, u64>,
    random: u64,
    sent: u64,
}

impl Load {
    fn run(&mut self, store: &FjallStore, messages: u64, batch: u64) -> Run {
        let mut run = Run {
            took: Duration::ZERO,
            cpu: Duration::ZERO,
            messages,
            commits: Vec::new(),
        };
        while self.sent < messages {
            let batch = self.batch(batch);
            let start = Instant::now();
            store.commit(&batch).expect("a commit succeeds");
            run.took += start.elapsed();
            run.commits.push(start.elapsed());
        }
        run.commits.sort_unstable();
        run
    }

    fn batch(&mut self, messages: u64) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..messages {
            self.message(&mut batch);
        }
        batch.writes.push(Write::Partition {
            stage: Stage::Conversations,
            partition: VirtualPartition(0),
            row: PartitionRow {
                consumed: self.position(),
                time_ms: self.sent,
                high_water: Vec::new(),
            },
        });
        batch
    }

    fn message(&mut self, batch: &mut Batch) {
        self.sent += 1;
        let (conversation, [from, to]) = self.conversation();
        let seq = next(&mut self.seqs, conversation);
        let message = Message {
            conversation,
            seq,
            sender: from,
            device: DeviceId(from.value()),
            client_msg_id: (1_700_000_000_000 << 20) + self.sent,
            server_ms: 1_700_000_000_000 + self.sent,
            kind: Kind::TEXT,
            payload: Arc::from([b'x'; PAYLOAD_BYTES]),
        };
        let position = self.position();
        batch.writes.push(Write::Message {
            row: HistoryRow { position, message },
            hash: 77,
        });
        for user in [from, to] {
            let cursor = next(&mut self.cursors, user);
            batch.writes.push(Write::Inbox {
                user,
                cursor,
                row: InboxRow {
                    position,
                    conversation,
                    seq,
                },
            });
        }
    }

    fn position(&self) -> Position {
        Position {
            epoch: 1,
            offset: self.sent,
            index: 0,
        }
    }

    fn conversation(&mut self) -> (ConversationKey, [UserId; 2]) {
        let number = self.draw() % CONVERSATIONS;
        let low = spread(number % USERS);
        let high = spread(number.wrapping_mul(7_919) % USERS);
        (ConversationKey::direct(low, high), [low, high])
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.random)
    }

    /// What reads cost on the store as it stands.
    fn read(&mut self, store: &FjallStore) {
        const READS: u32 = 20_000;
        let kinds: [ReadKind; 5] = [
            ("history head", |load| {
                Read::HistoryHead(load.conversation().0)
            }),
            ("history head of nobody", |load| {
                let somebody = spread(USERS + load.draw() % USERS);
                Read::HistoryHead(ConversationKey::direct(somebody, spread(1)))
            }),
            ("inbox head", |load| {
                Read::InboxHead(load.conversation().1[0])
            }),
            ("dedup miss", |load| {
                let (conversation, [user, _]) = load.conversation();
                Read::Dedup(millpond_backplane::row::DedupKey {
                    conversation,
                    user,
                    device: DeviceId(user.value()),
                    client_msg_id: 5,
                })
            }),
            ("dedup highest", |load| {
                let (conversation, [user, _]) = load.conversation();
                Read::DedupHighest {
                    conversation,
                    user,
                    device: DeviceId(user.value()),
                }
            }),
        ];
        for (name, read) in kinds {
            let start = Instant::now();
            for _ in 0..READS {
                let read = read(self);
                store.read(&[read]).expect("a read succeeds");
            }
            println!("  {name}: {:?}", start.elapsed() / READS);
        }
    }
}

fn next<K: std::hash::Hash + Eq>(numbers: &mut HashMap<K, u64>, key: K) -> u64 {
    let number = numbers.entry(key).or_default();
    *number += 1;
    *number
}

/// A user id that says nothing of its number.
fn spread(number: u64) -> UserId {
    UserId::new((mix(number + 1) >> 1) | 1).expect("an odd number below 2^63")
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
