//! Messages to random ones of a crowd: sent by a few, at a rate, each measured from when it should have left.

use crate::clock::SECOND_NS;
use crate::course::{Course, People};
use crate::crowd::Crowd;
use crate::latency::{Latency, Origin, Summary, microseconds};
use crate::progress::Progress;
use crate::protocol::Heard;
use crate::schedule::{Arrivals, Random, Schedule};
use crate::target::Target;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Clients that send; the window of each is far from full at any rate that a run has.
const SENDERS: usize = 64;
const SEED: u64 = 0x7261_6e64;
/// How long answers may take after the last message.
const GRACE_NS: u64 = 10 * SECOND_NS;
const WAIT_MAX: Duration = Duration::from_millis(5);

pub(crate) struct Traffic {
    schedule: Option<Schedule>,
    width: usize,
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
    acks: Latency,
    deliveries: Latency,
    /// Of messages, until the last of their deliveries.
    wholes: Latency,
    lag: Latency,
}

struct Flight {
    intended_ns: u64,
    acked: bool,
    /// Deliveries that have not come.
    left: u32,
}

impl Traffic {
    /// `width`: clients that are devices of one user; a message reaches the recipient's, and the sender's other ones.
    pub(crate) fn new(
        crowd: &mut Crowd<People>,
        width: usize,
        (count, rate): (u64, u32),
        now_ns: u64,
    ) -> Self {
        // What was said before is not of these messages.
        let _before = crowd.take_messages();
        let standing = crowd.len();
        let senders: Vec<_> = (0..standing)
            .filter(|at| crowd.stands(*at))
            .take(SENDERS)
            .collect();
        let count = if senders.is_empty() { 0 } else { count };
        let lasts_ns = count * SECOND_NS / u64::from(rate) + 1;
        let schedule = Schedule::new(Arrivals::Poisson, rate, now_ns, now_ns + 2 * lasts_ns);
        Self {
            schedule: (count > 0).then_some(schedule),
            width,
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
            wholes: Latency::default(),
            lag: Latency::default(),
        }
    }

    /// Everything was sent, and is there or will not be.
    pub(crate) fn is_over(&self, now_ns: u64) -> bool {
        self.schedule.is_none() && (self.flights.is_empty() || now_ns > self.ends_ns + GRACE_NS)
    }

    pub(crate) fn send_due(&mut self, crowd: &mut Crowd<People>, now_ns: u64) {
        while let Some(intended_ns) = self.schedule.as_mut().and_then(|all| all.take_due(now_ns)) {
            self.lag.record(now_ns - intended_ns);
            self.send(crowd, intended_ns);
            if self.sent == self.count {
                self.schedule = None;
                self.ends_ns = now_ns;
            }
        }
    }

