//! Rows that tests can tell apart.

use crate::row::{HistoryRow, InboxRow, MarksRow, MemberMarks};
use crate::store::Write;
use crate::{ConversationKey, Message, Position};
use millpond_wire::{DeviceId, Kind, UserId};

/// # Panics
/// For a number that is no user.
pub fn user(id: u64) -> UserId {
    UserId::new(id).expect("a sample user is a user")
}

pub(super) fn position(offset: u64) -> Position {
    Position {
        epoch: 1,
        offset,
        index: 0,
    }
}

/// Sent by the lower member, or by user 1 in a group; the payload says which row it is.
pub fn history_row(conversation: ConversationKey, seq: u64, offset: u64) -> HistoryRow {
    let sender = match conversation {
        ConversationKey::Direct(low, _) => low,
        ConversationKey::Group(_) => user(1),
    };
    let message = Message {
        conversation,
        seq,
        sender,
        device: DeviceId(7),
        client_msg_id: seq.wrapping_add(1_000),
        server_ms: seq.wrapping_add(1_700_000_000_000),
        kind: Kind::TEXT,
        payload: format!("{conversation:?} {seq}").into_bytes().into(),
    };
    HistoryRow {
        position: position(offset),
        message,
    }
}

pub fn message_write(conversation: ConversationKey, seq: u64, offset: u64) -> Write {
    Write::Message {
        row: history_row(conversation, seq, offset),
        hash: u32::try_from(seq % 1_000).expect("below 1,000"),
    }
}

pub fn inbox_row(conversation: ConversationKey, seq: u64, offset: u64) -> InboxRow {
    InboxRow {
        position: position(offset),
        conversation,
        seq,
    }
}

/// Everybody of `members` at `up_to`.
pub fn marks_row(members: &[UserId], up_to: u64, offset: u64) -> MarksRow {
    let mut members: Vec<_> = members
        .iter()
        .map(|&user| MemberMarks {
            user,
            delivered: up_to,
            read: up_to / 2,
        })
        .collect();
    members.sort_unstable_by_key(|member| member.user);
    MarksRow {
        position: position(offset),
        version: offset,
        members,
    }
}
