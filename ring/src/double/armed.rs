//! Operations of the double that wait for something. Called by the double alone.

use std::time::Duration;

use super::arrivals::Lane;
use super::net::SocketId;
use super::stream::Wakes;
use crate::op::Token;

#[derive(Debug)]
pub(super) struct Armed {
    pub(super) token: Token,
    pub(super) awaits: Awaits,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Awaits {
    Connection {
        listener: SocketId,
    },
    /// `seen` is nothing before the first look, which asks for the level; later ones ask what has happened since.
    Readiness {
        socket: SocketId,
        events: u32,
        multishot: bool,
        seen: Option<Wakes>,
    },
    Bytes {
        socket: SocketId,
        seen: Option<Wakes>,
    },
    Descriptor {
        fd: i32,
    },
    Time {
        due: Duration,
    },
}

impl Armed {
    pub(super) fn socket(&self) -> Option<SocketId> {
        match self.awaits {
            Awaits::Connection { listener: socket }
            | Awaits::Readiness { socket, .. }
            | Awaits::Bytes { socket, .. } => Some(socket),
            Awaits::Descriptor { .. } | Awaits::Time { .. } => None,
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match (self.socket(), self.awaits) {
            (Some(socket), _) => Lane::Socket(socket),
            (None, Awaits::Descriptor { fd }) => Lane::Descriptor(fd),
            (None, _) => Lane::Alone(self.token),
        }
    }

    pub(super) fn due(&self) -> Option<Duration> {
        match self.awaits {
            Awaits::Time { due } => Some(due),
            Awaits::Connection { .. }
            | Awaits::Readiness { .. }
            | Awaits::Bytes { .. }
            | Awaits::Descriptor { .. } => None,
        }
    }
}
