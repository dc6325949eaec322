//! What the devices of a user are shown.

use super::{Checker, Device, Sight, Sparse, time};
use crate::Operation;
use crate::report::Rule;
use std::collections::BTreeMap;

/// The inbox of one user, as its devices together show it: of each epoch, which message stands at which cursor.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) epochs: BTreeMap<u64, Sparse<Shown>>,
    /// Where the device stands that caught up last. Epochs have no order of their own.
    pub(super) current: Option<u64>,
}

/// Conversation and sequence; `None` where nobody has looked.
pub(super) type Shown = Option<(u32, u64)>;

/// Cursors that a device holds, of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) epoch: u64,
    /// The first cursor.
    pub(super) first: u64,
    /// The last one; below `first` when it holds none yet.
    pub(super) last: u64,
}

/// One record of a delivery, with its conversation looked up.
struct Row {
    device: u32,
    user: u64,
    epoch: u64,
    cursor: u64,
    log: u32,
    seq: u64,
    at: u64,
}

impl Checker {
    pub(super) fn delivered(&mut self, operation: Operation) {
        let Operation::Delivered {
            user,
            device,
            epoch,
            cursor,
            conversation,
            seq,
            sender,
            origin,
            payload,
            at,
        } = operation
        else {
            unreachable!("called with a delivery")
        };
        self.report.counts.delivered += 1;
        let log = self.log(conversation);
        let device = self.device(user, device);
        let row = Row {
            device,
            user,
            epoch,
            cursor,
            log,
            seq,
            at,
        };
        if !self.log_list[log as usize].is_member(user, seq) {
            self.stranger(user, conversation, at, "was shown");
        }
        self.advance(&row);
        self.agree(&row);
        self.see(&Sight {
            log,
            seq,
            sender,
            payload,
            at,
        });
        if let Some((device, id)) = origin {
            self.own(user, device, id, &row);
        }
    }

    pub(super) fn caught_up(&mut self, user: u64, device: u64) {
        let device = self.device(user, device);
        let device = &mut self.device_list[device as usize];
        device.caught_up = true;
        if let Some(segment) = device.segments.last() {
            self.inboxes.entry(user).or_default().current = Some(segment.epoch);
        }
    }

    pub(super) fn reset(&mut self, user: u64, device: u64, epoch: u64, head: u64) {
        self.report.counts.resets += 1;
        let index = self.device(user, device) as usize;
        let segments = &mut self.device_list[index].segments;
        let last = segments.last().map_or(0, |segment| segment.last);
        if head > last {
            self.report.add(Rule::ResetSkips, || {
                let what = format!(
                    "device {device} of user {user} was moved past what it was never shown"
                );
                let timeline = vec![format!("from cursor {last} to {head}, epoch {epoch}")];
                (what, timeline)
            });
        }
        segments.retain(|segment| segment.first <= head);
        for segment in segments.iter_mut() {
            segment.last = segment.last.min(head);
        }
        segments.push(Segment {
            epoch,
            first: head.saturating_add(1),
            last: head,
        });
    }

    /// The device goes on by exactly one.
    fn advance(&mut self, row: &Row) {
        let (epoch, cursor) = (row.epoch, row.cursor);
        let device = &mut self.device_list[row.device as usize];
        let begin = |last| Segment {
            epoch,
            first: u64::saturating_add(last, 1),
            last,
        };
        let former = *device.segments.last().unwrap_or(&begin(0));
        let rule = if former.epoch != epoch {
            device.segments.push(begin(cursor.saturating_sub(1)));
            Rule::EpochWithoutReset
        } else if cursor <= former.last {
            Rule::CursorTwice
        } else if cursor - former.last > 1 {
            Rule::CursorGap
        } else {
            return device.hold(row);
        };
        if cursor > former.last {
            device.hold(row);
        }
        let (user, device) = (device.user, device.device);
        let before = format!("before: epoch {}, cursor {}", former.epoch, former.last);
        let now = format!("{} epoch {epoch}, cursor {cursor}", time(row.at));
        self.report.add(rule, || {
            let what = format!("device {device} of user {user} did not go on by one");
            (what, vec![before, now])
        });
    }

    /// One cursor of one epoch shows one message.
    fn agree(&mut self, row: &Row) {
        let inbox = self.inboxes.entry(row.user).or_default();
        let place = inbox.epochs.entry(row.epoch).or_default().at(row.cursor);
        let shown = (row.log, row.seq);
        let former = *place.get_or_insert(shown);
        if former == shown {
            return;
        }
        let (user, epoch, cursor) = (row.user, row.epoch, row.cursor);
        let name = |(log, seq): (u32, u64)| {
            format!(
                "message {seq} of {}",
                self.log_list[log as usize].conversation
            )
        };
        let timeline = vec![
            format!("before: {}", name(former)),
            format!("{} {}", time(row.at), name(shown)),
        ];
        self.report.add(Rule::InboxesDiffer, || {
            let what = format!("cursor {cursor} of user {user}, epoch {epoch}, shows two messages");
            (what, timeline)
        });
    }

    fn own(&mut self, user: u64, device: u64, id: u64, row: &Row) {
        let device = self.device(user, device);
        match self.messages.get(&(device, id)) {
            Some(&known) => self.link(known, row.seq, row.at),
            None if self.device_list[device as usize].has_sent => {
                self.unsent(user, id, row.at, "came back as its own");
            }
            // A device whose sends nobody noted.
            None => {}
        }
    }
}

impl Device {
    fn hold(&mut self, row: &Row) {
        match self.segments.last_mut() {
            Some(segment) if segment.epoch == row.epoch => segment.last = row.cursor,
            _ => self.segments.push(Segment {
                epoch: row.epoch,
                first: 1,
                last: row.cursor,
            }),
        }
    }
}
