//! Inboxes: their cursors, and that each holds every message of its user's conversations once and in order.
//!
//! One user at a time. What has to be known of each of the user's conversations is a few numbers; when there are more
//! conversations than fit, the lowest keys are judged first and the inbox is read again for the rest.

mod absent;
mod order;

use super::history::Facts;
use super::judge::{Judge, is_member, name};
use super::partitions::{Bounds, show};
use super::{Code, Table};
use crate::codec::{decode_inbox, decode_inbox_key, inbox_prefix};
use crate::row::InboxRow;
use crate::store::StoreError;
use crate::{ConversationKey, Position};
use millpond_wire::UserId;
use order::Order;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(
    judge: &mut Judge<'_>,
    bounds: &Bounds,
    facts: &Facts,
) -> Result<(), StoreError> {
    let mut totals = Totals::default();
    let mut walk: Option<Walk> = None;
    for row in judge.rows.scan(Table::Inbox, &[]) {
        let (key, value) = row?;
        judge.seen(Table::Inbox);
        let (user, cursor) = match decode_inbox_key(&key) {
            Ok(named) => named,
            Err(why) => {
                judge.undecodable(Table::Inbox, &key, why);
                continue;
            }
        };
        if let Some(done) = walk.take_if(|walk| walk.user != user) {
            done.finish(judge, facts, &mut totals)?;
        }
        let walk = walk.get_or_insert_with(|| Walk::new(user));
        walk.cursor(judge, cursor);
        match decode_inbox(user, &value) {
            Ok(row) => {
                walk.place(judge, bounds, cursor, &row);
                walk.round.row(judge, facts, cursor, &row)?;
            }
            Err(why) => {
                walk.unreadable = true;
                judge.undecodable(Table::Inbox, &key, why);
            }
        }
    }
    if let Some(last) = walk {
        last.finish(judge, facts, &mut totals)?;
    }
    if totals.memberships == facts.memberships {
        return Ok(());
    }
    absent::find(judge, &totals.unreadable)
}

/// What is known after all inboxes.
#[derive(Default)]
struct Totals {
    /// One for each conversation that was found in an inbox of a member.
    memberships: u64,
    /// Users with a row that does not decode, so that what they lack cannot be said; bounded by the limit of places.
    unreadable: BTreeSet<UserId>,
}

/// Where one inbox stands.
struct Walk {
    user: UserId,
    cursor: u64,
    position: Option<Position>,
    unreadable: bool,
    round: Round,
}

impl Walk {
    fn new(user: UserId) -> Self {
        Self {
            user,
            cursor: 0,
            position: None,
            unreadable: false,
            round: Round::new(user, None),
        }
    }

    fn cursor(&mut self, judge: &mut Judge<'_>, cursor: u64) {
        let wanted = self.cursor + 1;
        if cursor != wanted {
            judge.found(Code::CursorGap, || {
                format!(
                    "user {}: {cursor} stands where {wanted} is wanted",
                    self.user
                )
            });
        }
        self.cursor = cursor;
    }

    fn place(&mut self, judge: &mut Judge<'_>, bounds: &Bounds, cursor: u64, row: &InboxRow) {
        if let Some(before) = self.position.filter(|before| *before >= row.position) {
            judge.found(Code::InboxPosition, || {
                let (at, before) = (show(row.position), show(before));
                format!("user {} cursor {cursor}: {at} behind {before}", self.user)
            });
        }
        bounds.user(judge, self.user, row.position, "inbox");
        self.position = Some(row.position);
    }

    fn finish(
        self,
        judge: &mut Judge<'_>,
        facts: &Facts,
        totals: &mut Totals,
    ) -> Result<(), StoreError> {
        if self.unreadable && totals.unreadable.len() < judge.limits.places {
            totals.unreadable.insert(self.user);
        }
        let mut round = self.round;
        loop {
            totals.memberships += round.memberships();
            let left = round.left_from();
            round.finish(judge, facts, self.unreadable);
            let Some(floor) = left else {
                return Ok(());
            };
            round = again(judge, facts, self.user, floor)?;
        }
    }
}

