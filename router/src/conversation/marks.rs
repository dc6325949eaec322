//! Delivered and read positions: state, not records. They only grow.

use super::members;
use millpond_backplane::row::{MarksRow, MemberMarks};
use millpond_backplane::{ConversationKey, Position};
use millpond_wire::{MarkKind, UserId};

/// A mark of `author` that moved, for those who look at this conversation just now. May be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MarkHint {
    pub conversation: ConversationKey,
    pub author: UserId,
    pub kind: MarkKind,
    pub up_to: u64,
}

impl MarkHint {
    pub(super) fn delivered(conversation: ConversationKey, author: UserId, up_to: u64) -> Self {
        Self {
            conversation,
            author,
            kind: MarkKind::Delivered,
            up_to,
        }
    }

    pub(super) fn read(conversation: ConversationKey, author: UserId, up_to: u64) -> Self {
        Self {
            kind: MarkKind::Read,
            ..Self::delivered(conversation, author, up_to)
        }
    }
}

pub(super) fn none_yet(key: ConversationKey) -> MarksRow {
    let unmarked = |user| MemberMarks {
        user,
        delivered: 0,
        read: 0,
    };
    MarksRow {
        position: Position::ZERO,
        version: 0,
        members: members(key).map(unmarked).collect(),
    }
}

/// Whether something changed. What was read was delivered too, whether or not anybody said so.
pub(super) fn raise(marks: &mut MarksRow, position: Position, hint: MarkHint) -> bool {
    let Some(member) = marks
        .members
        .iter_mut()
        .find(|member| member.user == hint.author)
    else {
        return false;
    };
    let before = *member;
    member.delivered = member.delivered.max(hint.up_to);
    if hint.kind == MarkKind::Read {
        member.read = member.read.max(hint.up_to);
    }
    let changed = *member != before;
    if changed {
        marks.position = position;
        marks.version += 1;
    }
    changed
}
