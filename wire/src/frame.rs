//! Every frame as a value. Field order is wire order; units stand in the names.

use crate::{Code, Conversation, DeviceId, Kind, List, Records, UserId};

/// One frame. `Ignored` is a well-formed frame of an unknown type ≥ 0x80, which the receiver skips.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame<'a> {
    Ping(Ping),
    Pong(Pong),
    Hello(Hello<'a>),
    Welcome(Welcome<'a>),
    GoAway(GoAway<'a>),
    Error(Error<'a>),
    Bye(Bye),
    Echo(Echo<'a>),
    Echoed(Echoed<'a>),
    Send(Send<'a>),
    SendAck(SendAck<'a>),
    Deliver(Deliver<'a>),
    CursorAck(CursorAck),
    Receipt(Receipt<'a>),
    Sync(Sync),
    SyncDone(SyncDone),
    Reset(Reset),
    History(History),
    HistoryPage(HistoryPage<'a>),
    Ignored(Ignored<'a>),
}

/// 0x01. With a cursor it is an acknowledgement and the anti-entropy check in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    pub cursor: Option<u64>,
}

/// 0x02.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    pub server_ms: Option<u64>,
}

/// 0x03, client to server, the first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    pub background: bool,
    pub no_push: bool,
    pub proto_min: u8,
    pub proto_max: u8,
    pub features: u64,
    pub device: DeviceId,
    /// Grows with every connection of this device: max(last + 1, unix seconds).
    pub attempt: u32,
    pub auth_kind: u8,
    pub token: &'a [u8],
    /// At most 64 bytes.
    pub agent: &'a str,
    /// The largest frame the client takes, in bytes.
    pub max_frame: u64,
    /// Records the client takes before it acknowledges.
    pub window: u64,
    pub resume: Option<Resume<'a>>,
}

impl Hello<'_> {
    /// `auth_kind`: no token; the transport has authenticated the client.
    pub const AUTH_NONE: u8 = 0;
    /// `auth_kind`: the token is a JWT in its compact form.
    pub const AUTH_JWT: u8 = 1;
    /// `auth_kind`: no token; the resume token says who it is.
    pub const AUTH_RESUME: u8 = 2;
}

/// The tail of a HELLO that continues an inbox from a cursor. An empty token is allowed: resume by cursor alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume<'a> {
    pub token: &'a [u8],
    pub epoch: u64,
    pub cursor: u64,
}

/// 0x04, server to client, the answer to HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The server feeds this connection from the cursor in HELLO; SYNC_DONE with rid 0 ends the catch-up.
    pub resumed: bool,
    /// A RESET follows: the cursor in HELLO is unusable.
    pub reset: bool,
    pub throttled: bool,
    pub proto: u8,
    pub features: u64,
    pub session: u64,
    /// Epoch of the user's inbox.
    pub epoch: u64,
    pub server_ms: u64,
    pub ping_active_ms: u64,
    pub ping_idle_ms: u64,
    /// The largest frame the server takes, in bytes.
    pub max_frame: u64,
    /// SENDs the server takes before it acknowledges.
    pub send_window: u64,
    pub token_ttl_s: u64,
    pub resume_token: &'a [u8],
    pub dictionary: u64,
}

/// 0x07: come back at `after_ms` + uniform(0, `spread_ms`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway<'a> {
    pub resume_ok: bool,
    pub overlap: bool,
    pub code: Code,
    pub after_ms: u64,
    pub spread_ms: u64,
    pub endpoint: &'a str,
}

/// What an [`Error`] speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The connection: it closes behind this frame.
    Connection,
    /// The request with this id.
    Request(u64),
    /// The SEND with this client message id.
    Message(u64),
}

/// 0x08.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error<'a> {
    pub code: Code,
    pub scope: Scope,
    pub retry_after_ms: u64,
    /// At most 128 bytes.
    pub message: &'a str,
}

/// 0x0A: ends presence at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye {
    pub reason: u8,
}

impl Bye {
    /// The application ends or goes to sleep.
    pub const CLOSING: u8 = 1;
    /// The user has logged out on this device.
    pub const LOGOUT: u8 = 2;
}

/// 0x0B: at most [`crate::ECHO_BYTES_MAX`], returned as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    pub payload: &'a [u8],
}

/// 0x0C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echoed<'a> {
    pub payload: &'a [u8],
}

/// 0x10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send<'a> {
    pub client_msg_id: u64,
    pub conversation: Conversation,
    /// The id that must be known before this one is taken (else 2004).
    pub after: Option<u64>,
    pub kind: Kind,
    pub payload: &'a [u8],
}

/// 0x11.
#[derive(Clone, Debug, PartialEq)]
pub struct SendAck<'a> {
    pub acks: List<'a, Ack>,
}

/// One acknowledged SEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub client_msg_id: u64,
    pub status: AckStatus,
    pub seq: u64,
    pub server_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckStatus {
    New,
    Duplicate,
}

/// Why a DELIVER was sent (bits 0–1 of its flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Live,
    Sync,
}

/// 0x20: records with consecutive cursors, the first has `first_cursor`.
#[derive(Clone, Debug, PartialEq)]
pub struct Deliver<'a> {
    pub mode: Mode,
    pub first_cursor: u64,
    pub records: Records<'a>,
}

/// 0x21: everything up to `cursor` is kept by this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorAck {
    pub cursor: u64,
}

/// 0x22.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt<'a> {
    pub marks: List<'a, Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    Delivered,
    Read,
    Played,
}

/// Everything of `conversation` up to `up_to` was delivered to, read or played by `user` (server to client; a client
/// speaks of itself and names no user).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub kind: MarkKind,
    pub conversation: Conversation,
    pub up_to: u64,
    pub user: Option<UserId>,
}

/// 0x40: continue my inbox from `cursor`, at most about `max_bytes` of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    pub rid: u64,
    pub epoch: u64,
    pub cursor: u64,
    pub max_bytes: u64,
}

/// 0x41: the answer's end; `more` when the request's bound ended it. Rid 0: the catch-up of a resumed HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncDone {
    pub more: bool,
    pub rid: u64,
    pub cursor: u64,
}

/// 0x42: the cursor cannot be used; drop what is above `head`, take `epoch`, make `head` the cursor, sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    pub epoch: u64,
    /// One of the constants below; unknown ones change nothing about what the client does.
    pub reason: u8,
    /// The cursor to go on from. What the client holds at or below it stays good.
    pub head: u64,
}

impl Reset {
    /// The epoch the client named is not that of its inbox.
    pub const EPOCH: u8 = 1;
    /// The client's cursor is above the head of its inbox.
    pub const AHEAD: u8 = 2;
    /// What follows the client's cursor is no longer kept; `head` lies above the cursor.
    pub const EXPIRED: u8 = 3;
}

/// Where a history page starts, exclusive. `Before(u64::MAX)` asks for the newest page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Before(u64),
    After(u64),
}

/// 0x46.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    pub rid: u64,
    pub conversation: Conversation,
    pub from: From,
    pub limit: u64,
}

/// 0x47: newest first for `Before`, oldest first for `After`; `end` when nothing lies beyond.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage<'a> {
    pub end: bool,
    pub rid: u64,
    pub records: Records<'a>,
}

/// A frame of an unknown type ≥ 0x80.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored<'a> {
    pub kind: u8,
    pub body: &'a [u8],
}
