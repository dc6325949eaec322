//! Takes the operations in and keeps of each only what later ones have to agree with: one entry per message, one per
//! sequence, one per record of an inbox. What can be judged at once is; the rest waits for the end.

mod finish;
mod inbox;
mod sparse;

use crate::report::{Report, Rule};
use crate::{Conversation, Operation};
use inbox::{Inbox, Segment};
use rustc_hash::FxHashMap;
use sparse::Sparse;

/// No message is linked.
const NONE: u32 = u32::MAX;

/// Judges one history: feed it with [`Checker::note`], then ask [`Checker::finish`].
#[derive(Debug, Default)]
pub struct Checker {
    devices: FxHashMap<(u64, u64), u32>,
    device_list: Vec<Device>,
    logs: FxHashMap<Conversation, u32>,
    log_list: Vec<Log>,
    messages: FxHashMap<(u32, u64), u32>,
    message_list: Vec<Message>,
    inboxes: FxHashMap<u64, Inbox>,
    report: Report,
}

#[derive(Debug)]
struct Device {
    user: u64,
    device: u64,
    /// What it holds, in the order of the cursors; more than one only after a reset.
    segments: Vec<Segment>,
    has_sent: bool,
    caught_up: bool,
}

/// Something that was sent.
#[derive(Debug)]
struct Message {
    device: u32,
    log: u32,
    id: u64,
    payload: u64,
    /// 0: not acknowledged.
    seq: u64,
    sent_at: u64,
    acked_at: u64,
    refused: bool,
}

/// A conversation, as all sides together show it.
#[derive(Debug)]
struct Log {
    conversation: Conversation,
    slots: Sparse<Slot>,
    /// User, and the last message they may not see.
    members: Vec<(u64, u64)>,
    head: Option<u64>,
}

/// What is known of one sequence.
#[derive(Clone, Copy, Debug)]
struct Slot {
    sender: Option<u64>,
    payload: Option<u64>,
    message: u32,
    in_history: bool,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            sender: None,
            payload: None,
            message: NONE,
            in_history: false,
        }
    }
}

/// What a reader saw of a message.
struct Sight {
    log: u32,
    seq: u64,
    sender: u64,
    payload: Option<u64>,
    at: u64,
}

impl Checker {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next operation in.
    pub fn note(&mut self, operation: Operation) {
        self.report.counts.operations += 1;
        match operation {
            Operation::Member { .. } => self.member(operation),
            Operation::Sent { .. } => self.sent(operation),
            Operation::Acked {
                user,
                device,
                id,
                seq,
                at,
            } => self.acked(user, device, id, seq, at),
            Operation::Refused {
                user,
                device,
                id,
                code,
                at,
            } => self.refused(user, device, id, code, at),
            Operation::Delivered { .. } => self.delivered(operation),
            Operation::Reset {
                user,
                device,
                epoch,
                head,
                ..
            } => self.reset(user, device, epoch, head),
            Operation::CaughtUp { user, device, .. } => self.caught_up(user, device),
            Operation::History { .. } => self.history(operation),
            Operation::Head {
                conversation, seq, ..
            } => {
                let log = self.log(conversation);
                let log = &mut self.log_list[log as usize];
                log.head = log.head.max(Some(seq));
            }
        }
    }

    fn member(&mut self, operation: Operation) {
        let Operation::Member {
            conversation,
            user,
            after,
        } = operation
        else {
            unreachable!("called with a member")
        };
        let log = self.log(conversation);
        self.log_list[log as usize].members.push((user, after));
    }

