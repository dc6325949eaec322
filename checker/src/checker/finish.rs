//! What can be judged only when the history is over.

use super::inbox::{Segment, Shown};
use super::{Checker, Message, NONE, Slot, Sparse};
use crate::Conversation;
use crate::report::{Counts, Report, Rule};
use rustc_hash::{FxHashMap, FxHashSet};

/// The conversations of each user, and the last message of them that is not for this user.
type Memberships = FxHashMap<u64, Vec<(u32, u64)>>;

impl Checker {
    /// The judgement of everything that was noted.
    pub fn finish(mut self) -> Report {
        for log in 0..self.log_list.len() {
            self.judge_history(log);
        }
        self.judge_doubles();
        self.judge_senders();
        self.judge_inboxes();
        self.judge_devices();
        self.count();
        self.report
    }

    /// Everything up to the head is there, and every acknowledged message is among it.
    fn judge_history(&mut self, log: usize) {
        let Some(head) = self.log_list[log].head else {
            return;
        };
        let mut last = 0u64;
        let mut lost = Vec::new();
        let mut holes = Vec::new();
        for (seq, slot) in self.log_list[log].slots.iter() {
            if slot.in_history {
                if seq != last.saturating_add(1) {
                    holes.push((last, seq));
                }
                last = seq;
            } else if slot.message != NONE && self.acked_as(slot, seq) {
                lost.push((seq, slot.message));
            }
        }
        if last != head {
            holes.push((last, head.saturating_add(1)));
        }
        let conversation = self.log_list[log].conversation;
        for (before, after) in holes {
            self.report.add(Rule::HistoryGap, || {
                let what = format!(
                    "history of {conversation}, head {head}: nothing between {before} and {after}"
                );
                (what, Vec::new())
            });
        }
        for (seq, message) in lost {
            let message = &self.message_list[message as usize];
            let timeline = vec![self.tell_sent(message), self.tell_acked(message)];
            self.report.add(Rule::LostFromHistory, || {
                let what =
                    format!("message {seq} of {conversation} is not in its history, head {head}");
                (what, timeline)
            });
        }
    }

    fn acked_as(&self, slot: Slot, seq: u64) -> bool {
        self.message_list[slot.message as usize].seq == seq
    }

    /// What stands in a conversation was sent, once for each place it has.
    fn judge_doubles(&mut self) {
        let mut unlinked: FxHashMap<(u32, u64, u64), u64> = FxHashMap::default();
        let linked: FxHashSet<u32> = self.linked();
        for (index, message) in (0..).zip(&self.message_list) {
            if message.seq == 0 && !linked.contains(&index) {
                let sender = self.device_list[message.device as usize].user;
                *unlinked
                    .entry((message.log, sender, message.payload))
                    .or_default() += 1;
            }
        }
        let senders = self.device_list.iter().filter(|device| device.has_sent);
        let senders: FxHashSet<u64> = senders.map(|device| device.user).collect();
        for (index, log) in (0..).zip(&self.log_list) {
            for (seq, slot) in log.slots.iter() {
                let (Some(sender), Some(payload)) = (slot.sender, slot.payload) else {
                    continue;
                };
                if slot.message != NONE || !senders.contains(&sender) {
                    continue;
                }
                match unlinked.get_mut(&(index, sender, payload)) {
                    Some(left @ 1..) => *left -= 1,
                    _ => self.report.add(Rule::Doubled, || {
                        let conversation = log.conversation;
                        let what = format!(
                            "message {seq} of {conversation}, payload {payload:x}: user {sender} sent it less often \
                             than it stands there"
                        );
                        (what, Vec::new())
                    }),
                }
            }
        }
    }

    /// Messages that came back to their sender without having been acknowledged.
    fn linked(&self) -> FxHashSet<u32> {
        let slots = self.log_list.iter().flat_map(|log| log.slots.iter());
        let messages = slots.map(|(_, slot)| slot.message);
        let unacked =
            |message: &u32| *message != NONE && self.message_list[*message as usize].seq == 0;
        messages.filter(unacked).collect()
    }

    /// In each conversation the messages of a device stand in the order of their ids.
    fn judge_senders(&mut self) {
        let mut acked: Vec<&Message> = self.message_list.iter().filter(|m| m.seq != 0).collect();
        acked.sort_unstable_by_key(|m| (m.device, m.log, m.id));
        let mut broken = Vec::new();
        for pair in acked.windows(2) {
            let [first, second] = pair else { continue };
            let same = (first.device, first.log) == (second.device, second.log);
            if same && first.seq > second.seq {
                broken.push(
                    [first, second]
                        .map(|m| format!("{}, {}", self.tell_sent(m), self.tell_acked(m))),
                );
            }
        }
        for steps in broken {
            self.report.add(Rule::SenderOrder, || {
                (
                    "two messages changed their places".to_owned(),
                    steps.to_vec(),
                )
            });
        }
    }

    /// Within an epoch the messages of a conversation come one after the other, the first ever first.
    fn judge_inboxes(&mut self) {
        let mut gaps = Vec::new();
        for (user, inbox) in &self.inboxes {
            let mut from_start = true;
            for (epoch, rows) in &inbox.epochs {
                for (cursor, log, gap) in self.gaps(rows, from_start) {
                    gaps.push((*user, *epoch, cursor, log, gap));
                }
                from_start = false;
            }
        }
        for (user, epoch, cursor, log, (before, seq)) in gaps {
            let conversation = self.log_list[log as usize].conversation;
            self.report.add(Rule::ConversationGap, || {
                let what = format!(
                    "user {user}, epoch {epoch}, cursor {cursor}: message {seq} of {conversation} behind {before}"
                );
                (what, Vec::new())
            });
        }
    }

