//! The command line. Each subcommand is a file of its own in the library; here is only which one, and how it ends.
//!
//! Exit codes: 0 done; 1 it failed, standard error says why; 2 the command line or the configuration is wrong, or
//! `verify` and `why` found nothing they could look at; 3 the server can make nothing durable any more and a restart is
//! the cure; 4 and 5 `tune check` has warnings (or unknowns), or blockers; 130 a second signal came before the server had stopped. A bug ends a server by SIGABRT (134 in a shell).
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

/// Gives memory back when connections have gone; the system's keeps it in an arena of each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A messaging backend built for sockets per box.
#[derive(Parser, Debug)]
#[command(version, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a server: gateway, router and store in one process
    Serve(millpond::serve::Arguments),
    /// Run a gateway of a cluster: sockets, and nothing that decides about messages
    #[cfg(feature = "cluster")]
    Gateway(millpond::serve::Arguments),
    /// Run a router of a cluster: it works through a share of the partitions
    #[cfg(feature = "cluster")]
    Router(millpond::serve::Arguments),
    /// Show a cluster's tables and topics, or make them
    #[cfg(feature = "cluster")]
    Schema(millpond::cluster::schema::Arguments),
    /// Talk to somebody from the terminal, or send lines through a pipe
    Chat(millpond::chat::Arguments),
    /// Sign a token with the server's secret
    Token(millpond::token::Arguments),
    /// Print the configuration with every key: the defaults, or what the same flags would give `serve`
    Config(millpond::serve::Arguments),
    /// Judge a stopped server's data: every rule that its rows alone can show
    Verify(millpond::verify::Arguments),
    /// Tell the life of one message from a stopped server's data
    Why(millpond::why::Arguments),
    /// Plan, check and change a machine for very many connections
    Tune(millpond::tune::Arguments),
    /// Measure a server under load
    Bench(millpond::bench::Arguments),
}

fn main() -> ExitCode {
    let result = match Line::parse().command {
        Command::Serve(arguments) => millpond::serve::run(&arguments),
        #[cfg(feature = "cluster")]
        Command::Gateway(arguments) => millpond::cluster::gateway::run(&arguments),
        #[cfg(feature = "cluster")]
        Command::Router(arguments) => millpond::cluster::router::run(&arguments),
        #[cfg(feature = "cluster")]
        Command::Schema(arguments) => millpond::cluster::schema::run(&arguments),
        Command::Chat(arguments) => millpond::chat::run(&arguments),
        Command::Token(arguments) => millpond::token::run(&arguments),
        Command::Config(arguments) => print_config(&arguments),
        Command::Verify(arguments) => millpond::verify::run(&arguments),
        Command::Why(arguments) => millpond::why::run(&arguments),
        Command::Tune(arguments) => millpond::tune::run(&arguments),
        Command::Bench(arguments) => millpond::bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody listens there is nobody to tell.
            let _unread = writeln!(std::io::stderr(), "millpond: {error:#}");
            exit_code(&error)
        }
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<millpond::config::Problems>() || error.is::<millpond::verify::Unread>() {
        ExitCode::from(2)
    } else if error.is::<millpond::serve::Stopped>() {
        ExitCode::from(3)
    } else if let Some(unfit) = error.downcast_ref::<millpond::tune::Unfit>() {
        ExitCode::from(unfit.exit_code())
    } else {
        ExitCode::FAILURE
    }
}

fn print_config(arguments: &millpond::serve::Arguments) -> anyhow::Result<()> {
    let text = millpond::config::print(&arguments.config()?);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
