//! What all parts of an audit share: the rows, the findings, and who is told how far it has come.

use super::{Code, Limits, Report, Rows, Table};
use crate::ConversationKey;
use crate::codec::{Undecodable, decode_history_key, decode_inbox_key};
use crate::codec::{history_prefix, inbox_prefix};
use crate::store::StoreError;
use millpond_wire::UserId;

pub(super) struct Judge<'a> {
    pub(super) rows: &'a dyn Rows,
    pub(super) limits: Limits,
    report: Report,
    progress: &'a mut dyn FnMut(Table, u64),
}

/// Rows between two words to who waits.
const ROWS_PER_PROGRESS: u64 = 1 << 14;

impl<'a> Judge<'a> {
    pub(super) fn new(
        rows: &'a dyn Rows,
        limits: Limits,
        progress: &'a mut dyn FnMut(Table, u64),
    ) -> Self {
        Self {
            rows,
            limits,
            report: Report::default(),
            progress,
        }
    }

    pub(super) fn report(self) -> Report {
        self.report
    }

    pub(super) fn found(&mut self, code: Code, place: impl FnOnce() -> String) {
        let found = self.report.found.entry(code).or_default();
        found.count += 1;
        if found.places.len() < self.limits.findings {
            found.places.push(place());
        }
    }

    pub(super) fn undecodable(&mut self, table: Table, key: &[u8], why: Undecodable) {
        self.found(Code::Undecodable, || {
            let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} {key}: {why}", table.name())
        });
    }

    /// A row that was read for the first time.
    pub(super) fn seen(&mut self, table: Table) {
        let rows = self.report.rows.entry(table).or_default();
        *rows += 1;
        if rows.is_multiple_of(ROWS_PER_PROGRESS) {
            (self.progress)(table, *rows);
        }
    }

    pub(super) fn rows_of(&self, table: Table) -> u64 {
        self.report.rows.get(&table).copied().unwrap_or(0)
    }

    /// The last sequence of a conversation; 0 where there is none.
    pub(super) fn last_seq(&self, conversation: ConversationKey) -> Result<u64, StoreError> {
        let last = self
            .rows
            .last(Table::History, &history_prefix(conversation))?;
        Ok(last
            .and_then(|(key, _)| decode_history_key(&key).ok())
            .map_or(0, |(_, seq)| seq))
    }

    /// The last cursor of an inbox; 0 where there is none.
    pub(super) fn last_cursor(&self, user: UserId) -> Result<u64, StoreError> {
        let last = self.rows.last(Table::Inbox, &inbox_prefix(user))?;
        Ok(last
            .and_then(|(key, _)| decode_inbox_key(&key).ok())
            .map_or(0, |(_, cursor)| cursor))
    }
}

/// How a finding names a conversation.
pub(super) fn name(conversation: ConversationKey) -> String {
    match conversation {
        ConversationKey::Direct(low, high) => format!("{low}-{high}"),
        ConversationKey::Group(id) => format!("group {id}"),
    }
}

/// Who takes part; `None` for groups, whose members are not known from rows yet.
pub(super) fn members(conversation: ConversationKey) -> Option<impl Iterator<Item = UserId>> {
    match conversation {
        ConversationKey::Direct(low, high) => Some(
            [Some(low), Some(high).filter(|high| *high != low)]
                .into_iter()
                .flatten(),
        ),
        ConversationKey::Group(_) => None,
    }
}

pub(super) fn is_member(conversation: ConversationKey, user: UserId) -> bool {
    members(conversation).is_none_or(|mut members| members.any(|member| member == user))
}
