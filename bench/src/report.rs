//! What a run says at its end: a table for people, JSON with every parameter for everything else. Scenarios bring their
//! figures; the rest is the same for all, also for scenarios outside this crate.

mod bars;
mod distribution;
mod hlog;
mod html;
mod outputs;
mod series;
mod table;

pub use bars::{Bar, Bars, Better};
pub use distribution::Distribution;
pub use series::Series;
pub use table::Table;

use crate::latency::{Latency, Origin};
use crate::machine::{Machine, process_started_unix_ms};
use crate::program::Program;
use millpond_checker::Rule;
use serde::Serialize;

/// The figures of one scenario.
pub trait Figures: Serialize {
    /// For the terminal.
    fn table(&self) -> Table;
}

/// A whole report. The shape of its JSON is [`SCHEMA`] in [`SCHEMA_VERSION`].
#[derive(Debug, Serialize)]
pub struct Report<F> {
    pub schema: &'static str,
    pub schema_version: u32,
    pub scenario: &'static str,
    pub program: String,
    pub command: Vec<String>,
    pub started_unix_ms: u64,
    pub machine: Machine,
    /// Every parameter of the scenario, defaults included.
    pub parameters: serde_json::Value,
    /// It was ended early: the figures are of what there was.
    pub interrupted: bool,
    /// Why the figures must not be used, if there is a reason.
    pub void: Vec<String>,
    /// What the server did wrong.
    pub violations: Vec<String>,
    pub figures: F,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    series: Vec<Series>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    histograms: Vec<Distribution>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bars: Vec<Bars>,
}

pub const SCHEMA: &str = "millpond-bench";
pub const SCHEMA_VERSION: u32 = 1;

/// What a run comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Good,
    /// The generator or the person ended it, or could not keep up: nothing is said about the server.
    Void,
    /// The server lost, doubled or reordered something, or closed connections.
    Violated,
}

impl<F: Figures> Report<F> {
    pub fn new(
        scenario: &'static str,
        program: &Program,
        parameters: impl Serialize,
        figures: F,
    ) -> Self {
        Self {
            schema: SCHEMA,
            schema_version: SCHEMA_VERSION,
            scenario,
            program: program.version.clone(),
            command: std::env::args().collect(),
            started_unix_ms: process_started_unix_ms(),
            machine: Machine::read(),
            parameters: serde_json::to_value(parameters).expect("parameters are plain data"),
            interrupted: false,
            void: Vec::new(),
            violations: Vec::new(),
            figures,
            series: Vec::new(),
            histograms: Vec::new(),
            bars: Vec::new(),
        }
    }

    /// Adds a plot over time; series of one unit share it.
    pub fn series(&mut self, series: Series) {
        self.series.push(series);
    }

    /// Adds the latencies of an operation, for the percentile plot and the HdrHistogram log.
    pub fn histogram(&mut self, name: impl Into<String>, origin: Origin, latency: &Latency) {
        let distribution = Distribution::new(name.into(), origin, latency);
        self.histograms.push(distribution);
    }

    /// Adds a comparison.
    pub fn bars(&mut self, bars: Bars) {
        self.bars.push(bars);
    }

    pub fn verdict(&self) -> Verdict {
        if !self.violations.is_empty() {
            Verdict::Violated
        } else if !self.void.is_empty() || self.interrupted {
            Verdict::Void
        } else {
            Verdict::Good
        }
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{} · {} · {} · {} cores · Linux {}\n\n{}",
            self.scenario,
            self.program,
            machine.cpu,
            machine.cores,
            machine.kernel,
            self.figures.table()
        );
        let notes = [("VOID", &self.void), ("VIOLATION", &self.violations)];
        for (word, notes) in notes {
            for note in notes {
                text.push_str(&format!("\n{word}: {note}"));
            }
        }
        if self.interrupted {
            text.push_str("\nINTERRUPTED: figures of what there was");
        }
        text.push('\n');
        text
    }
}

