//! What the application asks for.

use super::requests::Request;
use super::state::State;
use super::{Core, Now};
use crate::{Change, Code, Conversation, From, Kind, Stored};
use millpond_wire::PAYLOAD_BYTES_MAX;

/// Conversations with an unsent read mark; more have to wait for a connection.
const MARKS_MAX: usize = 4096;

/// Why a message was not taken. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    #[error("too many messages wait for their acknowledgement, or events for the application")]
    Full,
    #[error("a payload holds at most {PAYLOAD_BYTES_MAX} bytes, this one {bytes}")]
    TooLarge { bytes: usize },
    #[error("a group id has 63 bits")]
    NoConversation,
    #[error("the client has stopped")]
    Stopped,
}

/// Why there is no page of history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("too many requests wait for their answer")]
    Full,
    #[error("a group id has 63 bits")]
    NoConversation,
    #[error("no answer in time")]
    Timeout,
    #[error("the server refused: {code} {message}")]
    Refused { code: Code, message: String },
    #[error("the client has stopped")]
    Stopped,
}

impl Core {
    /// Takes a message; it is sent as soon as its turn comes, now or after any number of reconnections. Returns its
    /// client message id. `awaited`: the outcome is a reply and no event.
    pub fn enqueue(
        &mut self,
        conversation: Conversation,
        kind: Kind,
        payload: Vec<u8>,
        awaited: bool,
        now: Now,
    ) -> Result<u64, EnqueueError> {
        self.check(conversation, &payload)?;
        let message = Stored {
            client_msg_id: self.outbox.next_id(),
            conversation,
            kind,
            payload,
        };
        let id = message.client_msg_id;
        self.changes.push(Change::Added(message.clone()));
        self.outbox.add(message, awaited);
        self.work(now);
        Ok(id)
    }

    fn check(&self, conversation: Conversation, payload: &[u8]) -> Result<(), EnqueueError> {
        let bytes = payload.len();
        if matches!(self.state, State::Stopped) {
            return Err(EnqueueError::Stopped);
        }
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(EnqueueError::TooLarge { bytes });
        }
        if !is_conversation(conversation) {
            return Err(EnqueueError::NoConversation);
        }
        if self.outbox.len() >= self.config.outbox_messages_max || !self.has_room() {
            return Err(EnqueueError::Full);
        }
        Ok(())
    }

    /// This user has read everything of `conversation` up to `seq`. Cumulative, collected, repeated after a loss of
    /// the connection. Returns whether it was noted: not with a group id above 63 bits, not when 4,096 conversations
    /// wait.
    pub fn mark_read(&mut self, conversation: Conversation, seq: u64, now: Now) -> bool {
        let noted = is_conversation(conversation) && self.marks.pending() < MARKS_MAX;
        if noted {
            self.marks.mark(conversation, seq, now.mono);
            self.work(now);
        }
        noted
    }

    /// Asks for a page of history; the outcome is a [`super::Reply`] with the same rid. `limit` 0: the server's choice.
    pub fn history(
        &mut self,
        conversation: Conversation,
        from: From,
        limit: u64,
        now: Now,
    ) -> Result<u64, RequestError> {
        if matches!(self.state, State::Stopped) {
            return Err(RequestError::Stopped);
        }
        if !is_conversation(conversation) {
            return Err(RequestError::NoConversation);
        }
        if self.requests.is_full() {
            return Err(RequestError::Full);
        }
        let rid = self.next_rid();
        let deadline = now.mono + self.config.request_timeout;
        let request = Request::new(conversation, from, limit);
        self.requests.add(rid, request, deadline);
        self.work(now);
        Ok(rid)
    }

    /// The application has woken up or the network has changed: checks at once whether the connection still lives,
    /// and ends a wait for the next attempt.
    pub fn probe(&mut self, now: Now) {
        let timeout = self.config.probe_timeout;
        if matches!(self.state, State::Live(_)) {
            self.write_ping(timeout, now);
        } else if let State::Backoff { until, .. } = &mut self.state {
            *until = now.mono.min(*until);
        }
        self.work(now);
    }
}

fn is_conversation(conversation: Conversation) -> bool {
    match conversation {
        Conversation::Direct(_) => true,
        Conversation::Group(id) => id < 1 << 63,
    }
}
