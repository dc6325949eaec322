//! What leaves when a batch is durable, and not before.

use crate::conversation::MarkHint;
use millpond_backplane::link::{Downlink, DownlinkBody};
use millpond_backplane::{Address, Message};
use millpond_wire::{Ack, Code, UserId};

/// The effects of one batch, in the order in which its records stood.
#[derive(Debug, Default)]
pub struct Effects {
    pub(crate) answers: Vec<Answer>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) hints: Vec<MarkHint>,
    /// Users whose inbox has a new epoch: their devices must come back with a fresh session.
    pub(crate) resets: Vec<UserId>,
}

/// The answer to one SEND.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) to: Address,
    pub(crate) result: Result<Ack, Refusal>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) client_msg_id: u64,
    pub(crate) code: Code,
}

/// A message and its place in the inboxes of its members, by user id.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    pub(crate) places: Places,
}

/// A direct conversation has one or two members.
pub(crate) type Places = [Option<(UserId, u64)>; 2];

/// For how long a client waits before it repeats a SEND that the server cannot take just now.
const UNAVAILABLE_RETRY_MS: u64 = 1000;

impl Effects {
    /// Whether nothing would leave.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
            && self.deliveries.is_empty()
            && self.hints.is_empty()
            && self.resets.is_empty()
    }

    pub(crate) fn ack(&mut self, to: Address, ack: Ack) {
        let result = Ok(ack);
        self.answers.push(Answer { to, result });
    }

    pub(crate) fn refuse(&mut self, to: Address, client_msg_id: u64, code: Code) {
        let refusal = Refusal {
            client_msg_id,
            code,
        };
        let result = Err(refusal);
        self.answers.push(Answer { to, result });
    }

    /// Only the newest mark of its kind is worth telling.
    pub(crate) fn hint(&mut self, hint: MarkHint) {
        let is_older = |old: &MarkHint| {
            (old.conversation, old.author, old.kind) == (hint.conversation, hint.author, hint.kind)
        };
        match self.hints.last_mut() {
            Some(last) if is_older(last) => *last = hint,
            _ => self.hints.push(hint),
        }
    }

    /// What is left when the batch did not become durable: every SEND is unavailable, nothing else happens.
    pub(crate) fn failed(self) -> Self {
        let mut failed = Self::default();
        for answer in self.answers {
            let id = answer.client_msg_id();
            failed.refuse(answer.to, id, Code::UNAVAILABLE);
        }
        failed
    }
}

impl Answer {
    fn client_msg_id(&self) -> u64 {
        match self.result {
            Ok(ack) => ack.client_msg_id,
            Err(refusal) => refusal.client_msg_id,
        }
    }

    pub(crate) fn downlink(&self) -> Downlink {
        let body = match self.result {
            Ok(ack) => DownlinkBody::Ack(ack),
            Err(Refusal {
                client_msg_id,
                code,
            }) => DownlinkBody::Refused {
                client_msg_id,
                code,
                retry_after_ms: retry_after_ms(code),
            },
        };
        Downlink { to: self.to, body }
    }
}

fn retry_after_ms(code: Code) -> u64 {
    if code == Code::UNAVAILABLE {
        UNAVAILABLE_RETRY_MS
    } else {
        0
    }
}
