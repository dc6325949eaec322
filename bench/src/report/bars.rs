//! One figure of several subjects side by side: what a comparison is drawn from.

use super::Spread;
use serde::Serialize;

/// A comparison. Its title says what was measured, each bar whose it is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bars {
    pub name: String,
    pub unit: String,
    pub better: Better,
    bars: Vec<Bar>,
}

/// Which direction is a gain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Lower,
    Higher,
    /// It says something, but nobody wins by it.
    Neither,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bar {
    pub name: String,
    /// `None` where nothing was measured.
    pub value: Option<f64>,
    /// Lowest and highest of several rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// Why nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Bars {
    pub fn new(name: impl Into<String>, unit: impl Into<String>, better: Better) -> Self {
        Self {
            name: name.into(),
            unit: unit.into(),
            better,
            bars: Vec::new(),
        }
    }

    /// One measurement.
    #[must_use]
    pub fn value(self, name: impl Into<String>, value: f64) -> Self {
        self.with(name, Some(value), None, None)
    }

    /// The median of several rounds, with its range.
    #[must_use]
    pub fn spread(self, name: impl Into<String>, spread: Spread) -> Self {
        let range = Some((spread.min, spread.max));
        self.with(name, Some(spread.median), range, None)
    }

    /// Nothing was measured, and why.
    #[must_use]
    pub fn missing(self, name: impl Into<String>, why: impl Into<String>) -> Self {
        self.with(name, None, None, Some(why.into()))
    }

    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    fn with(
        mut self,
        name: impl Into<String>,
        value: Option<f64>,
        range: Option<(f64, f64)>,
        missing: Option<String>,
    ) -> Self {
        self.bars.push(Bar {
            name: name.into(),
            value: value.filter(|value| value.is_finite()),
            range,
            missing,
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_says_what_is_missing_and_why() {
        let spread = Spread {
            median: 2.0,
            min: 1.0,
            max: 4.0,
        };
        let bars = Bars::new("memory", "B", Better::Lower)
            .value("ours", 1.5)
            .spread("theirs", spread)
            .missing("others", "perf may not count here");
        let json = serde_json::to_value(&bars).unwrap();
        let expected = serde_json::json!({
            "name": "memory",
            "unit": "B",
            "better": "lower",
            "bars": [
                {"name": "ours", "value": 1.5},
                {"name": "theirs", "value": 2.0, "range": [1.0, 4.0]},
                {"name": "others", "value": null, "missing": "perf may not count here"},
            ],
        });
        assert_eq!(json, expected);
    }
}
