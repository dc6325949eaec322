//! What clients saw, for the checker: who sent what, what was acked under which sequence, what arrived where. Kept small
//! while the load runs, told in the checker's words when it is over.

use super::identity::Identity;
use crate::report::Judged;
use millpond_checker::{Checker, Conversation, Operation};

/// Everything of one run, in the order in which the generator saw it.
#[derive(Debug, Default)]
pub(crate) struct History {
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    at_us: u64,
    /// The user whose step it is.
    who: u32,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Sent {
        number: u64,
    },
    Acked {
        number: u64,
        seq: u64,
    },
    Refused {
        number: u64,
        code: u16,
    },
    /// From the partner, or one's own.
    Received {
        own: bool,
        number: u64,
        cursor: u64,
        seq: u64,
    },
}

/// Steps kept: about a gibibyte.
const STEPS_MAX: usize = 20_000_000;

impl History {
    pub(super) fn sent(&mut self, at: usize, number: u64, now_ns: u64) {
        self.note(at, now_ns, What::Sent { number });
    }

    pub(super) fn acked(&mut self, at: usize, number: u64, seq: u64, now_ns: u64) {
        self.note(at, now_ns, What::Acked { number, seq });
    }

    pub(super) fn refused(&mut self, at: usize, number: u64, code: u16, now_ns: u64) {
        self.note(at, now_ns, What::Refused { number, code });
    }

    pub(super) fn received(&mut self, at: usize, record: Received, now_ns: u64) {
        let Received {
            own,
            number,
            cursor,
            seq,
        } = record;
        self.note(
            at,
            now_ns,
            What::Received {
                own,
                number,
                cursor,
                seq,
            },
        );
    }

    pub(super) fn is_full(&self) -> bool {
        self.steps.len() >= STEPS_MAX
    }

    /// The checker's judgement. `caught_up`: all users have everything that was sent, or should have.
    /// `repeated`: the server wanted messages again, so the order of a sender's messages is not promised.
    pub(super) fn judge(&self, identity: &Identity, caught_up: bool, repeated: bool) -> Judged {
        let mut checker = Checker::new();
        for step in &self.steps {
            checker.note(step.operation(identity));
        }
        if let Some(last) = self.steps.last().filter(|_| caught_up) {
            for who in 0..identity.users() {
                checker.note(Operation::CaughtUp {
                    user: identity.user(who).value(),
                    device: identity.device().0,
                    at: last.at_us,
                });
            }
        }
        Judged::of(&checker.finish(), !repeated)
    }

    fn note(&mut self, at: usize, now_ns: u64, what: What) {
        self.steps.push(Step {
            at_us: now_ns / 1000,
            who: u32::try_from(at).expect("connections are few"),
            what,
        });
    }
}

/// A record that arrived, as far as the checker looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) own: bool,
    pub(super) number: u64,
    pub(super) cursor: u64,
    pub(super) seq: u64,
}

impl Step {
    fn operation(&self, identity: &Identity) -> Operation {
        let (at, who) = (self.at_us, self.who as usize);
        let (user, device) = (identity.user(who).value(), identity.device().0);
        let partner = identity.user(who ^ 1).value();
        let conversation = Conversation::direct(user, partner);
        match self.what {
            What::Sent { number } => Operation::Sent {
                user,
                device,
                id: identity.message(number),
                conversation,
                payload: body(who, number),
                at,
            },
            What::Acked { number, seq } => Operation::Acked {
                user,
                device,
                id: identity.message(number),
                seq,
                at,
            },
            What::Refused { number, code } => Operation::Refused {
                user,
                device,
                id: identity.message(number),
                code,
                at,
            },
            What::Received {
                own,
                number,
                cursor,
                seq,
            } => Operation::Delivered {
                user,
                device,
                epoch: identity.epoch(who),
                cursor,
                conversation,
                seq,
                sender: if own { user } else { partner },
                origin: own.then(|| (device, identity.message(number))),
                payload: (!own).then(|| body(who ^ 1, number)),
                at,
            },
        }
    }
}

/// A message's body in the checker's eyes: its bytes were compared when it arrived.
fn body(sender: usize, number: u64) -> u64 {
    (sender as u64) << 40 ^ number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(steps: &[(usize, What)], repeated: bool) -> Vec<String> {
        let mut history = History::default();
        for (index, (who, what)) in steps.iter().enumerate() {
            history.note(*who, index as u64 * 1000, *what);
        }
        let mut identity = Identity::new();
        identity.add(9);
        identity.add(9);
        history.judge(&identity, true, repeated).violations
    }

    const fn received(own: bool, number: u64, cursor: u64, seq: u64) -> What {
        What::Received {
            own,
            number,
            cursor,
            seq,
        }
    }

    #[test]
    fn a_message_that_went_its_way_is_clean() {
        let steps = [
            (0, What::Sent { number: 0 }),
            (0, What::Acked { number: 0, seq: 1 }),
            (0, received(true, 0, 1, 1)),
            (1, received(false, 0, 1, 1)),
        ];
        assert_eq!(judged(&steps, false), Vec::<String>::new());
    }

    #[test]
    fn a_loss_and_a_hole_are_violations() {
        let steps = [
            (0, What::Sent { number: 0 }),
            (0, What::Acked { number: 0, seq: 1 }),
            (0, received(true, 0, 1, 1)),
        ];
        assert!(
            !judged(&steps, false).is_empty(),
            "the partner never got it"
        );
        let steps = [
            (0, What::Sent { number: 0 }),
            (0, received(true, 0, 2, 1)),
            (1, received(false, 0, 1, 1)),
        ];
        assert!(!judged(&steps, false).is_empty(), "a cursor is missing");
    }

    #[test]
    fn order_is_not_judged_where_the_server_asked_for_repeats() {
        let steps = [
            (0, What::Sent { number: 0 }),
            (0, What::Sent { number: 1 }),
            (0, What::Acked { number: 1, seq: 1 }),
            (0, What::Acked { number: 0, seq: 2 }),
            (0, received(true, 1, 1, 1)),
            (0, received(true, 0, 2, 2)),
            (1, received(false, 1, 1, 1)),
            (1, received(false, 0, 2, 2)),
        ];
        assert!(!judged(&steps, false).is_empty());
        assert_eq!(judged(&steps, true), Vec::<String>::new());
    }
}