/// What the checker says of all that clients saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Judged {
    pub operations: u64,
    pub conversations: u64,
    /// Not where the server wanted messages again: then their order is not promised.
    pub sender_order_judged: bool,
    pub violations: Vec<String>,
}

/// Violations told in full.
const SHOWN_MAX: usize = 10;

impl Judged {
    /// `in_order`: the order of a sender's messages was promised.
    pub(crate) fn of(report: &millpond_checker::Report, in_order: bool) -> Self {
        let judged = report.violations_by_rule.iter();
        let judged = judged.filter(|(rule, _)| in_order || **rule != Rule::SenderOrder);
        let mut violations = judged
            .map(|(rule, count)| format!("checker: {count} × {rule:?}"))
            .collect::<Vec<_>>();
        if !violations.is_empty() {
            let first = report.violations.iter().map(|violation| &violation.what);
            violations.extend(first.take(SHOWN_MAX).map(|what| format!("checker: {what}")));
        }
        Self {
            operations: report.counts.operations,
            conversations: report.counts.conversations,
            sender_order_judged: in_order,
            violations,
        }
    }
}

/// The middle and the ends of the same measure over several rounds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values = values.into_iter().collect::<Vec<_>>();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = values.first().zip(values.last())?;
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self {
            median: f64::midpoint(low, high),
            min,
            max,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::program::Stop;

    #[derive(Serialize)]
    pub(crate) struct Nothing {
        messages: u64,
    }

    impl Figures for Nothing {
        fn table(&self) -> Table {
            let mut table = Table::default();
            table.row(["messages", &self.messages.to_string()]);
            table
        }
    }

    pub(crate) fn report() -> Report<Nothing> {
        let program = Program {
            executable: "millpond".into(),
            version: "millpond 0".to_owned(),
            tokens: |_| anyhow::bail!("nobody signs here"),
            stop: Stop::default(),
        };
        let parameters = serde_json::json!({"connections": 3});
        Report::new("echo", &program, parameters, Nothing { messages: 7 })
    }

    #[test]
    fn the_json_has_its_shape() {
        let json = serde_json::to_value(report()).unwrap();
        let keys = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>();
        let expected = [
            "command",
            "figures",
            "interrupted",
            "machine",
            "parameters",
            "program",
            "scenario",
            "schema",
            "schema_version",
            "started_unix_ms",
            "violations",
            "void",
        ];
        assert_eq!(keys, expected);
        assert_eq!(json["schema"], "millpond-bench");
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["parameters"]["connections"], 3);
        assert_eq!(json["figures"]["messages"], 7);
    }

    #[test]
    fn what_is_drawn_is_in_the_json_only_when_there_is_some() {
        let mut report = report();
        let mut latency = Latency::default();
        latency.record(1_000);
        report.series(Series::per_second("rate", "messages/s", [1.0]));
        report.histogram("echo", Origin::IntendedSend, &latency);
        report.bars(Bars::new("memory", "B", Better::Lower).value("ours", 1.0));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["series"][0]["points"][0][1], 1.0);
        assert_eq!(json["histograms"][0]["name"], "echo");
        assert_eq!(json["histograms"][0]["origin"], "intended_send");
        assert_eq!(json["histograms"][0]["count"], 1);
        assert_eq!(json["histograms"][0]["curve"][0]["us"], 1.0);
        assert_eq!(json["bars"][0]["bars"][0]["value"], 1.0);
    }

    #[test]
    fn a_violation_outweighs_a_void_run() {
        let mut report = report();
        assert_eq!(report.verdict(), Verdict::Good);
        report.void.push("the generator was late".to_owned());
        assert_eq!(report.verdict(), Verdict::Void);
        report.violations.push("a message was lost".to_owned());
        assert_eq!(report.verdict(), Verdict::Violated);
        assert!(report.text().contains("VIOLATION: a message was lost"));
    }

    #[test]
    fn spreads_have_a_middle() {
        let spread = Spread::of([3.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 10.0));
        assert_eq!(Spread::of([]), None);
    }
}