    /// Where a message does not follow the one before it: cursor, conversation, and the two sequences.
    fn gaps(&self, rows: &Sparse<Shown>, mut from_start: bool) -> Vec<(u64, u32, (u64, u64))> {
        let mut last: FxHashMap<u32, u64> = FxHashMap::default();
        let mut last_cursor = 0;
        let mut gaps = Vec::new();
        for (cursor, shown) in rows.iter() {
            let Some((log, seq)) = shown else { continue };
            // Rows that no device was shown may hold what seems to be missing.
            if cursor != u64::saturating_add(last_cursor, 1) {
                last.clear();
                from_start = false;
            }
            last_cursor = cursor;
            let conversation = self.log_list[log as usize].conversation;
            let first = from_start && matches!(conversation, Conversation::Direct(..));
            let before = last.insert(log, seq).or(first.then_some(0));
            if let Some(before) = before.filter(|before| seq != before.saturating_add(1)) {
                gaps.push((cursor, log, (before, seq)));
            }
        }
        gaps
    }

    /// Who has caught up holds everything that is theirs.
    fn judge_devices(&mut self) {
        let memberships = self.memberships();
        for index in 0..self.device_list.len() {
            let device = &self.device_list[index];
            if !device.caught_up {
                continue;
            }
            let (user, name) = (device.user, device.device);
            let held = self.held(user, &device.segments);
            let mut lost = Vec::new();
            for &(log, after) in memberships.get(&user).into_iter().flatten() {
                let stored = self.log_list[log as usize].slots.iter();
                let stored = stored.filter(|(seq, slot)| slot.sender.is_some() && *seq > after);
                lost.extend(
                    stored
                        .filter(|(seq, _)| !held.contains(&(log, *seq)))
                        .map(|(seq, slot)| (log, seq, slot)),
                );
            }
            for (log, seq, slot) in lost {
                let conversation = self.log_list[log as usize].conversation;
                let timeline = self.tell_slot(slot);
                self.report.add(Rule::LostFromInbox, || {
                    let what = format!(
                        "message {seq} of {conversation} never came to user {user}, device {name}"
                    );
                    (what, timeline)
                });
            }
            self.judge_position(index);
        }
    }

    fn tell_slot(&self, slot: Slot) -> Vec<String> {
        if slot.message == NONE {
            return Vec::new();
        }
        let message = &self.message_list[slot.message as usize];
        vec![self.tell_sent(message), self.tell_acked(message)]
    }

    /// A device that has caught up stands where the inbox ends.
    fn judge_position(&mut self, index: usize) {
        let device = &self.device_list[index];
        let Some(inbox) = self.inboxes.get(&device.user) else {
            return;
        };
        let Some(epoch) = inbox.current else {
            return;
        };
        let rows = inbox.epochs.get(&epoch);
        let shown = rows.iter().flat_map(|rows| rows.iter());
        let head = shown
            .filter(|(_, shown)| shown.is_some())
            .map(|(cursor, _)| cursor)
            .max();
        let head = head.unwrap_or_default();
        let last = device.segments.last();
        let (at_epoch, at) = last.map_or((epoch, 0), |segment| (segment.epoch, segment.last));
        if at_epoch == epoch && at >= head {
            return;
        }
        let (user, name) = (device.user, device.device);
        self.report.add(Rule::DeviceBehind, || {
            let what = format!(
                "device {name} of user {user} stands at epoch {at_epoch}, cursor {at}; its inbox at {epoch}, {head}"
            );
            (what, Vec::new())
        });
    }

    fn held(&self, user: u64, segments: &[Segment]) -> FxHashSet<(u32, u64)> {
        let mut held = FxHashSet::default();
        let Some(inbox) = self.inboxes.get(&user) else {
            return held;
        };
        for segment in segments {
            let Some(rows) = inbox.epochs.get(&segment.epoch) else {
                continue;
            };
            let mine = rows
                .iter()
                .filter(|(cursor, _)| (segment.first..=segment.last).contains(cursor));
            held.extend(mine.filter_map(|(_, shown)| shown));
        }
        held
    }

    fn memberships(&self) -> Memberships {
        let mut memberships = Memberships::default();
        for (index, log) in (0..).zip(&self.log_list) {
            let mut members = log.members.clone();
            if let Conversation::Direct(low, high) = log.conversation {
                members = vec![(low, 0), (high, 0)];
                members.dedup();
            }
            for (user, after) in members {
                memberships.entry(user).or_default().push((index, after));
            }
        }
        memberships
    }

    fn count(&mut self) {
        let unread = self.log_list.iter().filter(|log| log.head.is_none());
        let unfollowed = self.device_list.iter().filter(|device| !device.caught_up);
        let unanswered = self
            .message_list
            .iter()
            .filter(|m| m.seq == 0 && !m.refused);
        self.report.counts = Counts {
            conversations: self.log_list.len() as u64,
            conversations_unread: unread.count() as u64,
            devices: self.device_list.len() as u64,
            devices_unfollowed: unfollowed.count() as u64,
            unanswered: unanswered.count() as u64,
            ..self.report.counts
        };
    }
}
