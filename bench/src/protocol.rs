//! What clients say to servers of one kind, and what they understand: a few functions for each, no socket and no clock.

mod millpond;
mod mqtt;
mod raw;
mod stamp;
mod websocket;

pub(crate) use millpond::Millpond;
pub(crate) use mqtt::{Mqtt, QualityOfService};
pub(crate) use raw::Raw;
pub(crate) use websocket::WebSocket;

use crate::report::Judged;
use std::time::Duration;

/// What clients of one kind say and understand. A client is its index; before anything else of it, it greets.
pub(crate) trait Protocol {
    /// Appends what a client says first.
    ///
    /// # Errors
    /// The client has nothing to prove itself with: the run ends.
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()>;

    /// Takes whole messages from the front of `bytes`, and says how many bytes they had; answers go into `out`, what they
    /// mean into `heard`.
    ///
    /// # Errors
    /// Bytes that no server of this protocol sends: the run ends.
    fn received(
        &mut self,
        at: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<usize>;

    /// Appends a heartbeat, which will be answered.
    fn heartbeat(&mut self, at: usize, out: &mut Vec<u8>);

    /// The connection of a client was ended by the server, or on the way to it. Who leaves by himself greets again without it.
    fn lost(&mut self, at: usize);
}

/// What a server's bytes meant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Heard {
    /// The client has proved who it is, and is to send a heartbeat this often.
    Established { heartbeat: Duration },
    /// The answer to a heartbeat.
    HeartbeatAnswered,
    /// A message of one's own is safe.
    Acked { number: u64 },
    /// A message has arrived where it should.
    Delivered { number: u64 },
    /// The server will not have this client now.
    Refused { code: u16 },
}

/// Clients that also send messages.
pub(crate) trait Messaging: Protocol {
    /// Whether a server only returns messages, so that a client sends to itself.
    fn echoes(&self) -> bool {
        true
    }

    /// Whether a message is acknowledged to its sender, beside being delivered.
    fn acks(&self) -> bool {
        false
    }

    /// Appends a message from one client to another.
    fn message(&mut self, way: (usize, usize), number: u64, intended_ns: u64, out: &mut Vec<u8>);

    /// What the checker says of all that was heard, where there is one for this protocol; `caught_up` names those who should
    /// hold everything that was sent to them.
    fn judge(&mut self, _caught_up: Vec<usize>, _now_ns: u64) -> Judged {
        Judged::default()
    }
}

impl<P: Protocol + ?Sized> Protocol for Box<P> {
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        (**self).greet(at, out)
    }

    fn received(
        &mut self,
        at: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> anyhow::Result<usize> {
        (**self).received(at, bytes, out, heard)
    }

    fn heartbeat(&mut self, at: usize, out: &mut Vec<u8>) {
        (**self).heartbeat(at, out);
    }

    fn lost(&mut self, at: usize) {
        (**self).lost(at);
    }
}
