//! The figures of a report as one flat list, each with the direction that is a gain.

use serde_json::Value;

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Figure {
    /// The way to it, as `gateway.latency.p99_us`.
    pub(super) name: String,
    /// `None` where nothing was measured, or the answer never came.
    pub(super) value: Option<f64>,
    gain: Gain,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gain {
    Lower,
    Higher,
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judgement {
    Better,
    Same,
    Worse,
    NotJudged,
}

impl Judgement {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "",
            Self::Worse => "WORSE",
            Self::NotJudged => "not judged",
        }
    }
}

impl Figure {
    /// `threshold` is a share: 0.05 lets five per cent pass either way.
    pub(super) fn judge(&self, after: &Self, threshold: f64) -> Judgement {
        let latency = ["p50_us", "p99_us", "p999_us"]
            .iter()
            .any(|end| self.name.ends_with(end));
        let lag = self.name.contains("lag_");
        let (before, after) = match (self.value, after.value) {
            (Some(before), Some(after)) => (before, after),
            // A latency that is not there is infinite.
            (Some(_), None) if latency && !lag => return Judgement::Worse,
            (None, Some(_)) if latency && !lag => return Judgement::Better,
            _ => return Judgement::NotJudged,
        };
        let (lower, higher) = (before * (1.0 - threshold), before * (1.0 + threshold));
        match self.gain {
            Gain::Unknown => Judgement::NotJudged,
            Gain::Lower if after > higher => Judgement::Worse,
            Gain::Lower if after < lower => Judgement::Better,
            Gain::Higher if after < lower => Judgement::Worse,
            Gain::Higher if after > higher => Judgement::Better,
            Gain::Lower | Gain::Higher => Judgement::Same,
        }
    }

    pub(super) fn ratio(&self, after: &Self) -> Option<f64> {
        let (before, after) = self.value.zip(after.value)?;
        (before != 0.0).then(|| after / before)
    }
}

/// All of them, raw series and single rounds left out: their medians are judged.
pub(super) fn figures(report: &Value) -> Vec<Figure> {
    let mut found = Vec::new();
    walk(&report["figures"], "", &mut found);
    walk(&report["histograms"], "", &mut found);
    for bars in report["bars"].as_array().into_iter().flatten() {
        let name = bars["name"].as_str().unwrap_or("?");
        let gain = match bars["better"].as_str() {
            Some("lower") => Gain::Lower,
            Some("higher") => Gain::Higher,
            _ => Gain::Unknown,
        };
        for bar in bars["bars"].as_array().into_iter().flatten() {
            found.push(Figure {
                name: format!("{name}.{}", bar["name"].as_str().unwrap_or("?")),
                value: bar["value"].as_f64(),
                gain,
            });
        }
    }
    found
}

const LEFT_OUT: [&str; 6] = [
    "rounds",
    "per_second",
    "quantiles",
    "curve",
    "points",
    "checker",
];
/// Deeper than any report; a file that goes on is cut there.
const DEPTH_MAX: usize = 16;

fn walk(value: &Value, at: &str, found: &mut Vec<Figure>) {
    let key = at.rsplit('.').next().unwrap_or(at);
    if LEFT_OUT.contains(&key) || at.matches('.').count() >= DEPTH_MAX {
        return;
    }
    let inside = |name: &str| match at {
        "" => name.to_owned(),
        _ => format!("{at}.{name}"),
    };
    match value {
        Value::Object(fields) if fields.contains_key("median") => {
            walk(&fields["median"], at, found);
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != "name");
            fields.for_each(|(name, value)| walk(value, &inside(name), found));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(nth, item)| {
            let name = item["name"]
                .as_str()
                .map_or_else(|| nth.to_string(), str::to_owned);
            walk(item, &inside(&name), found);
        }),
        Value::Number(_) | Value::Null => found.push(Figure {
            name: at.to_owned(),
            value: value.as_f64(),
            gain: gain(key),
        }),
        Value::Bool(_) | Value::String(_) => {}
    }
}

/// A single maximum is one accident and judges nobody.
fn gain(key: &str) -> Gain {
    const HIGHER: [&str; 2] = ["per_second", "messages_per_commit"];
    const LOWER: [&str; 9] = [
        "_ns_per_",
        "_us_per_",
        "bytes_per_",
        "system_calls",
        "instructions",
        "rows_per_",
        "lost",
        "dropped",
        "cpu_ratio",
    ];
    match key {
        "max_us" => Gain::Unknown,
        _ if HIGHER.iter().any(|part| key.contains(part)) => Gain::Higher,
        _ if LOWER.iter().any(|part| key.contains(part)) => Gain::Lower,
        _ if ["_us", "_ms", "_ns"].iter().any(|end| key.ends_with(end)) => Gain::Lower,
        _ => Gain::Unknown,
    }
}
