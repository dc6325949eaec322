//! One user of the messages scenario: what it has sent and not seen through, and how far it has received.

use crate::clock::SECOND_NS;
use millpond_wire::{Conversation, UserId};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Peer {
    /// Whom it writes to.
    pub(super) conversation: Conversation,
    pub(super) stage: Stage,
    /// SENDs the server takes without answering.
    pub(super) send_window: usize,
    /// Messages with a number from `settled` on, in order; the front one is not seen through.
    pub(super) sent: VecDeque<Sent>,
    pub(super) settled: u64,
    /// SENDs without an answer.
    pub(super) unanswered: usize,
    /// Intended times of messages that wait for room in the window.
    pub(super) waiting: VecDeque<u64>,
    /// SENDs that the server wants repeated: from when on, and which.
    pub(super) repeats: VecDeque<(u64, u64)>,
    /// Its inbox is received up to here, and acknowledged up to there.
    pub(super) cursor: u64,
    pub(super) acknowledged: u64,
}

/// How far the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// WELCOME has not come.
    Greeting,
    /// The first SYNC is not answered.
    Opening,
    /// The first SYNC was refused for now.
    OpeningLater,
    Live,
    /// There was a gap, and its SYNC is not answered.
    Syncing,
    /// That SYNC was refused for now.
    SyncingLater,
}

impl Stage {
    /// A SYNC leaves.
    pub(super) fn syncing(self) -> Self {
        match self {
            Self::Greeting | Self::Opening | Self::OpeningLater => Self::Opening,
            Self::Live | Self::Syncing | Self::SyncingLater => Self::Syncing,
        }
    }

    /// The SYNC is to be repeated.
    pub(super) fn refused(self) -> Self {
        match self {
            Self::Greeting | Self::Opening | Self::OpeningLater => Self::OpeningLater,
            Self::Live | Self::Syncing | Self::SyncingLater => Self::SyncingLater,
        }
    }

    pub(super) fn wants_sync(self) -> bool {
        matches!(self, Self::OpeningLater | Self::SyncingLater)
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) intended_ns: u64,
    pub(super) acked: bool,
    pub(super) delivered: bool,
}

/// What became of a message by one more answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// It was known already.
    Again,
    /// This was meant at that time.
    First { intended_ns: u64, complete: bool },
}

impl Peer {
    pub(super) fn new(partner: UserId) -> Self {
        Self {
            conversation: Conversation::Direct(partner),
            stage: Stage::Greeting,
            send_window: 0,
            sent: VecDeque::new(),
            settled: 0,
            unanswered: 0,
            waiting: VecDeque::new(),
            repeats: VecDeque::new(),
            cursor: 0,
            acknowledged: 0,
        }
    }

    /// The number of the next message, which is noted as sent.
    pub(super) fn send(&mut self, intended_ns: u64) -> u64 {
        let number = self.settled + self.sent.len() as u64;
        self.sent.push_back(Sent {
            intended_ns,
            acked: false,
            delivered: false,
        });
        self.unanswered += 1;
        number
    }

    pub(super) fn acked(&mut self, number: u64) -> Option<Seen> {
        self.seen(number, |sent| std::mem::replace(&mut sent.acked, true))
    }

    pub(super) fn delivered(&mut self, number: u64) -> Option<Seen> {
        self.seen(number, |sent| std::mem::replace(&mut sent.delivered, true))
    }

    /// `None` for a number that was never sent.
    fn seen(&mut self, number: u64, mark: impl FnOnce(&mut Sent) -> bool) -> Option<Seen> {
        let Some(index) = number.checked_sub(self.settled) else {
            return Some(Seen::Again);
        };
        let sent = self.sent.get_mut(usize::try_from(index).ok()?)?;
        if mark(sent) {
            return Some(Seen::Again);
        }
        let seen = Seen::First {
            intended_ns: sent.intended_ns,
            complete: sent.is_complete(),
        };
        while self.sent.front().is_some_and(Sent::is_complete) {
            self.sent.pop_front();
            self.settled += 1;
        }
        Some(seen)
    }

    /// The intended time of a message that was sent and is not seen through.
    pub(super) fn intended_ns(&self, number: u64) -> Option<u64> {
        let index = usize::try_from(number.checked_sub(self.settled)?).ok()?;
        self.sent.get(index).map(|sent| sent.intended_ns)
    }

    /// Records received and not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.cursor - self.acknowledged
    }

    /// The oldest message of this user was acked long ago, and its partner has not got it: a hint may be lost.
    pub(super) fn waits_for_delivery(&self, now_ns: u64) -> bool {
        self.sent.front().is_some_and(|sent| {
            !sent.delivered && now_ns.saturating_sub(sent.intended_ns) > DELIVERY_PATIENCE_NS
        })
    }
}

/// After this long the receiver asks the server whether it missed something, as a heartbeat would later.
const DELIVERY_PATIENCE_NS: u64 = 2 * SECOND_NS;

impl Sent {
    fn is_complete(&self) -> bool {
        self.acked && self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_complete_once_in_whatever_order_and_repeats_change_nothing() {
        let mut peer = Peer::new(UserId::new(2).unwrap());
        assert_eq!((peer.send(5), peer.send(6)), (0, 1));
        let first = |intended_ns, complete| {
            Some(Seen::First {
                intended_ns,
                complete,
            })
        };
        assert_eq!(peer.delivered(1), first(6, false));
        assert_eq!(peer.acked(1), first(6, true));
        assert_eq!(peer.settled, 0, "the one before it is open");
        assert_eq!(peer.acked(0), first(5, false));
        assert_eq!(peer.acked(0), Some(Seen::Again));
        assert_eq!(peer.delivered(0), first(5, true));
        assert_eq!((peer.settled, peer.sent.len()), (2, 0));
        assert_eq!(peer.delivered(1), Some(Seen::Again));
        assert_eq!(peer.acked(2), None);
    }
}
