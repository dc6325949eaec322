//! What a person and a script see at the start. Standard output: first the two addresses, one line each, then what this
//! server is and promises. Standard error: the log.

use super::headroom::Room;
use crate::config::Config;
use crate::server::Server;
use anyhow::{Context as _, Result};
use millpond_backplane::store::Durability;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::net::SocketAddr;
use tracing_subscriber::EnvFilter;

pub(super) fn start_log(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).context("the log filter")?;
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
pub(super) fn print_start(config: &Config, server: &Server, room: &Room, admin: SocketAddr) {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "listening on {listen}\nadmin on {admin}\nmillpond {version}, process {process}, driver io_uring, data in {data}\n{durability}\n{room}\n{budget}",
        listen = server.address(),
        process = std::process::id(),
        data = config.data.display(),
        durability = promise(config),
        room = room.line(),
        budget = server.budget(),
    );
    let mut stdout = stdout().lock();
    // A server whose standard output nobody reads is still a server.
    let _unread = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

fn promise(config: &Config) -> String {
    match config.store.durability {
        Durability::Sync => {
            "durability sync: an acknowledged message is on the disk and survives a power cut".to_owned()
        }
        Durability::Interval => format!(
            "durability interval: an acknowledged message survives a killed process; a power cut may lose the last {:?}",
            config.store.sync_interval
        ),
        Durability::Os => "durability os: an acknowledged message survives a killed process; a power cut may lose it".to_owned(),
    }
}
