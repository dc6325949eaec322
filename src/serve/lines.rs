//! What a person and a script see at the start. Standard output: first the two addresses, one line each, then what this
//! server is and promises. Standard error: the log.

use super::headroom::Room;
use crate::config::Config;
use crate::role::Role;
use anyhow::{Context as _, Result};
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::net::SocketAddr;
use tracing_subscriber::EnvFilter;

pub(super) fn start_log(filter: &str) -> Result<()> {
    // The driver of Cassandra is talkative. What the filter says of it comes later, and wins.
    let filter = EnvFilter::try_new(format!("scylla=warn,{filter}")).context("the log filter")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        // It would panic where standard error is closed.
        .log_internal_errors(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log: {error}"))
}

/// In one write, so that whoever waits for the addresses gets them whole.
pub(super) fn print_start<R: Role>(
    config: &Config,
    server: &R,
    room: Option<&Room>,
    admin: SocketAddr,
) {
    let gateway = server.gateway();
    let mut text = String::new();
    let mut line = |words: &dyn std::fmt::Display| {
        text.push_str(&words.to_string());
        text.push('\n');
    };
    if let Some(gateway) = &gateway {
        line(&format_args!("listening on {}", gateway.address));
    }
    line(&format_args!("admin on {admin}"));
    let (version, process) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let what = server.describe(config);
    line(&format_args!(
        "millpond {version}, process {process}, {what}"
    ));
    if let Some(room) = room {
        line(&room.line());
    }
    if let Some(gateway) = &gateway {
        text.push_str(&gateway.budget.to_string());
    }
    let mut stdout = stdout().lock();
    // A server whose standard output nobody reads is still a server.
    let _unread = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
