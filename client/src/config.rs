//! What can be set about the behaviour of the core. Every duration and bound has its default here.

use std::time::Duration;

/// How the core behaves; `Config::default()` is right for most.
#[derive(Clone, Debug)]
pub struct Config {
    /// Named to the server; at most 64 bytes.
    pub agent: String,
    /// The application is in the background: the server pings less.
    pub background: bool,
    /// The server sends this device no push notices.
    pub no_push: bool,
    /// The first wait before a reconnection is uniform between zero and this; each failure doubles it.
    pub backoff_base: Duration,
    /// The longest upper end of a wait before a reconnection.
    pub backoff_cap: Duration,
    /// A connection that lived this long makes the next wait short again. Zero: every WELCOME does.
    pub stable_after: Duration,
    /// For the socket to come up.
    pub connect_timeout: Duration,
    /// From the socket being up to WELCOME.
    pub handshake_timeout: Duration,
    /// From a PING to any frame; then the connection counts as dead.
    pub ping_timeout: Duration,
    /// The same for the PING of [`crate::Core::probe`], sent when the application wakes up.
    pub probe_timeout: Duration,
    /// From a SEND to its acknowledgement; then it is sent again under the same id.
    pub ack_timeout: Duration,
    /// For one history request, over all its repetitions.
    pub request_timeout: Duration,
    /// Without progress of a synchronisation; then the connection counts as dead.
    pub sync_timeout: Duration,
    /// The cursor is acknowledged at latest when the application has finished with this many records.
    pub ack_after_records: u64,
    /// The cursor is acknowledged at latest this long after the application has finished with a record.
    pub ack_after: Duration,
    /// Read marks are collected for this long.
    pub marks_after: Duration,
    /// Records the server may deliver before they are acknowledged.
    pub window_records: u64,
    /// About how many bytes of records one page of a synchronisation holds.
    pub sync_bytes: u64,
    /// The largest frame body taken from the server, in bytes.
    pub frame_bytes_max: usize,
    /// Events that wait for the application; above, no more bytes are taken from the socket.
    pub events_max: usize,
    /// Messages that wait for their acknowledgement, sent or not.
    pub outbox_messages_max: usize,
    /// SENDs on the way at a time, if the server allows as many.
    pub send_window_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent: concat!("millpond-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            background: false,
            no_push: false,
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(30),
            stable_after: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(3),
            ack_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            sync_timeout: Duration::from_secs(15),
            ack_after_records: 16,
            ack_after: Duration::from_secs(1),
            marks_after: Duration::from_millis(300),
            window_records: 256,
            sync_bytes: 64 * 1024,
            frame_bytes_max: millpond_wire::SERVER_FRAME_BYTES_MAX,
            events_max: 1024,
            outbox_messages_max: 1024,
            send_window_max: 128,
        }
    }
}