/// Reads one inbox once more, for the conversations above `floor`.
fn again(
    judge: &mut Judge<'_>,
    facts: &Facts,
    user: UserId,
    floor: ConversationKey,
) -> Result<Round, StoreError> {
    let mut round = Round::new(user, Some(floor));
    let prefix = inbox_prefix(user);
    for row in judge.rows.scan(Table::Inbox, &prefix) {
        let (key, value) = row?;
        if !key.starts_with(&prefix) {
            break;
        }
        if let (Ok((_, cursor)), Ok(row)) = (decode_inbox_key(&key), decode_inbox(user, &value)) {
            round.row(judge, facts, cursor, &row)?;
        }
    }
    Ok(round)
}

fn place(user: UserId, conversation: ConversationKey, (_, cursor, seq): order::Fault) -> String {
    format!(
        "user {user} cursor {cursor}: {} sequence {seq}",
        name(conversation)
    )
}

/// The lowest conversations above a floor, as many as fit.
struct Round {
    user: UserId,
    floor: Option<ConversationKey>,
    conversations: BTreeMap<ConversationKey, Order>,
    /// Some did not fit.
    full: bool,
    /// Faults that wait until their conversation is known to stay: one that has to go is judged again. Bounded by the
    /// limit of places.
    faults: usize,
}

impl Round {
    fn new(user: UserId, floor: Option<ConversationKey>) -> Self {
        Self {
            user,
            floor,
            conversations: BTreeMap::new(),
            full: false,
            faults: 0,
        }
    }

    fn row(
        &mut self,
        judge: &mut Judge<'_>,
        facts: &Facts,
        cursor: u64,
        row: &InboxRow,
    ) -> Result<(), StoreError> {
        let key = row.conversation;
        if !is_member(key, self.user) {
            // Said once, in the first round.
            if self.floor.is_none() {
                judge.found(Code::StrangeInbox, || {
                    format!("user {} cursor {cursor}: {}", self.user, name(key))
                });
            }
            return Ok(());
        }
        if self.floor.is_some_and(|floor| key <= floor) {
            return Ok(());
        }
        if !self.conversations.contains_key(&key) && !self.make_room(judge, key)? {
            return Ok(());
        }
        let order = self.conversations.get_mut(&key).expect("room was made");
        let exists = (1..=order.head).contains(&row.seq) && !facts.lacks(key, row.seq);
        let fault = if exists {
            order.take(row.seq, judge.limits.places)
        } else {
            Some(Code::PointerToNothing)
        };
        if let Some(code) = fault {
            let fault = (code, cursor, row.seq);
            if self.faults < judge.limits.places {
                self.faults += 1;
                order.faults.push(fault);
            } else {
                judge.found(code, || place(self.user, key, fault));
            }
        }
        Ok(())
    }

    /// Conversations of which a message is here that history has.
    fn memberships(&self) -> u64 {
        let here = self
            .conversations
            .iter()
            .filter(|(key, order)| matches!(key, ConversationKey::Direct(..)) && order.any_came());
        here.count() as u64
    }

    /// Whether this conversation is among the lowest; the highest goes when there are too many.
    fn make_room(&mut self, judge: &Judge<'_>, key: ConversationKey) -> Result<bool, StoreError> {
        if self.conversations.len() >= judge.limits.conversations {
            self.full = true;
            let highest = self.conversations.last_key_value().map(|(key, _)| *key);
            if highest.is_none_or(|highest| highest < key) {
                return Ok(false);
            }
            if let Some((_, gone)) = self.conversations.pop_last() {
                self.faults -= gone.faults.len();
            }
        }
        let order = Order::new(judge.last_seq(key)?);
        self.conversations.insert(key, order);
        Ok(true)
    }

    /// Above which key another round has to look.
    fn left_from(&self) -> Option<ConversationKey> {
        let highest = self.conversations.last_key_value().map(|(key, _)| *key);
        highest.filter(|_| self.full)
    }

    fn finish(self, judge: &mut Judge<'_>, facts: &Facts, unreadable: bool) {
        for (conversation, mut order) in self.conversations {
            for fault in std::mem::take(&mut order.faults) {
                judge.found(fault.0, || place(self.user, conversation, fault));
            }
            if unreadable {
                continue;
            }
            for (first, last) in order.missing(facts.gaps(conversation)) {
                judge.found(Code::NotInInbox, || {
                    let name = name(conversation);
                    format!("user {}: {name} sequences {first} to {last}", self.user)
                });
            }
        }
    }
}
