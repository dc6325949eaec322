//! `millpond bench`: what the load generator must know of this program, and the one scenario that has no sockets.
//! The others, and the reports, are the crate `millpond-bench`.

mod router;

use crate::config::secret_in;
use crate::secret::Secret;
use crate::token::sign;
use anyhow::{Context as _, Result, bail};
use millpond_bench::args::Bench;
use millpond_bench::diff;
use millpond_bench::report::Verdict;
use millpond_bench::{Program, Stop, Tokens};
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(clap::Subcommand, Debug)]
enum Scenario {
    #[command(flatten)]
    Suite(Bench),
    /// The router without sockets: machines and durable commits on one core
    Router(router::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let program = Program {
        executable: std::env::current_exe().context("finding this executable")?,
        version: version(),
        tokens,
        stop: Stop::default(),
    };
    if let Scenario::Suite(Bench::Diff(arguments)) = &arguments.scenario {
        std::process::exit(diff::run(arguments)?.exit_code());
    }
    let verdict = match &arguments.scenario {
        // Servers end at once when they are told to.
        Scenario::Suite(bench @ (Bench::RawEchoServer(_) | Bench::BareServer(_))) => {
            millpond_bench::run(bench, &program)?
        }
        Scenario::Suite(bench) => {
            stop_on_signals(&program.stop)?;
            millpond_bench::run(bench, &program)?
        }
        Scenario::Router(arguments) => {
            stop_on_signals(&program.stop)?;
            router::run(arguments, &program)?
        }
    };
    match verdict {
        Verdict::Good => Ok(()),
        Verdict::Void => bail!("the run is void, the report says why"),
        Verdict::Violated => bail!("the server failed the run, the report says how"),
    }
}

/// With the commit, where whoever built it has named one.
fn version() -> String {
    let version = concat!("millpond ", env!("CARGO_PKG_VERSION"));
    match option_env!("MILLPOND_COMMIT") {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

/// Tokens of the server that keeps its data in this folder.
fn tokens(data: &Path) -> Result<Tokens> {
    let secret = Secret::open(&secret_in(data))?;
    Ok(Box::new(move |user, device| {
        sign(&secret, user, Some(device), TTL)
    }))
}

/// Longer than any run.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// An interrupt ends the run early; the report is still written. A second one ends the program.
fn stop_on_signals(stop: &Stop) -> Result<()> {
    let stop = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("preparing for signals")?;
    let (mut interrupts, mut terminations) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let wait = move || {
        runtime.block_on(async {
            for again in [false, true] {
                tokio::select! {
                    _ = interrupts.recv() => {}
                    _ = terminations.recv() => {}
                }
                if again {
                    std::process::exit(EXIT_AT_ONCE);
                }
                stop.set();
            }
        });
    };
    let thread = std::thread::Builder::new().name("bench-signals".to_owned());
    thread
        .spawn(wait)
        .context("starting a thread for signals")?;
    Ok(())
}

const EXIT_AT_ONCE: i32 = 130;
