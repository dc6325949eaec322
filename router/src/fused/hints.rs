//! Tells marks at most once a second per conversation and author: the first at once, what follows at the end of the
//! second. Marks are cumulative, so only the newest of each kind is kept.

use crate::conversation::MarkHint;
use millpond_backplane::ConversationKey;
use millpond_wire::{MarkKind, UserId};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

type Author = (ConversationKey, UserId);

#[derive(Debug)]
pub(super) struct Hints {
    period_ms: u64,
    open_max: usize,
    /// Authors told of within the last period, and what they have done since.
    open: FxHashMap<Author, Later>,
    /// The same authors by the end of their period.
    ends: VecDeque<(u64, Author)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Later {
    delivered: Option<u64>,
    read: Option<u64>,
}

/// What became of a hint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Offered {
    Now,
    Later,
    /// No room to remember it: the next mark makes good for it.
    Dropped,
}

impl Hints {
    pub(super) fn new(period_ms: u64, open_max: usize) -> Self {
        Self {
            period_ms,
            open_max,
            open: FxHashMap::default(),
            ends: VecDeque::new(),
        }
    }

    pub(super) fn offer(&mut self, now_ms: u64, hint: MarkHint) -> Offered {
        let author = (hint.conversation, hint.author);
        if let Some(later) = self.open.get_mut(&author) {
            later.keep(hint);
            return Offered::Later;
        }
        if self.open.len() >= self.open_max {
            return Offered::Dropped;
        }
        self.open.insert(author, Later::default());
        self.ends.push_back((now_ms + self.period_ms, author));
        Offered::Now
    }

    /// What has waited until the end of its period.
    pub(super) fn due(&mut self, now_ms: u64, into: &mut Vec<MarkHint>) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now_ms) {
            let (_, author) = self.ends.pop_front().expect("there is a front");
            let later = self
                .open
                .remove(&author)
                .expect("both hold the same authors");
            let before = into.len();
            later.tell(author, into);
            if into.len() > before {
                self.open.insert(author, Later::default());
                self.ends.push_back((now_ms + self.period_ms, author));
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.ends.front().map(|(end, _)| *end)
    }
}

impl Later {
    fn keep(&mut self, hint: MarkHint) {
        let place = match hint.kind {
            MarkKind::Delivered => &mut self.delivered,
            MarkKind::Read => &mut self.read,
            MarkKind::Played => return,
        };
        *place = (*place).max(Some(hint.up_to));
    }

    fn tell(self, (conversation, author): Author, into: &mut Vec<MarkHint>) {
        let hint = |kind, up_to| MarkHint {
            conversation,
            author,
            kind,
            up_to,
        };
        into.extend(self.delivered.map(|up_to| hint(MarkKind::Delivered, up_to)));
        into.extend(self.read.map(|up_to| hint(MarkKind::Read, up_to)));
    }
}
