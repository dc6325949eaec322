//! Quiet, and what must be true after it: every device has what a new device finds, everything is read, histories are
//! whole.

use super::{ROUND, Run};
use crate::crowd::Crowd;
use crate::device::Device;
use crate::fault::Faults;
use millpond_checker::{self as checker, Conversation};
use millpond_client::{Conversation as Named, From, UserId};
use std::collections::BTreeMap;
use std::time::Duration;

/// A heartbeat of an active client and its slack, and the time to come back.
const REST: Duration = Duration::from_secs(60);
/// Nothing has come to anybody for so long.
const STILL: Duration = Duration::from_millis(500);
/// For marks to be collected, written and told.
const MARKS: Duration = Duration::from_secs(3);
/// For one page of a history.
const PAGE: Duration = Duration::from_secs(20);
/// For everything that comes again after a page that was lost.
const PAGES_MAX: usize = 100_000;

impl Run {
    /// No more accidents: a new device of each user shows what there is, and everybody has to come to have it.
    pub(super) fn come_to_rest(&mut self) {
        if !self.notes.findings.is_empty() {
            return;
        }
        self.faults = Faults::default();
        self.crowd.drop_probers();
        self.begin_server();
        self.with_crowd(|crowd, around| {
            crowd.devices.retain(|device| !device.retired);
            for user in 1..=super::USERS {
                crowd.admit(user, around);
            }
        });
        if self.wait_for_everything() {
            self.read_all();
        }
    }

    fn wait_for_everything(&mut self) -> bool {
        let until = self.began.elapsed() + REST;
        let mut before = Vec::new();
        let mut still_since = self.began.elapsed();
        while self.began.elapsed() < until {
            self.round();
            let stand: Vec<_> = self.crowd.in_use().map(Device::last).collect();
            if stand != before {
                before = stand;
                still_since = self.began.elapsed();
            }
            if self.began.elapsed() > still_since + STILL && self.behind().is_none() {
                return true;
            }
        }
        let what = self
            .behind()
            .unwrap_or_else(|| "messages still come".to_owned());
        self.notes.find("Late", what);
        false
    }

    fn round(&mut self) {
        self.wait_until(self.began.elapsed() + ROUND);
        self.with_crowd(Crowd::pump_all);
    }

    /// Somebody who does not have what another device of the same user has.
    fn behind(&self) -> Option<String> {
        let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
        for device in self.crowd.in_use() {
            let most = newest.entry(device.user).or_default();
            *most = stands_at(device).max(*most);
        }
        let mut devices = self.crowd.in_use();
        let behind = devices
            .find(|device| !device.is_settled() || stands_at(device) < newest[&device.user])?;
        Some(format!(
            "user {} device {} stands at {} of {}, {} unanswered, {}",
            behind.user,
            behind.name,
            stands_at(behind),
            newest[&behind.user],
            behind.unanswered(),
            behind.inside()
        ))
    }

    /// Every device reads all it was shown.
    fn read_all(&mut self) {
        self.with_crowd(|crowd, around| {
            let mut heads: BTreeMap<(u64, Named), u64> = BTreeMap::new();
            for device in crowd.in_use() {
                for (conversation, seq) in &device.shown {
                    let most = heads.entry((device.user, *conversation)).or_default();
                    *most = (*seq).max(*most);
                }
            }
            for device in &mut crowd.devices {
                let user = device.user;
                let mine = heads.iter().filter(|((reader, _), _)| *reader == user);
                for ((_, conversation), head) in mine {
                    device.mark_read(*conversation, *head, around.notes.now_us);
                }
            }
        });
        let until = self.began.elapsed() + MARKS;
        while self.began.elapsed() < until {
            self.round();
        }
    }

    /// The newest device of each user reads all its conversations, page by page.
    pub(super) fn read_everything(&mut self) {
        for user in 1..=super::USERS {
            for peer in 1..=super::USERS {
                if !self.notes.findings.is_empty() {
                    return;
                }
                self.read_history(user, peer);
            }
        }
    }

    fn read_history(&mut self, user: u64, peer: u64) {
        let mut devices = self.crowd.devices.iter();
        let place = devices
            .rposition(|it| it.user == user)
            .expect("it was let in at rest");
        let named = Named::Direct(UserId::new(peer).expect("users are small numbers"));
        let conversation = Conversation::direct(user, peer);
        let mut after = 0;
        for _ in 0..PAGES_MAX {
            match self.page(place, named, after) {
                Some((seqs, end)) => {
                    after = seqs.into_iter().fold(after, u64::max);
                    if end {
                        let at = self.notes.now_us;
                        let seq = after;
                        self.heads.insert(conversation, seq);
                        return self.notes.note(checker::Operation::Head {
                            conversation,
                            seq,
                            at,
                        });
                    }
                }
                None => break,
            }
        }
        let what = format!("user {user} could not read {conversation} beyond {after}");
        self.notes.find("HistoryShort", what);
    }

    /// Sequences of a page, ascending, and whether nothing lies beyond.
    fn page(&mut self, place: usize, named: Named, after: u64) -> Option<(Vec<u64>, bool)> {
        let until = self.began.elapsed() + PAGE;
        self.crowd.devices[place].pages.clear();
        while self.began.elapsed() < until {
            let now_us = self.notes.now_us;
            self.crowd.devices[place].ask_history(named, From::After(after), now_us);
            while self.began.elapsed() < until {
                self.with_crowd(Crowd::pump_all);
                if let Some(page) = self.crowd.devices[place].pages.pop_front() {
                    match page.found {
                        Some(found) if page.conversation == named => return Some(found),
                        _ => break,
                    }
                }
            }
        }
        None
    }
}

fn stands_at(device: &Device) -> u64 {
    let shown = device.last().map_or(0, |(_, cursor)| cursor);
    let saved = device.position().map_or(0, |position| position.cursor);
    shown.max(saved)
}
