//! What a gateway is told at start: where it listens, who it is, and the bound of everything it holds.

use crate::token::Keys;
use millpond_backplane::GatewayId;
use millpond_wire::{BODY_BYTES_MAX, CLIENT_FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 lets the kernel choose; all shards share its choice.
    pub listen: SocketAddr,
    /// Threads that hold sockets, each with a listener and a ring of its own.
    pub shards: u16,
    pub gateway: GatewayId,
    pub gateway_epoch: u32,
    pub keys: Keys,
    pub limits: Limits,
}

impl Config {
    /// One shard on `listen`, with the limits' defaults.
    pub fn new(listen: SocketAddr, keys: Keys) -> Self {
        Self {
            listen,
            shards: 1,
            gateway: GatewayId(1),
            gateway_epoch: 1,
            keys,
            limits: Limits::default(),
        }
    }
}

/// Every bound of a gateway. Those of a shard hold for each shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Sockets of a shard: the size of its ring's table, less its listener.
    pub connections_max: u32,
    /// Accepts that wait in the kernel at a time.
    pub accepts_outstanding: u16,
    /// Connections the kernel completes and keeps before we accept them.
    pub accept_backlog: u16,
    /// Connections of a shard that have not said a valid HELLO; beyond, the backlog holds clients back.
    pub handshakes_max: u32,
    /// From the accept to a whole HELLO.
    pub handshake_deadline: Duration,
    /// From the accept to a whole HELLO, while others wait behind: then the longest silent one makes room.
    pub handshake_patience: Duration,
    /// Told to clients in WELCOME, ±10 %: silence after which they ping.
    pub ping_active: Duration,
    pub ping_idle: Duration,
    /// On top of 1.5 times the interval, before a silent client is closed.
    pub ping_slack: Duration,
    /// Connections of a shard that may hold a multishot read.
    pub hot_max: u32,
    /// Silence after which a hot connection is cold again.
    pub hot_quiet: Duration,
    /// Frame bytes taken from a client, body only.
    pub frame_bytes_max: usize,
    /// Bytes waiting for one client beyond which nothing more is read from it, and no delivery queued.
    pub outbox_room_bytes: usize,
    /// Bytes waiting for one client beyond which it is closed as lagging.
    pub outbox_bytes_max: usize,
    /// Bytes waiting for all clients of a shard: beyond, no client gets deliveries or pages, and only those for whom
    /// nothing waits are read from.
    pub outboxes_bytes_max: usize,
    /// How long a client may take nothing of what waits for it.
    pub outbox_age_max: Duration,
    /// Unfinished frames of a shard; beyond, the oldest is closed.
    pub partial_bytes_max: usize,
    /// From when on an unfinished frame must make progress, and how much.
    pub partial_grace: Duration,
    pub partial_bytes_per_second_min: usize,
    /// SENDs a client may have unanswered.
    pub send_window: u8,
    /// Records a client may leave unacknowledged: when it asks for nothing, and at most.
    pub inbox_window_default: u16,
    pub inbox_window_max: u16,
    /// Threads that read pages and write routes.
    pub page_readers: u16,
    /// Questions of one shard that one reader may have open.
    pub page_asks_max: usize,
    /// Rows and bytes of a page.
    pub page_rows_max: usize,
    pub page_bytes_max: usize,
    /// HISTORY requests of one client that may be open at a time.
    pub histories_max: u8,
    /// Hints from the routers that a shard takes in one turn.
    pub downlinks_per_turn: usize,
    /// Operations of a shard's ring that go to the kernel in one call, and completions it may hold back.
    pub ring_entries: u32,
    pub ring_completions: u32,
    /// Buffers the kernel reads into, and the bytes of each.
    pub buffers: u16,
    pub buffer_bytes: u32,
    /// Bytes read and dropped behind an ERROR, so that the client can still read it.
    pub linger_bytes_max: usize,
    /// From the end of a drain's spread until the rest is cut off.
    pub drain_flush: Duration,
    /// How often the lease of this gateway's routes is renewed.
    pub lease_renewal: Duration,
}

