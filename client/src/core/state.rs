//! The life of a client. One enum, whose variants carry what holds only in them.

use super::inbox::CatchUp;
use std::time::Duration;

#[derive(Debug)]
pub(crate) enum State {
    /// Not started.
    Resting,
    /// The transport gets a token.
    Token,
    /// Waiting before the next attempt.
    Backoff {
        until: Duration,
        endpoint: Option<String>,
    },
    /// The transport makes a connection.
    Connecting { deadline: Duration },
    /// HELLO is written.
    Handshaking { deadline: Duration },
    /// The server has let us in.
    Live(Live),
    /// For good.
    Stopped,
}

/// What holds while the server knows us.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) since: Duration,
    pub(crate) ping_every: Duration,
    pub(crate) next_ping: Duration,
    /// A PING is on the way: without any frame until then the connection is dead.
    pub(crate) answer_by: Option<Duration>,
    /// SENDs the server takes at a time.
    pub(crate) send_window: usize,
    /// The largest body the server takes.
    pub(crate) frame_bytes_max: usize,
    pub(crate) leave: Option<Leave>,
}

/// The server has asked us to come back at a certain time.
#[derive(Clone, Debug)]
pub(crate) struct Leave {
    pub(crate) at: Duration,
    pub(crate) endpoint: Option<String>,
    pub(crate) code: millpond_wire::Code,
}

/// The life of a client as an application may show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started yet.
    Resting,
    /// Waiting for a token, or before the next attempt.
    Waiting,
    /// Making a connection, or waiting for the server to let us in.
    Connecting,
    /// Connected; the inbox is being caught up with.
    Syncing,
    /// Connected and up to date.
    Live,
    /// Nothing more will be tried.
    Stopped,
}

impl State {
    /// Whether there is a connection to read from.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self, Self::Handshaking { .. } | Self::Live(_))
    }

    pub(crate) fn live(&mut self) -> Option<&mut Live> {
        match self {
            Self::Live(live) => Some(live),
            Self::Resting
            | Self::Token
            | Self::Backoff { .. }
            | Self::Connecting { .. }
            | Self::Handshaking { .. }
            | Self::Stopped => None,
        }
    }

    pub(crate) fn phase(&self, catch_up: CatchUp) -> Phase {
        match self {
            Self::Resting => Phase::Resting,
            Self::Token | Self::Backoff { .. } => Phase::Waiting,
            Self::Connecting { .. } | Self::Handshaking { .. } => Phase::Connecting,
            Self::Live(_) if catch_up == CatchUp::Done => Phase::Live,
            Self::Live(_) => Phase::Syncing,
            Self::Stopped => Phase::Stopped,
        }
    }
}
