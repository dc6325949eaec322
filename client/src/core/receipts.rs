//! Read marks of this user: cumulative, collected for a moment, repeated when the server says that it had no room for
//! some of them, and on the next connection unless it has answered something that was sent after them.

use crate::Conversation;
use millpond_wire::{Mark, MarkKind};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

/// Conversations whose marks are kept for a repetition; the repetition of more is given up, since marks are hints.
const UNPROVEN_MAX: usize = 1024;
/// Marks of one RECEIPT that count for a server: SPEC 10.9.
pub(crate) const MARKS_PER_FRAME: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct ReadMarks {
    pending: BTreeMap<Conversation, u64>,
    pending_since: Option<Duration>,
    /// Written behind the last PING.
    written: BTreeMap<Conversation, u64>,
    /// Written before the last PING, which has no answer yet.
    pinged: BTreeMap<Conversation, u64>,
    /// Marks leave in the order of their conversations, beginning behind this one.
    behind: Option<Conversation>,
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
            let next = following(&self.pending, self.behind);
            let Some((conversation, up_to)) =
                next.and_then(|next| self.pending.remove_entry(&next))
            else {
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
        if self.take_back() {
            self.pending_since.get_or_insert(now);
        }
    }

    /// The server had no room for some of what is unproven. It does not say for which, so all are repeated, behind
    /// another conversation each time: where there is room for one, each comes first in turn.
    pub(crate) fn refused(&mut self, until: Duration) {
        if self.take_back() {
            self.pending_since = Some(until);
            self.behind = following(&self.pending, self.behind);
        }
    }

    /// What is unproven is pending again, if anything is.
    fn take_back(&mut self) -> bool {
        let mut unproven = std::mem::take(&mut self.pinged);
        unproven.append(&mut self.written);
        let any = !unproven.is_empty();
        for (conversation, seq) in unproven {
            raise(&mut self.pending, conversation, seq);
        }
        any
    }
}

/// The conversation that comes after `behind`, or else the first.
fn following(
    marks: &BTreeMap<Conversation, u64>,
    behind: Option<Conversation>,
) -> Option<Conversation> {
    let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
    let mut later = marks.range((from, Bound::Unbounded));
    let (conversation, _) = later.next().or_else(|| marks.first_key_value())?;
    Some(*conversation)
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
