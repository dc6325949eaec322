//! `millpond verify`: judges a data folder that no server has open. Reads every row and changes none.
//!
//! The rules are the backplane's (`audit`); here is only how a person or a script hears of them. `docs/verify.md` lists
//! the codes. Exit codes: 0 clean, 1 findings, 2 nothing was judged.

use anyhow::Result;
use millpond_backplane::audit::{Code, Found, Limits, Report, Table, audit};
use millpond_embedded::{OfflineRows, OpenError, Options};
use millpond_router::digest::digest;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The server's data folder; the server must be stopped
    #[arg(long, value_name = "DIR", env = "MILLPOND_DATA", default_value = crate::config::DATA_DEFAULT)]
    data: PathBuf,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// The store could not be looked at: that says nothing about its rows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unread(String);

/// The store breaks its own rules.
#[derive(Debug, thiserror::Error)]
#[error("{0} findings; docs/verify.md says what each code means and what to do")]
pub struct Broken(u64);

pub fn run(arguments: &Arguments) -> Result<()> {
    let rows = open(&arguments.data)?;
    let mut progress = Progress::new();
    let report = audit(&rows, Limits::default(), digest, &mut |table, rows| {
        progress.tell(table, rows);
    });
    let report = report.map_err(unread)?;
    let text = if arguments.json {
        format!("{:#}\n", to_json(rows.epoch(), &report))
    } else {
        to_text(&report)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|error| untold(&error))?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(Broken(report.findings()).into())
    }
}

/// The rows of a stopped server.
pub(crate) fn open(data: &Path) -> Result<OfflineRows> {
    OfflineRows::open(data, &Options::default()).map_err(|error| {
        if let OpenError::Locked { path } = &error {
            let path = path.display();
            return unread(format!(
                "a server has {path} open: stop it first, rows must be at rest"
            ));
        }
        unread(error)
    })
}

pub(crate) fn unread(why: impl std::fmt::Display) -> anyhow::Error {
    Unread(why.to_string()).into()
}

/// What could not be said is no verdict: a script must not take it for one.
pub(crate) fn untold(error: &std::io::Error) -> anyhow::Error {
    unread(format!("standard output: {error}"))
}

/// A line on standard error every second, for stores that take long.
struct Progress {
    start: Instant,
    told: Instant,
}

const TELL_EVERY: Duration = Duration::from_secs(1);

impl Progress {
    fn new() -> Self {
        let start = Instant::now();
        Self { start, told: start }
    }

    fn tell(&mut self, table: Table, rows: u64) {
        if self.told.elapsed() < TELL_EVERY {
            return;
        }
        self.told = Instant::now();
        let seconds = self.start.elapsed().as_secs();
        // Where nobody listens there is nobody to tell.
        let _unread = writeln!(
            std::io::stderr(),
            "verify: {seconds} s, {} rows of {}",
            rows,
            table.name()
        );
    }
}

fn to_text(report: &Report) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let rows = report.rows.get(&table).copied().unwrap_or(0);
        text += &format!("{:<10} {rows} rows\n", table.name());
    }
    for (code, found) in &report.found {
        text += &finding_text(*code, found);
    }
    if report.is_clean() {
        text += "clean: every rule holds\n";
    }
    text
}

fn finding_text(code: Code, found: &Found) -> String {
    let mut text = format!("\n{code} broken {} times: {}\n", found.count, code.rule());
    for place in &found.places {
        text += &format!("  {place}\n");
    }
    let more = found.count - found.places.len() as u64;
    if more > 0 {
        text += &format!("  and {more} more\n");
    }
    text
}

/// Numbers of 64 bits are decimal text, as everywhere in our JSON.
fn to_json(epoch: u64, report: &Report) -> Value {
    let rows = Table::ALL.into_iter().map(|table| {
        let rows = report.rows.get(&table).copied().unwrap_or(0);
        (table.name().to_owned(), Value::from(rows.to_string()))
    });
    let findings = report.found.iter().map(|(code, found)| {
        json!({
            "code": code.number(),
            "rule": code.rule(),
            "count": found.count.to_string(),
            "places": found.places,
        })
    });
    json!({
        "clean": report.is_clean(),
        "epoch": epoch.to_string(),
        "rows": rows.collect::<serde_json::Map<_, _>>(),
        "findings": findings.collect::<Vec<_>>(),
    })
}
