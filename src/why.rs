//! `millpond why`: the life of one message as a stopped server's rows tell it, for the person on call.
//!
//! Reads and changes nothing; never shows what a message says. Exit codes: 0 the message is there, 1 it is not, with
//! the reason in words, 2 nothing could be read.

mod life;
mod named;
mod shown;

use crate::verify::{open, untold};
use anyhow::Result;
use life::find;
use millpond_wire::UserId;
use named::Named;
use std::io::Write as _;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The server's data folder; the server must be stopped
    #[arg(long, value_name = "DIR", env = "MILLPOND_DATA", default_value = crate::config::DATA_DEFAULT)]
    data: PathBuf,
    /// Who asks: a number from 1 to 2^63 - 1
    #[arg(long, value_parser = crate::token::parse_user)]
    user: UserId,
    /// The conversation as this user calls it: the other user's number, the own one for notes to self; or both as A-B
    #[arg(long, value_name = "PEER")]
    conversation: Named,
    /// The message's sequence in that conversation
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seq: u64,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let rows = open(&arguments.data)?;
    let conversation = arguments.conversation.of(arguments.user);
    let answer = find(
        &rows,
        rows.epoch(),
        arguments.user,
        conversation,
        arguments.seq,
    )?;
    let text = match (&answer, arguments.json) {
        (answer, true) => format!("{:#}\n", shown::to_json(answer)),
        (Ok(life), false) => shown::to_text(life),
        (Err(_), false) => String::new(),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|error| untold(&error))?;
    answer.map(|_| ()).map_err(anyhow::Error::new)
}
