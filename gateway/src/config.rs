//! What a gateway is told at start: where it listens, who it is, and the bound of everything it holds.

use crate::token::Keys;
use millpond_backplane::GatewayId;
use millpond_wire::CLIENT_FRAME_BYTES_MAX;
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
    /// Bytes waiting for all clients of a shard: beyond, no client gets deliveries.
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_000,
            accepts_outstanding: 64,
            accept_backlog: 4_096,
            handshakes_max: 1_024,
            handshake_deadline: Duration::from_secs(10),
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
            ring_completions: 16_384,
            buffers: 256,
            buffer_bytes: 2_048,
            linger_bytes_max: 256 * 1024,
            drain_flush: Duration::from_secs(5),
            lease_renewal: Duration::from_secs(2),
        }
    }
}
