//! What the rows say about one message.

use crate::verify::unread;
use anyhow::Result;
use millpond_backplane::audit::{Rows, Table};
use millpond_backplane::codec::{self, Undecodable};
use millpond_backplane::row::{
    DedupKey, DedupRow, DeviceCursor, HistoryRow, InboxRow, MemberMarks, UserRow,
};
use millpond_backplane::{ConversationKey, Position};
use millpond_router::conversation::members;
use millpond_wire::UserId;

/// A message that is there.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) row: HistoryRow,
    /// The last sequence of the conversation.
    pub(super) head: u64,
    pub(super) dedup: Option<DedupRow>,
    /// Epoch of the store's inboxes.
    pub(super) epoch: u64,
    pub(super) members: Vec<Member>,
}

/// The message from one member's side.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) user: UserId,
    /// Where the message is in the inbox.
    pub(super) cursor: Option<u64>,
    pub(super) inbox_head: u64,
    pub(super) inbox_resets: u32,
    pub(super) devices: Vec<DeviceCursor>,
    pub(super) marks: Option<MemberMarks>,
}

/// Why there is no such message.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Absent {
    #[error("no such message: user {user} is not a member of the conversation {conversation}")]
    NotAMember { user: UserId, conversation: String },
    #[error("no such message: nothing was ever sent in the conversation {conversation}")]
    NeverSent { conversation: String },
    #[error(
        "no such message: the conversation {conversation} ends at sequence {head}; {seq} was never given out, so \
         nobody was told that it was taken"
    )]
    BeyondHead {
        conversation: String,
        head: u64,
        seq: u64,
    },
    #[error(
        "sequence {seq} of the conversation {conversation} is lost: {head} is there, {seq} is not; \
         run `millpond verify`"
    )]
    Lost {
        conversation: String,
        head: u64,
        seq: u64,
    },
}

pub(super) fn find(
    rows: &dyn Rows,
    epoch: u64,
    user: UserId,
    conversation: ConversationKey,
    seq: u64,
) -> Result<Result<Life, Absent>> {
    let name = name(conversation);
    if members(conversation).all(|member| member != user) {
        return Ok(Err(Absent::NotAMember {
            user,
            conversation: name,
        }));
    }
    let head = last(rows, Table::History, &codec::history_prefix(conversation))?;
    let head = head.map_or(Ok(0), |key| {
        decoded(Table::History, codec::history_seq(&key))
    })?;
    let mut key = Vec::new();
    codec::history_key(conversation, seq, &mut key);
    let row = row(rows, Table::History, &key, |bytes| {
        codec::decode_history(conversation, seq, bytes)
    })?;
    Ok(match row {
        Some(row) => Ok(life(rows, epoch, head, row)?),
        None if head == 0 => Err(Absent::NeverSent { conversation: name }),
        None if head < seq => Err(Absent::BeyondHead {
            conversation: name,
            head,
            seq,
        }),
        None => Err(Absent::Lost {
            conversation: name,
            head,
            seq,
        }),
    })
}

/// How `verify` names it, too.
pub(super) fn name(conversation: ConversationKey) -> String {
    match conversation {
        ConversationKey::Direct(low, high) => format!("{low}-{high}"),
        ConversationKey::Group(id) => format!("group {id}"),
    }
}

fn life(rows: &dyn Rows, epoch: u64, head: u64, history: HistoryRow) -> Result<Life> {
    let message = &history.message;
    let mut key = Vec::new();
    codec::dedup_key(&DedupKey::of(message), &mut key);
    let dedup = row(rows, Table::Dedup, &key, codec::decode_dedup)?;
    let key = codec::marks_key(message.conversation);
    let marks = row(rows, Table::Marks, &key, codec::decode_marks)?;
    let marks = marks.map_or_else(Vec::new, |row| row.members);
    let members: Result<Vec<Member>> = members(message.conversation)
        .map(|user| member(rows, &history, user, &marks))
        .collect();
    Ok(Life {
        head,
        dedup,
        epoch,
        members: members?,
        row: history,
    })
}

fn member(
    rows: &dyn Rows,
    history: &HistoryRow,
    user: UserId,
    marks: &[MemberMarks],
) -> Result<Member> {
    let inbox = Inbox { rows, user };
    let inbox_head = last(rows, Table::Inbox, &codec::inbox_prefix(user))?;
    let inbox_head = inbox_head.map_or(Ok(0), |key| {
        decoded(Table::Inbox, codec::inbox_cursor(&key))
    })?;
    let known = row(
        rows,
        Table::Users,
        &codec::user_key(user),
        codec::decode_user,
    )?;
    let known = known.unwrap_or(UserRow {
        position: Position::ZERO,
        resets: 0,
        devices: Vec::new(),
    });
    Ok(Member {
        user,
        cursor: inbox.cursor_of(history, inbox_head)?,
        inbox_head,
        inbox_resets: known.resets,
        devices: known.devices,
        marks: marks.iter().find(|marks| marks.user == user).copied(),
    })
}

struct Inbox<'a> {
    rows: &'a dyn Rows,
    user: UserId,
}

impl Inbox<'_> {
    /// Positions grow along an inbox, and with one router a pointer has the position of its message: a few reads find
    /// it. Where that does not lead to it, the whole inbox is read.
    fn cursor_of(&self, history: &HistoryRow, head: u64) -> Result<Option<u64>> {
        let (mut low, mut high) = (1, head);
        // Halving ends within this many steps; an inbox of damaged rows may not.
        for _ in 0..=u64::BITS {
            let middle = low + high.saturating_sub(low) / 2;
            let Some(row) = self.at(middle)?.filter(|_| low <= high) else {
                break;
            };
            if names(&row, history) {
                return Ok(Some(middle));
            }
            if row.position < history.position {
                low = middle.saturating_add(1);
            } else {
                high = middle - 1;
            }
        }
        self.scan(history)
    }

    fn at(&self, cursor: u64) -> Result<Option<InboxRow>> {
        let mut key = Vec::new();
        codec::inbox_key(self.user, cursor, &mut key);
        row(self.rows, Table::Inbox, &key, |bytes| {
            codec::decode_inbox(self.user, bytes)
        })
    }

    fn scan(&self, history: &HistoryRow) -> Result<Option<u64>> {
        let prefix = codec::inbox_prefix(self.user);
        for row in self.rows.scan(Table::Inbox, &prefix) {
            let (key, value) = row.map_err(unread)?;
            if !key.starts_with(&prefix) {
                break;
            }
            let row = decoded(Table::Inbox, codec::decode_inbox(self.user, &value))?;
            if names(&row, history) {
                return decoded(Table::Inbox, codec::inbox_cursor(&key)).map(Some);
            }
        }
        Ok(None)
    }
}

fn names(pointer: &InboxRow, history: &HistoryRow) -> bool {
    let message = &history.message;
    (pointer.conversation, pointer.seq) == (message.conversation, message.seq)
}

fn row<T>(
    rows: &dyn Rows,
    table: Table,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, Undecodable>,
) -> Result<Option<T>> {
    let value = rows.value(table, key).map_err(unread)?;
    value
        .map(|value| decoded(table, decode(&value)))
        .transpose()
}

fn last(rows: &dyn Rows, table: Table, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    let last = rows.last(table, prefix).map_err(unread)?;
    Ok(last.map(|(key, _)| key))
}

fn decoded<T>(table: Table, result: Result<T, Undecodable>) -> Result<T> {
    result.map_err(|why| {
        let table = table.name();
        unread(format!(
            "a row of {table} does not decode: {why}; run `millpond verify`"
        ))
    })
}