/// Slots of a shard have as many bits in a session's name.
const CONNECTIONS_MAX: u32 = 1 << 24;
/// Body bytes of a frame that every client takes, whatever its HELLO says; no frame of ours is larger.
pub(crate) const TAKEN_BYTES_MAX: usize = 64 * 1024;
/// That, less the head and the fields beside the records of a page and of one record.
const PAGE_BYTES_MAX: usize = 64_000;

impl Limits {
    /// What is wrong with them, in words, if something is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let at_least_one = [
            self.accepts_outstanding > 0,
            self.handshakes_max > 0,
            self.send_window > 0,
            self.inbox_window_default > 0,
            self.inbox_window_max >= self.inbox_window_default,
            self.page_asks_max > 0,
            self.page_rows_max > 0,
            self.histories_max > 0,
            self.downlinks_per_turn > 0,
        ];
        if at_least_one.contains(&false) {
            return Some("a bound of 0 (or a default window above its maximum) stops the gateway");
        }
        if self.connections_max == 0 || self.connections_max > CONNECTIONS_MAX {
            return Some("a shard holds 1 to 16,777,216 connections");
        }
        if self.page_rows_max > usize::from(u16::MAX) {
            return Some("a page has at most 65,535 rows");
        }
        if self.page_bytes_max > PAGE_BYTES_MAX {
            return Some("a page has at most 64,000 bytes: clients need not take larger frames");
        }
        let smallest_frame = PAYLOAD_BYTES_MAX + 1_024;
        if self.frame_bytes_max < smallest_frame || self.frame_bytes_max > BODY_BYTES_MAX {
            return Some(
                "a frame has at least 62,464 bytes (the largest SEND) and at most 2,097,151",
            );
        }
        // All that may come in one turn for a client whose outbox still has room.
        let bodies = usize::from(self.histories_max) + 2;
        let at_once = self
            .outbox_room_bytes
            .saturating_add(bodies * TAKEN_BYTES_MAX);
        (at_once > self.outbox_bytes_max).then_some(
            "an outbox holds its room and, 64 KiB each, a page, a record and all histories of a client",
        )
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 500_000,
            accepts_outstanding: 64,
            accept_backlog: 4_096,
            handshakes_max: 1_024,
            handshake_deadline: Duration::from_secs(10),
            handshake_patience: Duration::from_secs(1),
            ping_active: Duration::from_secs(30),
            ping_idle: Duration::from_secs(285),
            ping_slack: Duration::from_secs(5),
            hot_max: 1_024,
            hot_quiet: Duration::from_secs(3),
            frame_bytes_max: CLIENT_FRAME_BYTES_MAX,
            outbox_room_bytes: 128 * 1024,
            outbox_bytes_max: 512 * 1024,
            outboxes_bytes_max: 64 * 1024 * 1024,
            outbox_age_max: Duration::from_secs(30),
            partial_bytes_max: 16 * 1024 * 1024,
            partial_grace: Duration::from_secs(10),
            partial_bytes_per_second_min: 512,
            send_window: 128,
            inbox_window_default: 256,
            inbox_window_max: 1_024,
            page_readers: 2,
            page_asks_max: 1_024,
            page_rows_max: 128,
            page_bytes_max: 60 * 1024,
            histories_max: 4,
            downlinks_per_turn: 1_024,
            ring_entries: 1_024,
            ring_completions: 8_192,
            buffers: 256,
            buffer_bytes: 2_048,
            linger_bytes_max: 256 * 1024,
            drain_flush: Duration::from_secs(5),
            lease_renewal: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sane_and_nonsense_is_named() {
        let good = Limits::default();
        assert_eq!(good.fault(), None);
        let nonsense = [
            Limits {
                connections_max: 0,
                ..good
            },
            Limits {
                send_window: 0,
                ..good
            },
            Limits {
                page_bytes_max: 1 << 20,
                ..good
            },
            Limits {
                frame_bytes_max: 1_000,
                ..good
            },
            Limits {
                outbox_room_bytes: 1 << 30,
                ..good
            },
        ];
        for limits in nonsense {
            assert!(limits.fault().is_some(), "{limits:?}");
        }
    }
}
