//! Completions on their way to the double's caller: late, and in another order, but never so within one socket. Called by
//! the double alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::net::SocketId;
use super::random::Random;
use crate::op::{Completion, Token};

/// What keeps its order: a socket, a watched descriptor, the messages of other rings; everything else is alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Lane {
    Socket(SocketId),
    Descriptor(i32),
    Mail,
    Alone(Token),
}

#[derive(Debug)]
struct Arrival {
    lane: Lane,
    due: Duration,
    completion: Completion,
}

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    coming: VecDeque<Arrival>,
    here: VecDeque<(Lane, Completion)>,
}

impl Arrivals {
    /// Never before what its lane has waiting already.
    pub(super) fn add(&mut self, lane: Lane, due: Duration, completion: Completion) {
        let before = self
            .coming
            .iter()
            .rev()
            .find(|arrival| arrival.lane == lane);
        let due = before.map_or(due, |before| before.due.max(due));
        self.coming.push_back(Arrival {
            lane,
            due,
            completion,
        });
    }

    pub(super) fn pop(&mut self) -> Option<(Lane, Completion)> {
        self.here.pop_front()
    }

    pub(super) fn any_here(&self) -> bool {
        !self.here.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.coming.len() + self.here.len()
    }

    /// When the next one comes that is not here.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.coming.iter().map(|arrival| arrival.due).min()
    }

    /// Lets in what is due, `shuffler` deciding the order of the lanes.
    pub(super) fn let_in(&mut self, now: Duration, shuffler: Option<&mut Random>) {
        let mut due = Vec::new();
        for arrival in std::mem::take(&mut self.coming) {
            if arrival.due > now {
                self.coming.push_back(arrival);
            } else {
                due.push((arrival.lane, arrival.completion));
            }
        }
        match shuffler {
            Some(random) => self.here.extend(shuffled(due, random)),
            None => self.here.extend(due),
        }
    }
}

/// Another order of the lanes; within each, its own.
fn shuffled(due: Vec<(Lane, Completion)>, random: &mut Random) -> Vec<(Lane, Completion)> {
    let mut order: Vec<Lane> = due.iter().map(|(lane, _)| *lane).collect();
    random.shuffle(&mut order);
    let mut lanes: BTreeMap<Lane, VecDeque<Completion>> = BTreeMap::new();
    for (lane, completion) in due {
        lanes.entry(lane).or_default().push_back(completion);
    }
    let next = |lane: Lane| {
        let queue = lanes
            .get_mut(&lane)
            .expect("every lane of the order has a queue");
        (lane, queue.pop_front().expect("as many as the order names"))
    };
    order.into_iter().map(next).collect()
}