    fn sent(&mut self, operation: Operation) {
        let Operation::Sent {
            user,
            device,
            id,
            conversation,
            payload,
            at,
        } = operation
        else {
            unreachable!("called with a send")
        };
        let device = self.device(user, device);
        let log = self.log(conversation);
        if !self.log_list[log as usize].is_member(user, u64::MAX) {
            self.stranger(user, conversation, at, "sent to");
        }
        if let Some(&known) = self.messages.get(&(device, id)) {
            let known = &self.message_list[known as usize];
            if (known.log, known.payload) != (log, payload) {
                let first = self.tell_sent(known);
                let again = format!("{} sent again with other content", time(at));
                self.report.add(Rule::IdReused, || {
                    (
                        format!("id {id} stands for two messages"),
                        vec![first, again],
                    )
                });
            }
            return;
        }
        self.report.counts.sent += 1;
        self.device_list[device as usize].has_sent = true;
        self.messages
            .insert((device, id), index(self.message_list.len()));
        self.message_list.push(Message {
            device,
            log,
            id,
            payload,
            seq: 0,
            sent_at: at,
            acked_at: 0,
            refused: false,
        });
    }

    fn acked(&mut self, user: u64, device: u64, id: u64, seq: u64, at: u64) {
        self.report.counts.acked += 1;
        let device = self.device(user, device);
        let Some(&known) = self.messages.get(&(device, id)) else {
            return self.unsent(user, id, at, "acknowledged");
        };
        let message = &mut self.message_list[known as usize];
        let refused = message.refused;
        if message.seq == 0 {
            message.seq = seq;
            message.acked_at = at;
        }
        if refused {
            self.two_outcomes(known, at);
        }
        self.link(known, seq, at);
    }

    fn refused(&mut self, user: u64, device: u64, id: u64, code: u16, at: u64) {
        self.report.counts.refused += 1;
        let device = self.device(user, device);
        let Some(&known) = self.messages.get(&(device, id)) else {
            return self.unsent(user, id, at, &format!("refused with {code}"));
        };
        let message = &mut self.message_list[known as usize];
        message.refused = true;
        if message.seq != 0 {
            self.two_outcomes(known, at);
        }
    }

    /// A sequence is said to be that of a message which we know.
    fn link(&mut self, known: u32, seq: u64, at: u64) {
        let message = &self.message_list[known as usize];
        let log = message.log;
        if message.seq != 0 && message.seq != seq {
            let timeline = vec![
                self.tell_sent(message),
                self.tell_acked(message),
                says(at, seq),
            ];
            return self.report.add(Rule::TwoSequences, || {
                ("one message has two sequences".to_owned(), timeline)
            });
        }
        let former = self.log_list[log as usize].slots.at(seq).message;
        if former != NONE && former != known {
            let former = &self.message_list[former as usize];
            let timeline = vec![
                self.tell_sent(former),
                self.tell_sent(message),
                says(at, seq),
            ];
            return self.report.add(Rule::TwoMessages, || {
                (format!("two messages have the sequence {seq}"), timeline)
            });
        }
        let sender = self.device_list[message.device as usize].user;
        let payload = Some(message.payload);
        self.log_list[log as usize].slots.at(seq).message = known;
        self.see(&Sight {
            log,
            seq,
            sender,
            payload,
            at,
        });
    }

    /// What is seen has to agree with what was seen before.
    fn see(&mut self, sight: &Sight) {
        let slot = self.log_list[sight.log as usize].slots.at(sight.seq);
        let former = *slot;
        slot.sender.get_or_insert(sight.sender);
        slot.payload = slot.payload.or(sight.payload);
        let same_sender = former.sender.is_none_or(|sender| sender == sight.sender);
        let altered = matches!((former.payload, sight.payload), (Some(was), Some(is)) if was != is);
        if same_sender && !altered {
            return;
        }
        let rule = if altered && former.message != NONE {
            Rule::Altered
        } else {
            Rule::TwoMessages
        };
        let conversation = self.log_list[sight.log as usize].conversation;
        let mut timeline = Vec::new();
        if former.message != NONE {
            let message = &self.message_list[former.message as usize];
            timeline.extend([self.tell_sent(message), self.tell_acked(message)]);
        }
        let (seq, sender, at) = (sight.seq, sight.sender, sight.at);
        timeline.push(format!(
            "before: sender {:?}, payload {:x?}",
            former.sender, former.payload
        ));
        timeline.push(format!(
            "{} seen: sender {sender}, payload {:x?}",
            time(at),
            sight.payload
        ));
        self.report.add(rule, || {
            (format!("message {seq} of {conversation} differs"), timeline)
        });
    }

