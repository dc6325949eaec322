//! A figure over the time of a run: connections, memory, messages per second.

use serde::Serialize;

/// Points in the order of time. Series of one unit share a plot.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Series {
    pub name: String,
    /// What the values count, in words or as a unit: `connections`, `bytes`, `messages/s`.
    pub unit: String,
    /// Seconds since the run began, and the value then.
    points: Vec<(f64, f64)>,
    /// Points closer than this to the one before are left out.
    #[serde(skip)]
    gap_s: f64,
}

/// What a plot can show, and more than a person looks at.
const POINTS_MAX: usize = 2048;

impl Series {
    pub fn new(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            unit: unit.into(),
            points: Vec::new(),
            gap_s: 0.0,
        }
    }

    /// One value per second, the first after the first second.
    pub fn per_second(
        name: impl Into<String>,
        unit: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
    ) -> Self {
        let mut series = Self::new(name, unit);
        for (second, value) in (1_u32..).zip(values) {
            series.push(second.into(), value);
        }
        series
    }

    /// The value `at_s` seconds after the run began, not before the point pushed last. A long run keeps its memory: a
    /// full series loses every second point and takes half as many from then on. What is no number is left out.
    pub fn push(&mut self, at_s: f64, value: f64) {
        let due_s = self
            .points
            .last()
            .map_or(f64::MIN, |last| last.0 + self.gap_s);
        if !at_s.is_finite() || !value.is_finite() || at_s < due_s {
            return;
        }
        if self.points.len() == POINTS_MAX {
            self.halve();
        }
        self.points.push((at_s, value));
    }

    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    fn halve(&mut self) {
        let lasts_s = self.points[POINTS_MAX - 1].0 - self.points[0].0;
        let mut keep = false;
        self.points.retain(|_| {
            keep = !keep;
            keep
        });
        // A little less than the mean gap, or regular points would fall behind it by rounding.
        self.gap_s = lasts_s / POINTS_MAX as f64 * 1.9;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_keeps_its_shape_and_its_bound() {
        let mut series = Series::new("connections", "connections");
        for second in 0..100_000_u32 {
            series.push(second.into(), f64::from(second) * 10.0);
        }
        let points = series.points();
        assert!(
            (POINTS_MAX / 2 - 1..=POINTS_MAX).contains(&points.len()),
            "{}",
            points.len()
        );
        assert_eq!(points[0], (0.0, 0.0));
        assert!(points[points.len() - 1].0 > 99_800.0, "{points:?}");
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(points.iter().all(|&(at_s, value)| value == at_s * 10.0));
    }

    #[test]
    fn what_is_no_number_or_from_the_past_is_left_out() {
        let mut series = Series::new("memory", "bytes");
        for (at_s, value) in [
            (1.0, 1.0),
            (f64::NAN, 1.0),
            (2.0, f64::INFINITY),
            (0.5, 9.0),
            (3.0, 3.0),
        ] {
            series.push(at_s, value);
        }
        assert_eq!(series.points(), [(1.0, 1.0), (3.0, 3.0)]);
    }

    #[test]
    fn the_json_is_pairs() {
        let series = Series::per_second("rate", "messages/s", [5.0, 7.0]);
        let json = serde_json::to_value(&series).unwrap();
        let expected = serde_json::json!({"name": "rate", "unit": "messages/s", "points": [[1.0, 5.0], [2.0, 7.0]]});
        assert_eq!(json, expected);
    }
}
