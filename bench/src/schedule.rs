//! When messages are meant to leave, fixed before the first one does.
//!
//! It never looks at answers or at how late the generator is: a message that leaves late is charged from its intended
//! time. The generator asks for what is due; scenarios put the intended time into the payload.

use crate::clock::SECOND_NS;
use std::time::Duration;

/// Intended times from `start_ns` (inclusive) to `end_ns` (exclusive), ascending.
#[derive(Clone, Debug)]
pub struct Schedule {
    gaps: Gaps,
    start_ns: u64,
    end_ns: u64,
    taken: u64,
    next_ns: u64,
}

/// How intended times follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Arrivals {
    /// Evenly spaced.
    Constant,
    /// Independent of each other, as many small users are: exponential gaps from a fixed seed.
    Poisson,
}

#[derive(Clone, Debug)]
enum Gaps {
    Constant { rate: u32 },
    Poisson { mean: Duration, random: Random },
}

/// Seed of the gaps: the same schedule in every run.
const SEED: u64 = 0x6d69_6c6c_706f_6e64;

impl Schedule {
    /// `rate` messages per second, of the whole scenario.
    ///
    /// # Panics
    /// When the rate is 0.
    pub fn new(arrivals: Arrivals, rate: u32, start_ns: u64, end_ns: u64) -> Self {
        assert!(rate > 0, "an open schedule needs a rate");
        let gaps = match arrivals {
            Arrivals::Constant => Gaps::Constant { rate },
            Arrivals::Poisson => Gaps::Poisson {
                mean: Duration::from_secs(1) / rate,
                random: Random::new(SEED),
            },
        };
        Self {
            gaps,
            start_ns,
            end_ns,
            taken: 0,
            next_ns: start_ns,
        }
    }

    /// The intended time of the next message, when it lies at or before `now_ns`.
    pub fn take_due(&mut self, now_ns: u64) -> Option<u64> {
        let intended = self.peek_ns()?;
        if intended > now_ns {
            return None;
        }
        self.taken += 1;
        self.next_ns = self.after(intended);
        Some(intended)
    }

    /// The intended time of the next message; `None` when there are no more.
    pub fn peek_ns(&self) -> Option<u64> {
        (self.next_ns < self.end_ns).then_some(self.next_ns)
    }

    fn after(&mut self, intended_ns: u64) -> u64 {
        match &mut self.gaps {
            // From the start and not from the last one, so that rounding never adds up.
            Gaps::Constant { rate } => {
                let offset = u128::from(self.taken) * u128::from(SECOND_NS) / u128::from(*rate);
                self.start_ns
                    .saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
            }
            Gaps::Poisson { mean, random } => {
                let gap = mean.mul_f64(-random.unit().ln());
                intended_ns.saturating_add(crate::clock::nanoseconds(gap))
            }
        }
    }
}

/// Sebastiano Vigna's splitmix64: enough for gaps and for choosing users.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in (0, 1]: its logarithm is finite.
    pub fn unit(&mut self) -> f64 {
        let bits = (self.word() >> 11) + 1;
        bits as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(schedule: &mut Schedule, now_ns: u64) -> Vec<u64> {
        std::iter::from_fn(|| schedule.take_due(now_ns)).collect()
    }

    #[test]
    fn constant_times_do_not_drift_and_end_before_the_end() {
        let mut schedule = Schedule::new(Arrivals::Constant, 3, 0, 2 * SECOND_NS);
        let times = drain(&mut schedule, u64::MAX);
        let third = SECOND_NS / 3;
        assert_eq!(times[..4], [0, third, 2 * SECOND_NS / 3, SECOND_NS]);
        assert_eq!(times.len(), 6);
        assert_eq!(schedule.peek_ns(), None);
    }

    #[test]
    fn nothing_is_due_before_its_time_and_everything_missed_is_due_after_a_pause() {
        let mut schedule = Schedule::new(Arrivals::Constant, 1000, 500, SECOND_NS);
        assert_eq!(schedule.take_due(499), None);
        assert_eq!(drain(&mut schedule, 500), [500]);
        assert_eq!(drain(&mut schedule, 100_000_500).len(), 100);
    }

    #[test]
    fn poisson_keeps_its_rate_is_reproducible_and_ascends() {
        let schedule = Schedule::new(Arrivals::Poisson, 10_000, 0, 10 * SECOND_NS);
        let times = drain(&mut schedule.clone(), u64::MAX);
        assert!((95_000..105_000).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let long = gaps.filter(|&gap| gap > 300_000).count();
        // A share of e⁻³ of the gaps is longer than three means.
        assert!((4_000..6_000).contains(&long), "{long}");
        assert_eq!(times, drain(&mut schedule.clone(), u64::MAX));
    }
}
