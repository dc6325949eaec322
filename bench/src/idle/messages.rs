//! Messages to random ones of a crowd: sent by a few, at a rate, each measured from when it should have left.

use super::figures::MessageFigures;
use super::millpond::Millpond;
use crate::clock::SECOND_NS;
use crate::crowd::{Crowd, Heard};
use crate::latency::{Latency, Origin, microseconds};
use crate::schedule::{Arrivals, Random, Schedule};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Clients that send; the window of each is far from full at any rate that a run has.
const SENDERS: usize = 64;
const SEED: u64 = 0x7261_6e64;
/// How long answers may take after the last message.
const GRACE_NS: u64 = 10 * SECOND_NS;
const WAIT_MAX: Duration = Duration::from_millis(5);

pub(super) struct Messages {
    schedule: Option<Schedule>,
    count: u64,
    sent: u64,
    ends_ns: u64,
    senders: Vec<usize>,
    standing: usize,
    random: Random,
    flights: HashMap<u64, Flight>,
    involved: HashSet<usize>,
    delivered: u64,
    refused: u64,
    lost: u64,
    pub(super) acks: Latency,
    pub(super) deliveries: Latency,
    lag: Latency,
}

struct Flight {
    intended_ns: u64,
    acked: bool,
    delivered: bool,
}

impl Messages {
    pub(super) fn new(crowd: &Crowd<Millpond>, count: u64, rate: u32, now_ns: u64) -> Self {
        let standing = usize::try_from(crowd.counts().begun).unwrap_or(usize::MAX);
        let senders: Vec<_> = (0..standing)
            .filter(|at| crowd.stands(*at))
            .take(SENDERS)
            .collect();
        let count = if senders.is_empty() { 0 } else { count };
        let lasts_ns = count * SECOND_NS / u64::from(rate) + 1;
        let schedule = Schedule::new(Arrivals::Poisson, rate, now_ns, now_ns + 2 * lasts_ns);
        Self {
            schedule: (count > 0).then_some(schedule),
            count,
            sent: 0,
            ends_ns: now_ns,
            senders,
            standing,
            random: Random::new(SEED),
            flights: HashMap::new(),
            involved: HashSet::new(),
            delivered: 0,
            refused: 0,
            lost: 0,
            acks: Latency::default(),
            deliveries: Latency::default(),
            lag: Latency::default(),
        }
    }

    /// Everything was sent, and is there or will not be.
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        self.schedule.is_none() && (self.flights.is_empty() || now_ns > self.ends_ns + GRACE_NS)
    }

    pub(super) fn send_due(&mut self, crowd: &mut Crowd<Millpond>, now_ns: u64) {
        while let Some(intended_ns) = self.schedule.as_mut().and_then(|all| all.take_due(now_ns)) {
            self.lag.record(now_ns - intended_ns);
            self.send(crowd, intended_ns);
            if self.sent == self.count {
                self.schedule = None;
                self.ends_ns = now_ns;
            }
        }
    }

    fn send(&mut self, crowd: &mut Crowd<Millpond>, intended_ns: u64) {
        let number = self.sent;
        self.sent += 1;
        let sender = self.pick(self.senders.len());
        let from = self.senders[sender];
        let to = match self.pick(self.standing) {
            to if to == from => (to + 1) % self.standing,
            to => to,
        };
        self.involved.extend([from, to]);
        let flight = Flight {
            intended_ns,
            acked: false,
            delivered: false,
        };
        self.flights.insert(number, flight);
        crowd.say(from, |people, out| {
            people.message((from, to), number, intended_ns, out)
        });
    }

    fn pick(&mut self, below: usize) -> usize {
        usize::try_from(self.random.word() % below.max(1) as u64).expect("below a usize")
    }

    /// Takes what the crowd heard of messages.
    pub(super) fn hear(&mut self, crowd: &mut Crowd<Millpond>, now_ns: u64) {
        for heard in std::mem::take(&mut crowd.messages) {
            match heard {
                Heard::Acked { number } => self.note(number, now_ns, false),
                Heard::Delivered { number } => self.note(number, now_ns, true),
                Heard::Refused { .. } => self.refused += 1,
                Heard::Established { .. } | Heard::HeartbeatAnswered => {}
            }
        }
    }

    fn note(&mut self, number: u64, now_ns: u64, delivery: bool) {
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        let (seen, latency) = if delivery {
            (&mut flight.delivered, &mut self.deliveries)
        } else {
            (&mut flight.acked, &mut self.acks)
        };
        if !std::mem::replace(seen, true) {
            latency.record(now_ns - flight.intended_ns);
            self.delivered += u64::from(delivery);
        }
        if flight.acked && flight.delivered {
            self.flights.remove(&number);
        }
    }

    /// What is not there now never came.
    pub(super) fn end(&mut self) {
        for (_, flight) in self.flights.drain() {
            self.acks.lose(u64::from(!flight.acked));
            self.deliveries.lose(u64::from(!flight.delivered));
            self.lost += 1;
        }
    }

    pub(super) fn wait(&self, now_ns: u64) -> Duration {
        let next_ns = self.schedule.as_ref().and_then(Schedule::peek_ns);
        let left = next_ns.map(|next_ns| Duration::from_nanos(next_ns.saturating_sub(now_ns)));
        left.map_or(WAIT_MAX, |left| left.min(WAIT_MAX))
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Who should hold all that was sent to them; nobody where something was lost or refused, which is told already.
    pub(super) fn caught_up(&self) -> Vec<usize> {
        if self.lost > 0 || self.refused > 0 {
            return Vec::new();
        }
        let mut involved: Vec<_> = self.involved.iter().copied().collect();
        involved.sort_unstable();
        involved
    }

    /// Why the latencies must not be used.
    pub(super) fn void(&self, lag_limit_ms: f64) -> Option<String> {
        let lag_ns = self.lag.quantile_ns(0.99)?;
        let limit_us = lag_limit_ms * 1_000.0;
        (microseconds(lag_ns) > limit_us).then(|| {
            format!(
                "1 % of messages left more than {:.1} ms late: the generator was busy",
                microseconds(lag_ns) / 1_000.0
            )
        })
    }

    pub(super) fn figures(&self) -> MessageFigures {
        MessageFigures {
            sent: self.sent,
            delivered: self.delivered,
            refused: self.refused,
            acked: self.acks.summary(Origin::IntendedSend),
            arrived: self.deliveries.summary(Origin::IntendedSend),
        }
    }
}
