//! Conversations: their sequences, times and authors, and for each message its dedup row.

use super::judge::{Judge, is_member, members, name};
use super::partitions::{Bounds, show};
use super::{Code, Digest, Table};
use crate::codec::{decode_dedup, decode_history, decode_history_key, dedup_key, history_key};
use crate::row::{DedupKey, DedupRow, HistoryRow};
use crate::store::StoreError;
use crate::{ConversationKey, Message, Position};
use std::collections::{BTreeMap, BTreeSet};

/// What the other parts must know of history. Gaps and keys are bounded by the limit of places.
#[derive(Default)]
pub(super) struct Facts {
    /// Sequences that are not there, first and last.
    gaps: BTreeMap<ConversationKey, Vec<(u64, u64)>>,
    gaps_kept: usize,
    /// Dedup rows that were judged with their messages and differ.
    pub(super) differing: BTreeSet<Vec<u8>>,
    /// Messages whose dedup row is there and says the same.
    pub(super) matched: u64,
    /// One for each conversation that a user has an inbox row of.
    pub(super) memberships: u64,
}

impl Facts {
    pub(super) fn gaps(&self, conversation: ConversationKey) -> &[(u64, u64)] {
        self.gaps.get(&conversation).map_or(&[], Vec::as_slice)
    }

    pub(super) fn lacks(&self, conversation: ConversationKey, seq: u64) -> bool {
        let gaps = self.gaps(conversation);
        gaps.iter()
            .any(|(first, last)| (*first..=*last).contains(&seq))
    }

    fn note_gap(&mut self, conversation: ConversationKey, gap: (u64, u64), places: usize) {
        if self.gaps_kept < places {
            self.gaps_kept += 1;
            self.gaps.entry(conversation).or_default().push(gap);
        }
    }
}

pub(super) fn check(
    judge: &mut Judge<'_>,
    bounds: &Bounds,
    digest: Digest,
) -> Result<Facts, StoreError> {
    let mut facts = Facts::default();
    let mut walk: Option<Walk> = None;
    for row in judge.rows.scan(Table::History, &[]) {
        let (key, value) = row?;
        judge.seen(Table::History);
        let (conversation, seq) = match decode_history_key(&key) {
            Ok(named) => named,
            Err(why) => {
                judge.undecodable(Table::History, &key, why);
                continue;
            }
        };
        if walk
            .as_ref()
            .is_none_or(|walk| walk.conversation != conversation)
        {
            facts.memberships += members(conversation).map_or(0, |members| members.count() as u64);
            walk = Some(Walk::new(conversation));
        }
        let walk = walk.as_mut().expect("set for every row");
        walk.sequence(judge, &mut facts, seq);
        match decode_history(conversation, seq, &value) {
            Ok(row) => {
                walk.row(judge, bounds, &row);
                dedup_of(judge, &mut facts, &row.message, digest)?;
            }
            Err(why) => judge.undecodable(Table::History, &key, why),
        }
    }
    Ok(facts)
}

/// Where one conversation stands.
struct Walk {
    conversation: ConversationKey,
    seq: u64,
    position: Option<Position>,
    server_ms: u64,
}

impl Walk {
    fn new(conversation: ConversationKey) -> Self {
        Self {
            conversation,
            seq: 0,
            position: None,
            server_ms: 0,
        }
    }

    fn sequence(&mut self, judge: &mut Judge<'_>, facts: &mut Facts, seq: u64) {
        let wanted = self.seq + 1;
        if seq != wanted {
            judge.found(Code::SequenceGap, || {
                format!(
                    "{}: {seq} stands where {wanted} is wanted",
                    name(self.conversation)
                )
            });
        }
        if seq > wanted {
            facts.note_gap(self.conversation, (wanted, seq - 1), judge.limits.places);
        }
        self.seq = seq;
    }

    fn row(&mut self, judge: &mut Judge<'_>, bounds: &Bounds, row: &HistoryRow) {
        let message = &row.message;
        let (conversation, seq) = (message.conversation, message.seq);
        if let Some(before) = self.position.filter(|before| *before >= row.position) {
            judge.found(Code::HistoryPosition, || {
                let (at, before) = (show(row.position), show(before));
                format!(
                    "{} sequence {seq}: {at} behind {before}",
                    name(conversation)
                )
            });
        }
        if message.server_ms < self.server_ms {
            judge.found(Code::ServerTime, || {
                let (ms, before) = (message.server_ms, self.server_ms);
                format!(
                    "{} sequence {seq}: {ms} behind {before}",
                    name(conversation)
                )
            });
        }
        if !is_member(conversation, message.sender) {
            judge.found(Code::StrangeAuthor, || {
                format!(
                    "{} sequence {seq}: by {}",
                    name(conversation),
                    message.sender
                )
            });
        }
        bounds.conversation(judge, conversation, row.position, "history");
        bounds.time(judge, conversation, seq, message.server_ms);
        self.position = Some(row.position);
        self.server_ms = message.server_ms;
    }
}

fn dedup_of(
    judge: &mut Judge<'_>,
    facts: &mut Facts,
    message: &Message,
    digest: Digest,
) -> Result<(), StoreError> {
    let key = key_of(message);
    let Some(value) = judge.rows.value(Table::Dedup, &key)? else {
        judge.found(Code::NoDedup, || place(message));
        return Ok(());
    };
    let wanted = DedupRow::of(message, digest(message.kind, &message.payload));
    match decode_dedup(&value) {
        Ok(row) if row != wanted => {
            if facts.differing.len() < judge.limits.places {
                facts.differing.insert(key.clone());
            }
            differs(judge, message, &key, row)
        }
        // One that does not decode is found where all of them are read.
        Ok(_) | Err(_) => {
            facts.matched += 1;
            Ok(())
        }
    }
}

fn differs(
    judge: &mut Judge<'_>,
    message: &Message,
    key: &[u8],
    row: DedupRow,
) -> Result<(), StoreError> {
    let other = row.seq != message.seq
        && message_at(judge, message.conversation, row.seq)?
            .is_some_and(|other| other.is_ok_and(|other| key_of(&other) == key));
    let code = if other {
        Code::IdTwice
    } else {
        Code::DedupDiffers
    };
    judge.found(code, || {
        let DedupRow {
            seq,
            server_ms,
            hash,
        } = row;
        let place = place(message);
        format!("{place}: the dedup row says sequence {seq}, time {server_ms}, hash {hash:08x}")
    });
    Ok(())
}

/// `Err` inside for a row that does not decode.
pub(super) fn message_at(
    judge: &Judge<'_>,
    conversation: ConversationKey,
    seq: u64,
) -> Result<Option<Result<Message, ()>>, StoreError> {
    let mut key = Vec::new();
    history_key(conversation, seq, &mut key);
    let value = judge.rows.value(Table::History, &key)?;
    let decode = |value: Vec<u8>| decode_history(conversation, seq, &value);
    Ok(value.map(|value| decode(value).map(|row| row.message).map_err(|_| ())))
}

/// The key of a message's dedup row.
pub(super) fn key_of(message: &Message) -> Vec<u8> {
    let mut key = Vec::new();
    dedup_key(&DedupKey::of(message), &mut key);
    key
}

fn place(message: &Message) -> String {
    format!(
        "{} sequence {} (user {}, device {}, id {})",
        name(message.conversation),
        message.seq,
        message.sender,
        message.device.0,
        message.client_msg_id
    )
}
