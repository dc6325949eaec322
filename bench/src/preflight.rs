//! What would stop a run, looked up before anything is started; and whose limit it is.

use crate::crowd;
use anyhow::{Context, bail, ensure};
use std::fs;

/// Bytes of a connection on one machine: both halves in the kernel, the server's and the generator's own. Measured: see
/// the runs beside this crate.
const PAIR_BYTES: u64 = 9_000;
/// Open files of the whole machine that are left to others.
const FILES_BESIDE: u64 = 20_000;

/// Whether this machine can hold so many connections and their clients.
///
/// # Errors
/// The limit that binds first, what it is, and what to type.
pub(crate) fn connections(connections: u32) -> anyhow::Result<()> {
    let wanted = u64::from(connections);
    let files = first_number("/proc/sys/fs/file-max", 0)?;
    let taken = open_files()?;
    let needed = 2 * wanted + FILES_BESIDE + taken;
    ensure!(
        files >= needed,
        "{connections} connections are {} sockets with those of the clients, and this machine may have {files} open files, \
         of which {taken} are open: sysctl fs.file-max={needed}",
        2 * wanted
    );
    let available = available_bytes()?;
    ensure!(
        available >= wanted * PAIR_BYTES,
        "{connections} connections with their clients take about {} MiB, and {} MiB are available: ask for fewer",
        (wanted * PAIR_BYTES) >> 20,
        available >> 20
    );
    let sources = crowd::sources(connections);
    if sources > SOURCES_MAX {
        bail!(
            "the limit is your client: {sources} source addresses, of {SOURCES_MAX} that it uses"
        );
    }
    ports()
}

/// Of the whole machine, direct descriptors of rings among them.
pub(crate) fn open_files() -> anyhow::Result<u64> {
    first_number("/proc/sys/fs/file-nr", 0)
}

/// Addresses that a crowd may leave from.
const SOURCES_MAX: usize = 250 * 250;
/// Connections of one source address need as many ports, twice over.
const PORTS_MIN: u64 = 26_000;

fn ports() -> anyhow::Result<()> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    let (low, high) = (first_number(path, 0)?, first_number(path, 1)?);
    ensure!(
        high.saturating_sub(low) >= PORTS_MIN,
        "the limit is your client: ports {low} to {high} are too few; sysctl net.ipv4.ip_local_port_range='32768 60999'"
    );
    Ok(())
}

fn available_bytes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("/proc/meminfo has no MemAvailable")? * 1024)
}

fn first_number(path: &str, nth: usize) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let number = text
        .split_whitespace()
        .nth(nth)
        .and_then(|word| word.parse().ok());
    number.with_context(|| format!("{path} says {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_connections_fit_and_four_billion_do_not() {
        connections(100).unwrap();
        let refused = connections(u32::MAX).unwrap_err().to_string();
        assert!(refused.contains("4294967295 connections"), "{refused}");
    }
}
