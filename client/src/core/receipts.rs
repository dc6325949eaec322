//! Read marks of this user: cumulative, collected for a moment, repeated on the next connection unless the server has
//! answered something that was sent after them.

use crate::Conversation;
use millpond_wire::{Mark, MarkKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// Conversations whose marks are kept for a repetition; the repetition of more is given up, since marks are hints.
const UNPROVEN_MAX: usize = 1024;
/// Marks in one RECEIPT.
pub(crate) const MARKS_PER_FRAME: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct ReadMarks {
    pending: BTreeMap<Conversation, u64>,
    pending_since: Option<Duration>,
    /// Written behind the last PING.
    written: BTreeMap<Conversation, u64>,
    /// Written before the last PING, which has no answer yet.
    pinged: BTreeMap<Conversation, u64>,
}

impl ReadMarks {
    pub(crate) fn mark(&mut self, conversation: Conversation, seq: u64, now: Duration) {
        raise(&mut self.pending, conversation, seq);
        self.pending_since.get_or_insert(now);
    }

    pub(crate) fn deadline(&self, after: Duration) -> Option<Duration> {
        self.pending_since.map(|since| since + after)
    }

    /// Conversations with a mark that was not sent.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The marks of the next frame, when it is time for them.
    pub(crate) fn take_due(&mut self, now: Duration, after: Duration) -> Vec<Mark> {
        if self.deadline(after).is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut marks = Vec::new();
        while marks.len() < MARKS_PER_FRAME {
            let Some((conversation, up_to)) = self.pending.pop_first() else {
                self.pending_since = None;
                break;
            };
            if self.written.len() < UNPROVEN_MAX {
                raise(&mut self.written, conversation, up_to);
            }
            marks.push(mark(conversation, up_to));
        }
        marks
    }

    pub(crate) fn ping_sent(&mut self) {
        for (conversation, seq) in std::mem::take(&mut self.written) {
            raise(&mut self.pinged, conversation, seq);
        }
    }

    /// The PING was answered: what was written before it has reached the server.
    pub(crate) fn pong_received(&mut self) {
        self.pinged.clear();
    }

    pub(crate) fn connection_lost(&mut self, now: Duration) {
        let unproven = std::mem::take(&mut self.pinged)
            .into_iter()
            .chain(std::mem::take(&mut self.written));
        for (conversation, seq) in unproven {
            raise(&mut self.pending, conversation, seq);
            self.pending_since.get_or_insert(now);
        }
    }
}

fn raise(marks: &mut BTreeMap<Conversation, u64>, conversation: Conversation, seq: u64) {
    let kept = marks.entry(conversation).or_default();
    *kept = seq.max(*kept);
}

fn mark(conversation: Conversation, up_to: u64) -> Mark {
    Mark {
        kind: MarkKind::Read,
        conversation,
        up_to,
        user: None,
    }
}
