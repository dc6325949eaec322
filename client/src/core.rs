//! The client as a value: bytes, commands and time go in; bytes, events, wishes and changes to save come out. It holds
//! no socket, no clock and no random source but the seed it was given, so a test can replay every life of it.
//!
//! Called by the transport: after every input it takes, in this order, changes (saves them), replies, wishes, output
//! and events, and comes back at [`Core::deadline`] at the latest.

mod backoff;
mod commands;
mod frames;
mod inbox;
mod lifecycle;
mod outbox;
mod receipts;
mod requests;
mod state;
mod work;

pub use commands::{EnqueueError, RequestError};
pub use inbox::Taken;
pub use state::Phase;

use crate::{Change, Code, Config, Event, History, Saved, Sent};
use backoff::Backoff;
use inbox::Inbox;
use outbox::Outbox;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use receipts::ReadMarks;
use requests::Requests;
use state::State;
use std::collections::VecDeque;
use std::time::Duration;

/// Low bits of the first client message id that are random; the others are milliseconds.
const ID_RANDOM_BITS: u32 = 20;

/// The time of an input. `mono` counts from any fixed moment and never goes back; `unix_ms` may jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub mono: Duration,
    pub unix_ms: u64,
}

/// What the core wants of its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Make a connection; answer with [`Core::connected`] or [`Core::disconnected`]. An endpoint that the server named
    /// is meant for this one attempt only.
    Connect { endpoint: Option<String> },
    /// Drop the connection, or the attempt to make one, and answer nothing. `last_words` are worth a try before.
    Close { last_words: Vec<u8> },
    /// Get a token that the server has not seen yet; answer with [`Core::token`].
    Token,
}

/// An event for the application, and what to tell the core when the application is through with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    pub event: Event,
    pub taken: Option<Taken>,
}

/// The outcome of a command that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Sent(Sent),
    Failed {
        client_msg_id: u64,
        code: Code,
        message: String,
    },
    Page {
        rid: u64,
        page: History,
    },
    Refused {
        rid: u64,
        error: RequestError,
    },
}

/// The state of one client.
pub struct Core {
    config: Config,
    rng: SmallRng,
    state: State,
    device: millpond_wire::DeviceId,
    attempt: u32,
    auth: Auth,
    resume_token: Vec<u8>,
    /// The server has refused to resume: the next HELLO does not ask for it.
    fresh: bool,
    backoff: Backoff,
    inbox: Inbox,
    outbox: Outbox,
    marks: ReadMarks,
    requests: Requests,
    next_rid: u64,
    /// Bytes of a frame that is not whole, or that waits for room in `events`.
    input: Vec<u8>,
    output: Vec<u8>,
    events: VecDeque<Polled>,
    replies: VecDeque<Reply>,
    wishes: VecDeque<Wish>,
    changes: Vec<Change>,
    /// What was last put into `changes`.
    saved_position: Option<crate::Position>,
}

/// The token of this client.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Auth {
    /// The transport has authenticated us.
    None,
    Token(Vec<u8>),
    /// A new one has to be got.
    Wanted,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::Wanted => "Wanted",
        })
    }
}

impl std::fmt::Debug for Core {
    /// Without tokens and payloads, so that it can be logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Core");
        fields.field("device", &self.device);
        fields.field("attempt", &self.attempt);
        fields.field("auth", &self.auth);
        fields.field("state", &self.state);
        fields.field("inbox", &self.inbox);
        fields.field("outbox", &self.outbox.len());
        fields.field("events", &self.events.len());
        fields.finish_non_exhaustive()
    }
}

impl Core {
    /// A client at rest, which continues where `saved` stands. `token`: `None` when the transport authenticates;
    /// an empty one is asked for by [`Wish::Token`] first. Nothing happens before [`Core::start`].
    ///
    /// # Panics
    /// When the agent text of `config` has more than 64 bytes.
    pub fn new(config: Config, saved: Saved, token: Option<Vec<u8>>, seed: u64, now: Now) -> Self {
        assert!(
            config.agent.len() <= millpond_wire::AGENT_BYTES_MAX,
            "the agent text is too long"
        );
        let mut rng = SmallRng::seed_from_u64(seed);
        let first_id = first_id(saved.last_id, now.unix_ms, &mut rng);
        let auth = match token {
            None => Auth::None,
            Some(token) if token.is_empty() => Auth::Wanted,
            Some(token) => Auth::Token(token),
        };
        Self {
            state: State::Resting,
            device: saved.device,
            attempt: saved.attempt,
            auth,
            resume_token: Vec::new(),
            fresh: false,
            backoff: Backoff::new(&config),
            inbox: Inbox::new(saved.position),
            outbox: Outbox::new(saved.outbox, first_id),
            marks: ReadMarks::default(),
            requests: Requests::default(),
            next_rid: 1,
            input: Vec::new(),
            output: Vec::new(),
            events: VecDeque::new(),
            replies: VecDeque::new(),
            wishes: VecDeque::new(),
            changes: Vec::new(),
            saved_position: saved.position,
            config,
            rng,
        }
    }

    /// The next thing the application should know.
    pub fn poll_event(&mut self) -> Option<Polled> {
        self.events.pop_front()
    }

    /// Whether [`Core::poll_event`] has something.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next outcome that somebody waits for.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// The next thing the transport should do.
    pub fn poll_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// What is to be saved before anything of [`Core::take_output`] is written.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Bytes to write to the connection, behind all earlier ones.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether more bytes of the socket are welcome. Not while the application is too far behind.
    pub fn wants_bytes(&self) -> bool {
        self.state.is_up() && self.has_room()
    }

    /// Which phase of its life the client is in.
    pub fn phase(&self) -> Phase {
        self.state.phase(self.inbox.catch_up())
    }

    fn has_room(&self) -> bool {
        self.events.len() < self.config.events_max
    }

    fn event(&mut self, event: Event) {
        self.events.push_back(Polled { event, taken: None });
    }

    fn write(&mut self, frame: &millpond_wire::Frame<'_>) {
        millpond_wire::encode(frame, &mut self.output);
    }

    fn next_rid(&mut self) -> u64 {
        let rid = self.next_rid;
        self.next_rid += 1;
        rid
    }
}

fn first_id(last_id: u64, unix_ms: u64, rng: &mut SmallRng) -> u64 {
    let random = rng.random_range(0..1u64 << ID_RANDOM_BITS);
    let by_clock = (unix_ms << ID_RANDOM_BITS) | random;
    by_clock.max(last_id + 1)
}
