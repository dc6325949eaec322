//! A good history with one thing changed is a bad one, wherever the change is.

use crate::good::{history, judge};
use millpond_checker::{Conversation, Operation};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const SEEDS: u64 = 60;
const MUTANTS_PER_SEED: usize = 20;
const STEPS: usize = 200;

type Change = fn(&mut Vec<Operation>, usize);
type Fits = fn(&Operation) -> bool;

fn every_mutant_is_caught(fits: Fits, change: Change) {
    let mut mutants = 0;
    for seed in 0..SEEDS {
        // Before a reset a device may miss anything.
        let good = history(seed, STEPS, false);
        let places: Vec<usize> = (0..good.len())
            .filter(|&place| fits(&good[place]))
            .collect();
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..MUTANTS_PER_SEED.min(places.len()) {
            let place = places[rng.random_range(0..places.len())];
            let mut mutant = good.clone();
            change(&mut mutant, place);
            assert!(
                !judge(&mutant).is_clean(),
                "seed {seed}: {place} was {:?}",
                good[place]
            );
            mutants += 1;
        }
    }
    assert!(mutants > 100, "only {mutants} mutants");
}

fn is_delivery(operation: &Operation) -> bool {
    matches!(operation, Operation::Delivered { .. })
}

fn is_history(operation: &Operation) -> bool {
    matches!(operation, Operation::History { .. })
}

fn is_acked(operation: &Operation) -> bool {
    matches!(operation, Operation::Acked { .. })
}

#[test]
fn a_dropped_delivery() {
    every_mutant_is_caught(is_delivery, |all, place| {
        all.remove(place);
    });
}

#[test]
fn a_doubled_delivery() {
    every_mutant_is_caught(is_delivery, |all, place| all.insert(place, all[place]));
}

#[test]
fn two_deliveries_of_a_device_in_each_others_place() {
    every_mutant_is_caught(is_delivery, |all, place| {
        let of = |operation: &Operation| match operation {
            Operation::Delivered { user, device, .. } => Some((*user, *device)),
            _ => None,
        };
        let other =
            (0..all.len()).find(|&other| other != place && of(&all[other]) == of(&all[place]));
        match other {
            Some(other) => all.swap(place, other),
            None => {
                all.remove(place);
            }
        }
    });
}

#[test]
fn an_altered_body() {
    let with_body: Fits = |operation| {
        matches!(
            operation,
            Operation::Delivered {
                payload: Some(_),
                ..
            }
        )
    };
    every_mutant_is_caught(with_body, |all, place| {
        if let Operation::Delivered { payload, .. } = &mut all[place] {
            *payload = payload.map(|payload| payload ^ 1);
        }
    });
}

#[test]
fn an_altered_sequence() {
    every_mutant_is_caught(is_delivery, |all, place| {
        if let Operation::Delivered { seq, .. } = &mut all[place] {
            *seq += 1;
        }
    });
}

#[test]
fn an_altered_cursor() {
    every_mutant_is_caught(is_delivery, |all, place| {
        if let Operation::Delivered { cursor, .. } = &mut all[place] {
            *cursor += 1;
        }
    });
}

#[test]
fn an_altered_sender() {
    every_mutant_is_caught(is_delivery, |all, place| {
        if let Operation::Delivered { sender, .. } = &mut all[place] {
            *sender += 1;
        }
    });
}

#[test]
fn a_message_in_another_conversation() {
    every_mutant_is_caught(is_delivery, |all, place| {
        if let Operation::Delivered { conversation, .. } = &mut all[place] {
            *conversation = Conversation::direct(90, 91);
        }
    });
}

#[test]
fn another_epoch() {
    every_mutant_is_caught(is_delivery, |all, place| {
        if let Operation::Delivered { epoch, .. } = &mut all[place] {
            *epoch += 100;
        }
    });
}

#[test]
fn an_acknowledgement_with_another_sequence() {
    every_mutant_is_caught(is_acked, |all, place| {
        if let Operation::Acked { seq, .. } = &mut all[place] {
            *seq += 1;
        }
    });
}

#[test]
fn an_acknowledgement_of_what_was_never_sent() {
    every_mutant_is_caught(is_acked, |all, place| {
        if let Operation::Acked { id, .. } = &mut all[place] {
            *id += 1 << 40;
        }
    });
}

#[test]
fn a_message_that_all_readers_of_history_miss() {
    every_mutant_is_caught(is_history, |all, place| {
        let of = |operation: &Operation| match operation {
            Operation::History {
                conversation, seq, ..
            } => Some((*conversation, *seq)),
            _ => None,
        };
        let lost = of(&all[place]);
        all.retain(|operation| of(operation) != lost);
    });
}

#[test]
fn another_body_in_history() {
    every_mutant_is_caught(is_history, |all, place| {
        if let Operation::History { payload, .. } = &mut all[place] {
            *payload ^= 1;
        }
    });
}

#[test]
fn a_message_that_nobody_sent() {
    let sent: Fits = |operation| matches!(operation, Operation::Head { .. });
    every_mutant_is_caught(sent, |all, place| {
        let Operation::Head {
            conversation,
            seq,
            at,
        } = &mut all[place]
        else {
            return;
        };
        *seq += 1;
        let sender = match *conversation {
            Conversation::Direct(low, _) => low,
            Conversation::Group(_) => 1,
        };
        let invented = Operation::History {
            reader: sender,
            conversation: *conversation,
            seq: *seq,
            sender,
            payload: 5,
            at: *at,
        };
        all.push(invented);
    });
}
