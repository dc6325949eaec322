//! Latencies with their tail, in nanoseconds. A missing answer is an infinite latency, never a left-out one.

use hdrhistogram::Histogram;
use serde::Serialize;

/// A histogram of three digits whose top place means "never".
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    lost: u64,
}

/// The place of answers that never came: longer than any run may last.
const NEVER_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

impl Default for Latency {
    fn default() -> Self {
        Self {
            histogram: Histogram::new_with_bounds(1, NEVER_NS, DIGITS)
                .expect("these bounds and digits are valid"),
            lost: 0,
        }
    }
}

impl Latency {
    pub fn record(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
    }

    /// `count` messages took this long together.
    pub fn record_many(&mut self, latency_ns: u64, count: u64) {
        self.histogram.saturating_record_n(latency_ns, count);
    }

    /// `count` messages were never answered.
    pub fn lose(&mut self, count: u64) {
        // Recording nothing would still move the maximum.
        if count == 0 {
            return;
        }
        self.histogram.saturating_record_n(NEVER_NS, count);
        self.lost += count;
    }

    pub fn merge(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("all latencies have the same bounds");
        self.lost += other.lost;
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// `None` when the answer at this quantile never came, or nothing was recorded.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        self.finite(self.histogram.value_at_quantile(quantile))
    }

    /// How many took longer; the lost ones did.
    pub fn count_above(&self, latency_ns: u64) -> u64 {
        self.histogram.count_between(latency_ns, NEVER_NS)
    }

    pub fn summary(&self, origin: Origin) -> Summary {
        let quantiles = QUANTILES.map(|quantile| self.point(quantile));
        Summary {
            origin,
            count: self.count(),
            lost: self.lost,
            p50_us: self.quantile_ns(0.5).map(microseconds),
            p99_us: self.quantile_ns(0.99).map(microseconds),
            p999_us: self.quantile_ns(0.999).map(microseconds),
            max_us: self.finite(self.histogram.max()).map(microseconds),
            quantiles: quantiles.to_vec(),
        }
    }

    /// Evenly spaced on the logarithm of what lies above: as many points between 90 % and 99 % as between 99 % and
    /// 99.9 %, down to the last value.
    pub fn curve(&self) -> Vec<Point> {
        let mut points = Vec::new();
        let count = self.count() as f64;
        for step in 0..=CURVE_STEPS_MAX {
            let above = 10_f64.powf(-f64::from(step) / CURVE_STEPS_PER_NINE);
            if above * count < 1.0 {
                break;
            }
            points.push(self.point(1.0 - above));
        }
        if count > 0.0 {
            points.push(self.point(1.0));
        }
        points
    }

    fn point(&self, quantile: f64) -> Point {
        Point {
            quantile,
            us: self.quantile_ns(quantile).map(microseconds),
        }
    }

    /// What log writers and readers of other programs take; lost answers are its highest value.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    fn finite(&self, value_ns: u64) -> Option<u64> {
        let never = self.histogram.lowest_equivalent(NEVER_NS);
        (self.count() > 0 && value_ns < never).then_some(value_ns)
    }
}

/// Points of a curve per factor of ten in what lies above, and in all: down to one in 100 million.
const CURVE_STEPS_PER_NINE: f64 = 10.0;
const CURVE_STEPS_MAX: u32 = 80;
const QUANTILES: [f64; 9] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999];

pub fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// What a latency was counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The time the schedule meant: waiting before the send counts.
    IntendedSend,
    /// The send itself, because the next message waits for the answer to the last (closed loop): queueing that an
    /// independent user would feel does not show.
    ActualSend,
}

/// What a report shows of a [`Latency`]. `None` stands for infinity: the answer there never came.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    pub origin: Origin,
    pub count: u64,
    pub lost: u64,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub max_us: Option<f64>,
    pub quantiles: Vec<Point>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Point {
    pub quantile: f64,
    pub us: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_answers_sit_above_every_finite_one() {
        let mut latency = Latency::default();
        (0..98).for_each(|_| latency.record(1_000_000));
        latency.lose(0);
        let max_us = latency.summary(Origin::IntendedSend).max_us.unwrap();
        assert!((999.0..1_001.0).contains(&max_us), "{max_us}");
        latency.lose(2);
        assert_eq!(latency.count(), 100);
        assert_eq!(latency.lost(), 2);
        let median = latency.quantile_ns(0.5).unwrap();
        assert!((999_000..1_001_000).contains(&median), "{median}");
        assert_eq!(latency.quantile_ns(0.99), None);
        assert_eq!(latency.count_above(2_000_000), 2);
        assert_eq!(latency.summary(Origin::IntendedSend).max_us, None);
    }

    #[test]
    fn a_curve_goes_as_deep_as_there_are_values() {
        let mut latency = Latency::default();
        (1..=1_000).for_each(|us| latency.record(us * 1_000));
        let curve = latency.curve();
        // Three nines of ten steps, their end, and the maximum.
        assert_eq!(curve.len(), 32);
        assert!(curve.windows(2).all(|pair| pair[0].us <= pair[1].us));
        let max_us = curve[31].us.unwrap();
        assert!((999.0..1_001.0).contains(&max_us), "{max_us}");
        latency.lose(1);
        assert_eq!(latency.curve().last().unwrap().us, None);
        assert!(Latency::default().curve().is_empty());
    }

    #[test]
    fn merging_adds_counts_and_losses() {
        let (mut one, mut other) = (Latency::default(), Latency::default());
        one.record(10);
        other.record(1_000);
        other.lose(1);
        one.merge(&other);
        assert_eq!((one.count(), one.lost()), (3, 1));
        assert_eq!(one.quantile_ns(0.0), Some(10));
        assert_eq!(one.quantile_ns(1.0), None);
    }

    #[test]
    fn nothing_recorded_has_no_quantiles() {
        let summary = Latency::default().summary(Origin::ActualSend);
        assert_eq!(
            (summary.count, summary.p50_us, summary.max_us),
            (0, None, None)
        );
    }
}
