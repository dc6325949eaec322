//! `bench diff`: two reports of one scenario, figure by figure. Which direction is a loss is known from what a figure is
//! called; a figure whose direction is unknown is shown and judged by nobody. Reads files, starts nothing.

mod figure;

use crate::args::Diff;
use crate::report::{SCHEMA, SCHEMA_VERSION, Table};
use anyhow::{Context, ensure};
use figure::{Figure, Judgement, figures};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;

/// What a comparison comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    NoRegression,
    Regression,
    /// A file is no report, they are of different scenarios, or a run is void.
    NotComparable,
}

impl Outcome {
    /// For scripts.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::NoRegression => 0,
            Self::Regression => 3,
            Self::NotComparable => 4,
        }
    }
}

/// Prints the comparison, or why there is none.
pub fn run(args: &Diff) -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    match compared(args) {
        Ok((outcome, text)) => {
            out.write_all(text.as_bytes())?;
            Ok(outcome)
        }
        Err(error) => {
            writeln!(std::io::stderr().lock(), "error: {error:#}")?;
            Ok(Outcome::NotComparable)
        }
    }
}

fn compared(args: &Diff) -> anyhow::Result<(Outcome, String)> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let scenarios = [&before, &after].map(|report| text(report, "scenario"));
    ensure!(
        scenarios[0] == scenarios[1],
        "{} is of `{}` and {} of `{}`: only runs of one scenario compare",
        args.before.display(),
        scenarios[0],
        args.after.display(),
        scenarios[1]
    );
    let unusable = [(&args.before, &before), (&args.after, &after)];
    let unusable = unusable.into_iter().filter_map(|(file, report)| {
        Some(format!("{}: {}\n", file.display(), unusable_why(report)?))
    });
    let unusable = unusable.collect::<String>();
    let (table, regressions) = table(&before, &after, args.threshold.0);
    let mut shown = format!("{}\n\n{table}", scenarios[0]);
    if before["parameters"] != after["parameters"] {
        shown.push_str("\nNOTE: the parameters of the two runs differ\n");
    }
    if !unusable.is_empty() {
        shown.push_str(&format!("\nVOID, nothing is judged:\n{unusable}"));
        return Ok((Outcome::NotComparable, shown));
    }
    let outcome = match regressions {
        0 => Outcome::NoRegression,
        _ => Outcome::Regression,
    };
    let threshold = args.threshold.0 * 100.0;
    shown.push_str(&format!(
        "\n{regressions} figures worse by more than {threshold} %\n"
    ));
    Ok((outcome, shown))
}

/// Beyond what any run writes.
const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;

fn read(file: &Path) -> anyhow::Result<Value> {
    let name = file.display();
    let bytes = fs::metadata(file).with_context(|| format!("reading {name}"))?;
    ensure!(
        bytes.len() <= REPORT_BYTES_MAX,
        "{name} has {} bytes; a report has {REPORT_BYTES_MAX} at most",
        bytes.len()
    );
    let bytes = fs::read(file).with_context(|| format!("reading {name}"))?;
    let report: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{name} is not JSON: give a report.json"))?;
    ensure!(
        text(&report, "schema") == SCHEMA && report["figures"].is_object(),
        "{name} is not a report of `millpond bench`"
    );
    ensure!(
        report["schema_version"] == SCHEMA_VERSION,
        "{name} has version {} of the schema, this program reads {SCHEMA_VERSION}",
        report["schema_version"]
    );
    Ok(report)
}

fn text<'a>(report: &'a Value, key: &str) -> &'a str {
    report[key].as_str().unwrap_or("")
}

/// Void, interrupted or violated runs say nothing about speed.
fn unusable_why(report: &Value) -> Option<String> {
    let notes = ["void", "violations"]
        .into_iter()
        .filter_map(|key| report[key].as_array());
    let mut notes = notes
        .flatten()
        .map(|note| note.as_str().unwrap_or("?").to_owned());
    let interrupted = (report["interrupted"] == true).then(|| "it was interrupted".to_owned());
    notes.next().or(interrupted)
}

fn table(before: &Value, after: &Value, threshold: f64) -> (Table, usize) {
    let (before, after) = (figures(before), figures(after));
    let mut table = Table::default();
    let mut regressions = 0;
    table.row(["", "before", "after", "after ÷ before", ""]);
    for figure in &before {
        let Some(other) = after.iter().find(|it| it.name == figure.name) else {
            table.row([&figure.name, &shown(figure), "gone", "", ""]);
            continue;
        };
        let judgement = figure.judge(other, threshold);
        regressions += usize::from(judgement == Judgement::Worse);
        let ratio = figure.ratio(other);
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}"));
        table.row([
            &figure.name,
            &shown(figure),
            &shown(other),
            &ratio,
            judgement.word(),
        ]);
    }
    let new = after
        .iter()
        .filter(|it| !before.iter().any(|old| old.name == it.name));
    for figure in new {
        table.row([&figure.name, "new", &shown(figure), "", ""]);
    }
    (table, regressions)
}

fn shown(figure: &Figure) -> String {
    figure
        .value
        .map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

#[cfg(test)]
mod tests;
