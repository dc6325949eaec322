//! The program as a person uses it: subcommands, flags, exit codes, two people who chat through pipes.

mod backlog;
mod chat;
mod command_line;
mod process;
mod tune;
