//! How long to wait before the next attempt: uniform between zero and a bound that doubles with every failure, so that
//! a million clients that lost one server do not come back in step.

use crate::Config;
use rand::RngExt;
use rand::rngs::SmallRng;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    stable_after: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            base: config.backoff_base,
            cap: config.backoff_cap,
            stable_after: config.stable_after,
            failures: 0,
        }
    }

    /// The wait after one more failure.
    pub(crate) fn next(&mut self, rng: &mut SmallRng) -> Duration {
        let bound = doubled(self.base, self.failures, self.cap);
        self.failures = self.failures.saturating_add(1);
        uniform(bound, rng)
    }

    /// The wait after an end that is nobody's failure.
    pub(crate) fn short(&self, rng: &mut SmallRng) -> Duration {
        uniform(self.base.min(self.cap), rng)
    }

    /// A connection has ended that was let in and lived for `age`.
    pub(crate) fn lived(&mut self, age: Duration) {
        if age >= self.stable_after {
            self.failures = 0;
        }
    }
}

/// `base` doubled `times` times, at most `cap`.
pub(crate) fn doubled(base: Duration, times: u32, cap: Duration) -> Duration {
    let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(cap)
}

pub(crate) fn uniform(bound: Duration, rng: &mut SmallRng) -> Duration {
    bound.mul_f64(rng.random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn waits_are_jittered_and_stay_below_a_bound_that_doubles_up_to_the_cap() {
        let mut rng = SmallRng::seed_from_u64(1);
        let config = Config::default();
        let mut longest = [Duration::ZERO; 12];
        for _ in 0..200 {
            let mut backoff = Backoff::new(&config);
            for (failures, longest) in longest.iter_mut().enumerate() {
                let bound = Duration::from_millis(500 << failures).min(Duration::from_secs(30));
                let wait = backoff.next(&mut rng);
                assert!(wait <= bound);
                *longest = wait.max(*longest);
            }
        }
        assert!(longest[0] > Duration::from_millis(400));
        assert!(longest[11] > Duration::from_secs(27));
    }

    #[test]
    fn only_a_connection_that_lived_long_makes_the_wait_short_again() {
        let mut rng = SmallRng::seed_from_u64(2);
        let mut backoff = Backoff::new(&Config::default());
        for _ in 0..5 {
            backoff.next(&mut rng);
            backoff.lived(Duration::from_secs(29));
        }
        assert_eq!(backoff.failures, 5);
        backoff.lived(Duration::from_secs(30));
        assert_eq!(backoff.failures, 0);
    }
}
