//! The command line. Each subcommand is a file of its own in the library; here is only which one, and how it ends.
//!
//! Exit codes: 0 done; 1 it failed, standard error says why; 2 the command line or the configuration is wrong; 130 a
//! second signal ended a stop that took too long. A bug ends the process by SIGABRT (134 in a shell).
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A messaging backend built for sockets per box.
#[derive(Parser, Debug)]
#[command(version, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Sign a token with the server's secret
    Token(millpond::token::Arguments),
}

fn main() -> ExitCode {
    let result = match Line::parse().command {
        Command::Token(arguments) => millpond::token::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millpond: {error:#}");
            ExitCode::FAILURE
        }
    }
}
