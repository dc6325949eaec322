//! The keys of the gateway: the bound of everything it holds for clients.

use super::{Key, ranged};
use crate::config::given::{Given, Mismatch};
use crate::config::text::count;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) static KEYS: &[Key] = &[
    ranged!(count gateway.connections_max, 1..=1_000_000, "Sockets of one shard."),
    ranged!(count gateway.accepts_outstanding, 1..=1_024, "Accepts of a shard that wait in the kernel at a time."),
    ranged!(count gateway.accept_backlog, 1..=65_535, "Connections the kernel keeps for us until a shard takes them."),
    ranged!(count gateway.handshakes_max, 1..=1_000_000,
        "Connections of a shard that have not shown a token yet; more wait in the backlog."),
    ranged!(duration gateway.handshake_deadline, 100 * MS..=600 * SECOND, "From the accept to a whole HELLO."),
    ranged!(duration gateway.handshake_patience, 10 * MS..=600 * SECOND,
        "The same while others wait at the door: then the longest silent one makes room."),
    ranged!(duration gateway.ping_active, SECOND..=HOUR, "Silence after which a client in use pings; told to it, ±10 %."),
    ranged!(duration gateway.ping_idle, SECOND..=HOUR, "The same for a client in the background."),
    ranged!(duration gateway.ping_slack, 100 * MS..=HOUR,
        "Added to 1.5 times the interval before a silent client is closed."),
    ranged!(count gateway.hot_max, 0..=1_000_000,
        "Busy connections of a shard that the kernel reads ahead for: faster, 600 bytes more each."),
    ranged!(duration gateway.hot_quiet, 100 * MS..=HOUR, "Silence after which a busy connection is an idle one again."),
    ranged!(bytes gateway.frame_bytes_max, 61 * KIB..=2 * MIB - 1,
        "The largest frame taken from a client: a message of 60 KiB must fit."),
    ranged!(bytes gateway.outbox_room_bytes, 4 * KIB..=GIB,
        "Bytes waiting for one client beyond which nothing more is read from it, and no delivery queued."),
    ranged!(bytes gateway.outbox_bytes_max, 4 * KIB..=GIB,
        "Bytes waiting for one client beyond which it is closed as lagging."),
    ranged!(bytes gateway.outboxes_bytes_max, MIB..=64 * GIB,
        "Bytes waiting for all clients of a shard; beyond, deliveries wait in the inboxes."),
    ranged!(duration gateway.outbox_age_max, SECOND..=HOUR, "How long a client may take nothing of what waits for it."),
    ranged!(bytes gateway.partial_bytes_max, MIB..=64 * GIB,
        "Unfinished frames of a shard; beyond, the oldest is closed."),
    ranged!(duration gateway.partial_grace, 100 * MS..=HOUR, "From when on an unfinished frame must make progress."),
    ranged!(bytes gateway.partial_bytes_per_second_min, 1..=MIB, "And how much, a second."),
    ranged!(count gateway.send_window, 1..=255, "Messages a client may have unacknowledged."),
    ranged!(count gateway.inbox_window_default, 1..=65_535,
        "Deliveries a client may leave unacknowledged when it asks for nothing."),
    ranged!(count gateway.inbox_window_max, 1..=65_535, "And the most it can ask for."),
    ranged!(count gateway.page_readers, 1..=64, "Threads that read history and inbox pages."),
    ranged!(count gateway.page_asks_max, 1..=1_000_000, "Questions of one shard that one of them may have open."),
    ranged!(count gateway.page_rows_max, 1..=1_024, "Rows of a page."),
    ranged!(bytes gateway.page_bytes_max, KIB..=62 * KIB, "Bytes of a page: no client need take more than 64 KiB."),
    ranged!(count gateway.histories_max, 1..=255, "History requests of one client that may be open at a time."),
    ranged!(count gateway.downlinks_per_turn, 1..=1_000_000, "Hints from the routers that a shard takes in one turn."),
    ranged!(count gateway.ring_entries, 64..=32_768, "Operations that a shard hands to the kernel in one call."),
    ranged!(count gateway.ring_completions, 128..=65_536, "Completions the kernel may hold back for a shard."),
    Key {
        name: "gateway.buffers",
        words: "Buffers of a shard that the kernel reads into; a power of two.",
        set: |config, given| buffers(given).map(|it| config.gateway.buffers = it),
        show: |config| count(config.gateway.buffers),
    },
    ranged!(bytes gateway.buffer_bytes, 256..=MIB, "Bytes of each."),
    ranged!(bytes gateway.linger_bytes_max, 0..=GIB,
        "Bytes read and dropped behind an error, so that the client can still read why."),
    ranged!(duration gateway.drain_flush, Duration::ZERO..=HOUR,
        "From the end of a drain's spread until the rest is cut off."),
    ranged!(duration gateway.lease_renewal, 100 * MS..=60 * SECOND, "How often the lease of this gateway's routes is renewed."),
];

fn buffers(given: &Given<'_>) -> Result<u16, Mismatch> {
    let count = given.count(8..=32_768).ok();
    count
        .filter(|count: &u16| count.is_power_of_two())
        .ok_or(Mismatch {
            wanted: "a power of two from 8 to 32768".to_owned(),
        })
}
