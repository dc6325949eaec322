//! `millpond tune`: what so many connections need, what of it this machine lacks, and how to change that and back.
//!
//! The arithmetic, the judgement and the writes are the crate `millpond-tuning`; here is how a person or a script asks and
//! hears. `docs/tuning.md` is for the person who sets up a box.

mod apply;
mod check;
mod plan;
mod size;

use anyhow::{Context as _, Result};
use millpond_tuning::Root;
use millpond_tuning::check::{Target, Verdict};
use millpond_tuning::plan::{CONNECTIONS_MAX, Load, RATE_MAX};
use std::io::Write as _;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// What so many connections need; or, without --connections, how many fit
    Plan(plan::Arguments),
    /// Judge every parameter of this machine that matters for so many connections
    Check(check::Arguments),
    /// Write what `check` found: shows the difference first, and asks
    Apply(apply::Arguments),
    /// Put back what `apply` has changed
    Revert(apply::RevertArguments),
    /// Print a systemd unit with limits and hardening for so many connections
    Unit(Wish),
}

/// What the machine should hold.
#[derive(clap::Args, Clone, Debug)]
struct Wish {
    /// Connections to hold
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    connections: u64,
    #[command(flatten)]
    load: LoadWish,
}

#[derive(clap::Args, Clone, Debug)]
struct LoadWish {
    /// Clients use TLS
    #[arg(long)]
    tls: bool,
    /// Durable messages a second, of all clients together
    #[arg(long, value_name = "R", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(0..=RATE_MAX))]
    rate: u64,
    /// The clients run on this machine, too
    #[arg(long)]
    clients_here: bool,
    /// Where proc, sys and etc are; for tests
    #[arg(long, hide = true, default_value = "/")]
    root: PathBuf,
}

/// The machine is not fit for the target.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error(
        "there are warnings, or parameters that could not be read; `millpond tune apply` writes what can be written"
    )]
    Warnings,
    #[error(
        "the target cannot be reached on this machine as it is; `millpond tune apply` writes what can be written"
    )]
    Blockers,
}

impl Unfit {
    /// The exit code for scripts.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Warnings => 4,
            Self::Blockers => 5,
        }
    }

    fn of(worst: Verdict) -> Result<(), Self> {
        match worst {
            Verdict::NotHere | Verdict::Fine => Ok(()),
            Verdict::Unknown | Verdict::Warning => Err(Self::Warnings),
            Verdict::Blocker => Err(Self::Blockers),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Plan(arguments) => plan::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Apply(arguments) => apply::run(arguments),
        Command::Revert(arguments) => apply::revert(arguments),
        Command::Unit(wish) => say(&millpond_tuning::unit::unit(&wish.target().plan)),
    }
}

impl Wish {
    fn target(&self) -> Target {
        Target::new(&self.load.root(), self.connections, self.load.load())
    }
}

impl LoadWish {
    fn root(&self) -> Root {
        Root::at(&self.root)
    }

    fn load(&self) -> Load {
        Load {
            tls: self.tls,
            rate_per_second: self.rate,
            clients_here: self.clients_here,
            ..Load::default()
        }
    }
}

/// What could not be said is no verdict.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("standard output")
}
