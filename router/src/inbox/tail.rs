//! The newest pointers of an inbox, so that an acknowledgement soon after a delivery costs no read.
//!
//! Consecutive cursors up to the head. What the best device has is never asked for again and goes first; what nobody
//! acknowledges is bounded by [`TAIL_MAX`] per user, beyond which the store is asked.

use millpond_backplane::row::InboxRow;
use millpond_backplane::{ConversationKey, Position};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Pointers remembered per user, beside those that are not durable yet and those just recalled.
const TAIL_MAX: usize = 32;

#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// Cursor of the first pointer here, or the next one to come.
    first: u64,
    rows: VecDeque<(u64, InboxRow)>,
    /// Older pointers, read for the acknowledgements at hand; at most one page per entry of a batch.
    recalled: BTreeMap<u64, InboxRow>,
}

impl Tail {
    pub(super) fn new(head: u64) -> Self {
        Self {
            first: head + 1,
            rows: VecDeque::new(),
            recalled: BTreeMap::new(),
        }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn push(&mut self, cursor: u64, row: InboxRow) {
        let next = self.first + self.rows.len() as u64;
        assert_eq!(cursor, next, "cursors have no gaps");
        self.rows.push_back((cursor, row));
    }

    pub(super) fn recall(&mut self, pointers: &[(u64, InboxRow)]) {
        let older = pointers.iter().filter(|(cursor, _)| *cursor < self.first);
        self.recalled.extend(older.copied());
    }

    /// Whether all of these older pointers were recalled already.
    pub(super) fn recalls(&self, after: u64, up_to: u64) -> bool {
        let range = (Bound::Excluded(after), Bound::Included(up_to));
        self.recalled.range(range).count() as u64 == up_to - after
    }

    /// Pointers with `after < cursor <= up_to`, as far as they are here.
    pub(super) fn between(&self, after: u64, up_to: u64) -> impl Iterator<Item = (u64, &InboxRow)> {
        let up_to = up_to.max(after);
        let recalled = self
            .recalled
            .range((Bound::Excluded(after), Bound::Included(up_to)));
        let from = self.index_of(after.saturating_add(1));
        let to = self.index_of(up_to.saturating_add(1));
        let rows = self.rows.range(from..to);
        recalled
            .map(|(cursor, row)| (*cursor, row))
            .chain(rows.map(|(cursor, row)| (*cursor, row)))
    }

    pub(super) fn forget_up_to(&mut self, cursor: u64) {
        self.recalled = self.recalled.split_off(&cursor.saturating_add(1));
        while self.first <= cursor && self.rows.pop_front().is_some() {
            self.first += 1;
        }
    }

    pub(super) fn trim(&mut self, durable: Position) {
        while self.rows.len() > TAIL_MAX && self.front_is_durable(durable) {
            self.rows.pop_front();
            self.first += 1;
        }
    }

    fn front_is_durable(&self, durable: Position) -> bool {
        self.rows
            .front()
            .is_some_and(|(_, row)| row.position <= durable)
    }

    fn index_of(&self, cursor: u64) -> usize {
        let index = cursor.saturating_sub(self.first);
        usize::try_from(index)
            .unwrap_or(usize::MAX)
            .min(self.rows.len())
    }
}

/// Notes the highest sequence per conversation. Few conversations lie between two acknowledgements, mostly one, so a
/// short scan beats a map; [`super::COVERED_MAX`] bounds it.
pub(super) fn raise(reached: &mut Vec<(ConversationKey, u64)>, row: &InboxRow) {
    match reached.iter_mut().find(|(key, _)| *key == row.conversation) {
        Some((_, seq)) => *seq = row.seq.max(*seq),
        None => reached.push((row.conversation, row.seq)),
    }
}
