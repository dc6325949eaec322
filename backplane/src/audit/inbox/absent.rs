//! Conversations that are in an inbox with no message at all. Looked for only when there are too few memberships.
//!
//! As many memberships as fit are taken from history, and the inboxes are read once for them; then the next ones.

use super::super::judge::{Judge, members, name};
use super::super::{Code, Table};
use crate::ConversationKey;
use crate::codec::{decode_history_key, decode_inbox, decode_inbox_key, history_prefix};
use crate::store::StoreError;
use millpond_wire::UserId;
use std::collections::BTreeSet;

pub(super) fn find(judge: &mut Judge<'_>, unreadable: &BTreeSet<UserId>) -> Result<(), StoreError> {
    let mut conversations = Conversations::default();
    loop {
        let mut absent = BTreeSet::new();
        // A conversation brings two at most.
        while absent.len() < judge.limits.conversations {
            let Some(conversation) = conversations.next(judge)? else {
                break;
            };
            let members = members(conversation).into_iter().flatten();
            absent.extend(members.map(|user| (user, conversation)));
        }
        if absent.is_empty() {
            return Ok(());
        }
        remove_present(judge, &mut absent)?;
        for (user, conversation) in absent {
            if !unreadable.contains(&user) {
                judge.found(Code::NotInInbox, || {
                    format!("user {user}: no message of {}", name(conversation))
                });
            }
        }
    }
}

/// The conversations of history, one seek each.
#[derive(Default)]
struct Conversations {
    after: Option<ConversationKey>,
    at_the_end: bool,
}

impl Conversations {
    fn next(&mut self, judge: &Judge<'_>) -> Result<Option<ConversationKey>, StoreError> {
        let from = match self.after {
            _ if self.at_the_end => return Ok(None),
            None => Vec::new(),
            // Behind every sequence of it: those take eight bytes at most, and their count stands in front.
            Some(key) => [&history_prefix(key)[..], &[u8::MAX]].concat(),
        };
        for row in judge.rows.scan(Table::History, &from) {
            if let Ok((conversation, _)) = decode_history_key(&row?.0) {
                self.after = Some(conversation);
                return Ok(Some(conversation));
            }
        }
        self.at_the_end = true;
        Ok(None)
    }
}

fn remove_present(
    judge: &Judge<'_>,
    absent: &mut BTreeSet<(UserId, ConversationKey)>,
) -> Result<(), StoreError> {
    for row in judge.rows.scan(Table::Inbox, &[]) {
        let (key, value) = row?;
        if let Ok((user, _)) = decode_inbox_key(&key)
            && let Ok(row) = decode_inbox(user, &value)
        {
            absent.remove(&(user, row.conversation));
        }
    }
    Ok(())
}
