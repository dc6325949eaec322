//! The keys of the router: how much it takes at once, and what it keeps in memory.

use super::{Key, ranged};
use crate::config::given::{Given, Mismatch};
use crate::config::text::{count, duration};
use std::ops::RangeInclusive;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "router.dedup",
        words: "For how long the same message sent again is recognised.",
        set: |config, given| ms(given, DAY..=365 * DAY).map(|it| config.router.rules.dedup_ms = it),
        show: |config| duration(Duration::from_millis(config.router.rules.dedup_ms)),
    },
    Key {
        name: "router.queue",
        words: "Commands of one shard that may wait; beyond, clients are told to repeat.",
        set: |config, given| {
            given
                .count(16..=1_000_000)
                .map(|it| config.router_queue = it)
        },
        show: |config| count(config.router_queue),
    },
    Key {
        name: "router.link_queue",
        words: "Hints to one shard that may wait; beyond, they are dropped, and clients catch up by their cursors.",
        set: |config, given| given.count(16..=1_000_000).map(|it| config.link_queue = it),
        show: |config| count(config.link_queue),
    },
    ranged!(count router.batch_entries_max, 1..=65_536, "Commands of one commit."),
    ranged!(bytes router.batch_bytes_max, 64 * KIB..=64 * MIB, "Payload of one commit."),
    ranged!(count router.commits_in_flight_max, 1..=64, "Commits on their way to the disk at a time."),
    Key {
        name: "router.conversations_cached",
        words: "Conversations whose state is kept in memory.",
        set: |config, given| {
            given
                .count(CACHED)
                .map(|it| config.router.caches.conversations = it)
        },
        show: |config| count(config.router.caches.conversations),
    },
    Key {
        name: "router.inboxes_cached",
        words: "Inboxes whose state is kept in memory.",
        set: |config, given| {
            given
                .count(CACHED)
                .map(|it| config.router.caches.inboxes = it)
        },
        show: |config| count(config.router.caches.inboxes),
    },
    Key {
        name: "router.lazy",
        words: "For how long a mark (delivered, read) may be in memory only. A crash loses that much of them, and devices\n\
                send them again.",
        set: |config, given| ms(given, 10 * MS..=MINUTE).map(|it| config.router.lazy_ms = it),
        show: |config| duration(Duration::from_millis(config.router.lazy_ms)),
    },
    ranged!(count router.dirty_max, 16..=100_000_000, "Marks in memory only, before the oldest are written early."),
    Key {
        name: "router.hint",
        words: "The shortest time between two hints about one member's marks in one conversation.",
        set: |config, given| {
            ms(given, Duration::ZERO..=MINUTE).map(|it| config.router.hint_ms = it)
        },
        show: |config| duration(Duration::from_millis(config.router.hint_ms)),
    },
    ranged!(count router.hints_max, 16..=100_000_000, "Members whose marks are held back for it at a time."),
];

const CACHED: RangeInclusive<u64> = 16..=100_000_000;

fn ms(given: &Given<'_>, range: RangeInclusive<Duration>) -> Result<u64, Mismatch> {
    let duration = given.duration(range)?;
    Ok(u64::try_from(duration.as_millis()).expect("the range ends at a year"))
}
