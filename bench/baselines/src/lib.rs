//! What all baselines share: where to listen, the line that says they are ready, and the size of a read. A server returns
//! the bytes that come, in order; one thread, as ours.
#![forbid(unsafe_code)]

use anyhow::Context;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};

/// Bytes of one read, as the buffers of ours.
pub const READ_BYTES: usize = 2048;

/// The listener of the address that the first argument names; a port of the kernel's choice without one.
pub fn listener() -> anyhow::Result<TcpListener> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let address: SocketAddr = address
        .parse()
        .with_context(|| format!("`{address}` is not an address to listen on, as 127.0.0.1:0"))?;
    TcpListener::bind(address).with_context(|| format!("listening on {address}"))
}

/// Says that connections are welcome.
pub fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    Ok(out.flush()?)
}
