//! History pages that were asked for: repeated on the next connection and when the server asks for it, until their
//! deadline. Reading has no effect, so repeating is safe.

use crate::{Conversation, From};
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests that wait for their answer.
pub(crate) const REQUESTS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: BTreeMap<u64, Request>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) conversation: Conversation,
    pub(crate) from: From,
    pub(crate) limit: u64,
    deadline: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent from this time on.
    Waiting(Duration),
    Sent,
}

impl Request {
    pub(crate) fn new(conversation: Conversation, from: From, limit: u64) -> Self {
        Self {
            conversation,
            from,
            limit,
            deadline: Duration::MAX,
            state: State::Waiting(Duration::ZERO),
        }
    }
}

impl Requests {
    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= REQUESTS_MAX
    }

    pub(crate) fn add(&mut self, rid: u64, request: Request, deadline: Duration) {
        self.open.insert(
            rid,
            Request {
                deadline,
                ..request
            },
        );
    }

    pub(crate) fn resolve(&mut self, rid: u64) -> Option<Request> {
        self.open.remove(&rid)
    }

    pub(crate) fn repeat(&mut self, rid: u64, at: Duration) {
        if let Some(request) = self.open.get_mut(&rid) {
            request.state = State::Waiting(at);
        }
    }

    /// What is to be sent now.
    pub(crate) fn take_due(&mut self, now: Duration) -> Vec<(u64, Request)> {
        let mut due = Vec::new();
        for (rid, request) in &mut self.open {
            if matches!(request.state, State::Waiting(at) if at <= now) {
                request.state = State::Sent;
                due.push((*rid, *request));
            }
        }
        due
    }

    /// Requests whose time is over.
    pub(crate) fn take_expired(&mut self, now: Duration) -> Vec<u64> {
        let expired = self.open.iter().filter(|(_, r)| r.deadline <= now);
        let expired: Vec<u64> = expired.map(|(rid, _)| *rid).collect();
        expired.iter().for_each(|rid| {
            self.open.remove(rid);
        });
        expired
    }

    pub(crate) fn take_all(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.open).into_keys().collect()
    }

    pub(crate) fn connection_lost(&mut self) {
        for request in self.open.values_mut() {
            request.state = State::Waiting(Duration::ZERO);
        }
    }

    /// When something has to be done; `live`: something can be sent.
    pub(crate) fn deadline(&self, live: bool) -> Option<Duration> {
        let times = self.open.values().map(|request| match request.state {
            State::Waiting(at) if live => at.min(request.deadline),
            State::Waiting(_) | State::Sent => request.deadline,
        });
        times.min()
    }
}