    fn send(&mut self, crowd: &mut Crowd<People>, intended_ns: u64) {
        let number = crowd.number_message();
        self.sent += 1;
        let sender = self.pick(self.senders.len());
        let from = self.senders[sender];
        let to = match self.pick(self.standing) {
            to if to / self.width == from / self.width => (to + self.width) % self.standing,
            to => to,
        };
        let (from, to) = match crowd.protocol.echoes() {
            true => (to, to),
            false => (from, to),
        };
        for at in [from, to] {
            let first = at - at % self.width;
            self.involved
                .extend(first..(first + self.width).min(self.standing));
        }
        let flight = Flight {
            intended_ns,
            acked: !crowd.protocol.acks(),
            left: u32::try_from(self.copies()).expect("devices of a user are few"),
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
    pub(crate) fn hear(&mut self, heard: &[Heard], now_ns: u64) {
        for heard in heard {
            match heard {
                Heard::Acked { number } => self.note(*number, now_ns, false),
                Heard::Delivered { number } => self.note(*number, now_ns, true),
                Heard::Refused { .. } => self.refused += 1,
                Heard::Established { .. } | Heard::HeartbeatAnswered => {}
            }
        }
    }

    fn note(&mut self, number: u64, now_ns: u64, delivery: bool) {
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        let latency_ns = now_ns - flight.intended_ns;
        if delivery && flight.left > 0 {
            flight.left -= 1;
            self.deliveries.record(latency_ns);
            self.delivered += 1;
            if flight.left == 0 {
                self.wholes.record(latency_ns);
            }
        } else if !delivery && !std::mem::replace(&mut flight.acked, true) {
            self.acks.record(latency_ns);
        }
        if flight.acked && flight.left == 0 {
            self.flights.remove(&number);
        }
    }

    /// Nothing more is sent.
    pub(crate) fn stop(&mut self, now_ns: u64) {
        if self.schedule.take().is_some() {
            self.ends_ns = now_ns;
        }
    }

    /// Until all has arrived, or had the time to.
    pub(crate) fn run(
        &mut self,
        course: &mut Course<'_>,
        crowd: &mut Crowd<People>,
        target: &Target,
        what: &'static str,
    ) -> anyhow::Result<()> {
        let start_ns = course.clock.now_ns();
        let mut progress = Progress::counted(what, self.count * self.copies(), what);
        while !self.is_over(course.clock.now_ns()) && !course.is_stopped() {
            self.send_due(crowd, course.clock.now_ns());
            crowd.turn(self.wait(course.clock.now_ns()))?;
            self.hear(&crowd.take_messages(), course.clock.now_ns());
            progress.show(course.clock.now_ns() - start_ns, self.delivered);
            course.sample(crowd, target)?;
        }
        self.end();
        Ok(())
    }

    /// Deliveries of one message: to the recipient's devices, and to the sender's other ones.
    pub(crate) fn copies(&self) -> u64 {
        2 * self.width as u64 - 1
    }

    /// What is not there now never came.
    pub(crate) fn end(&mut self) {
        for (_, flight) in self.flights.drain() {
            self.acks.lose(u64::from(!flight.acked));
            self.deliveries.lose(flight.left.into());
            self.wholes.lose(u64::from(flight.left > 0));
            self.lost += 1;
        }
    }

    pub(crate) fn wait(&self, now_ns: u64) -> Duration {
        let next_ns = self.schedule.as_ref().and_then(Schedule::peek_ns);
        let left = next_ns.map(|next_ns| Duration::from_nanos(next_ns.saturating_sub(now_ns)));
        left.map_or(WAIT_MAX, |left| left.min(WAIT_MAX))
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Who should hold all that was sent to them; nobody where something was lost or refused, which is told already.
    pub(crate) fn caught_up(&self) -> Vec<usize> {
        if self.lost > 0 || self.refused > 0 {
            return Vec::new();
        }
        let mut involved: Vec<_> = self.involved.iter().copied().collect();
        involved.sort_unstable();
        involved
    }

    /// Hands over the latencies under these names, and what is wrong with them or with the server.
    pub(crate) fn tell(&self, course: &mut Course<'_>, names: [&'static str; 2]) {
        if self.acks.count() > 0 {
            course.latencies.push((names[0], self.acks.clone()));
        }
        course.latencies.push((names[1], self.deliveries.clone()));
        course
            .void
            .extend(lag_beyond(&self.lag, course.clients.lag_limit_ms));
        if self.lost > 0 && !course.is_stopped() {
            let violation = format!("{} messages did not arrive", self.lost);
            course.violations.push(violation);
        }
        if self.refused > 0 {
            let violation = format!("the server refused something {} times", self.refused);
            course.violations.push(violation);
        }
    }

    pub(crate) fn figures(&self) -> TrafficFigures {
        TrafficFigures {
            sent: self.sent,
            delivered: self.delivered,
            refused: self.refused,
            acked: self.acks.summary(Origin::IntendedSend),
            arrived: self.deliveries.summary(Origin::IntendedSend),
            whole: self.wholes.summary(Origin::IntendedSend),
        }
    }
}

/// Why the latencies must not be used.
pub(crate) fn lag_beyond(lag: &Latency, limit_ms: f64) -> Option<String> {
    let lag_ns = lag.quantile_ns(0.99)?;
    (microseconds(lag_ns) > limit_ms * 1_000.0).then(|| {
        format!(
            "1 % left more than {:.1} ms late: the generator was busy",
            microseconds(lag_ns) / 1_000.0
        )
    })
}

#[derive(Debug, Serialize)]
pub(crate) struct TrafficFigures {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) refused: u64,
    pub(crate) acked: Summary,
    pub(crate) arrived: Summary,
    /// Until the last device had it.
    pub(crate) whole: Summary,
}