    fn history(&mut self, operation: Operation) {
        let Operation::History {
            reader,
            conversation,
            seq,
            sender,
            payload,
            at,
        } = operation
        else {
            unreachable!("called with history")
        };
        self.report.counts.history += 1;
        let log = self.log(conversation);
        if !self.log_list[log as usize].is_member(reader, seq) {
            self.stranger(reader, conversation, at, "read history of");
        }
        self.log_list[log as usize].slots.at(seq).in_history = true;
        let payload = Some(payload);
        self.see(&Sight {
            log,
            seq,
            sender,
            payload,
            at,
        });
    }

    fn unsent(&mut self, user: u64, id: u64, at: u64, what: &str) {
        let step = format!("{} {what}", time(at));
        self.report.add(Rule::Unsent, || {
            (format!("user {user} never sent id {id}"), vec![step])
        });
    }

    fn two_outcomes(&mut self, known: u32, at: u64) {
        let message = &self.message_list[known as usize];
        let second = format!("{} the other outcome", time(at));
        let timeline = vec![self.tell_sent(message), self.tell_acked(message), second];
        self.report.add(Rule::TwoOutcomes, || {
            ("acknowledged and refused".to_owned(), timeline)
        });
    }

    fn stranger(&mut self, user: u64, conversation: Conversation, at: u64, what: &str) {
        let step = format!("{} user {user} {what} {conversation}", time(at));
        self.report.add(Rule::NotAMember, || {
            (
                format!("user {user} is no member of {conversation}"),
                vec![step],
            )
        });
    }

    fn tell_sent(&self, message: &Message) -> String {
        let device = &self.device_list[message.device as usize];
        let conversation = self.log_list[message.log as usize].conversation;
        format!(
            "{} user {} device {} sent id {} to {conversation}, payload {:x}",
            time(message.sent_at),
            device.user,
            device.device,
            message.id,
            message.payload
        )
    }

    fn tell_acked(&self, message: &Message) -> String {
        if message.seq == 0 {
            return "never acknowledged".to_owned();
        }
        format!("{} acknowledged as {}", time(message.acked_at), message.seq)
    }

    fn device(&mut self, user: u64, device: u64) -> u32 {
        let next = index(self.device_list.len());
        let known = *self.devices.entry((user, device)).or_insert(next);
        if known == next {
            self.device_list.push(Device {
                user,
                device,
                segments: Vec::new(),
                has_sent: false,
                caught_up: false,
            });
        }
        known
    }

    fn log(&mut self, conversation: Conversation) -> u32 {
        let next = index(self.log_list.len());
        let known = *self.logs.entry(conversation).or_insert(next);
        if known == next {
            self.log_list.push(Log {
                conversation,
                slots: Sparse::default(),
                members: Vec::new(),
                head: None,
            });
        }
        known
    }
}

impl Log {
    fn is_member(&self, user: u64, seq: u64) -> bool {
        match self.conversation {
            Conversation::Direct(low, high) => user == low || user == high,
            Conversation::Group(_) => {
                let mut members = self.members.iter();
                members.any(|&(member, after)| member == user && seq > after)
            }
        }
    }
}

fn says(at: u64, seq: u64) -> String {
    format!("{} said to be {seq}", time(at))
}

/// `at` in seconds.
fn time(at: u64) -> String {
    format!("{:>6}.{:06} s", at / 1_000_000, at % 1_000_000)
}

fn index(length: usize) -> u32 {
    u32::try_from(length)
        .ok()
        .filter(|index| *index != NONE)
        .expect("a history has less than 2^32 of anything")
}
