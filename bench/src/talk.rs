//! The client's side of the wire, as far as a generator needs it: the greeting, and frames out of bytes.

use anyhow::{Context, anyhow};
use millpond_wire::{
    Decoded, DeviceId, Frame, HEAD_BYTES_MAX, Hello, PREFACE, PROTO, SERVER_FRAME_BYTES_MAX,
    decode, encode,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// Records a client lets the server send ahead of its acknowledgements.
pub(crate) const WINDOW: u64 = 1024;

/// Appends preface and HELLO of a device that has seen nothing yet.
pub(crate) fn greet(device: DeviceId, token: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&PREFACE);
    encode(&Frame::Hello(hello(device, token)), out);
}

/// HELLO of a device that has seen nothing yet.
pub(crate) fn hello(device: DeviceId, token: &str) -> Hello<'_> {
    Hello {
        background: false,
        no_push: true,
        proto_min: PROTO,
        proto_max: PROTO,
        features: 0,
        device,
        attempt: u32::try_from(unix_ms() / 1000).unwrap_or(u32::MAX),
        auth_kind: Hello::AUTH_JWT,
        token: token.as_bytes(),
        agent: concat!("millpond-bench/", env!("CARGO_PKG_VERSION")),
        max_frame: (SERVER_FRAME_BYTES_MAX + HEAD_BYTES_MAX) as u64,
        window: WINDOW,
        resume: None,
    }
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Hands each whole frame of `bytes` to `each`; returns the bytes of all of them.
pub(crate) fn frames(
    bytes: &[u8],
    mut each: impl FnMut(Frame<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut taken = 0;
    loop {
        let decoded = decode(&bytes[taken..], SERVER_FRAME_BYTES_MAX)
            .map_err(|error| anyhow!("{error}"))
            .context("the server sent bytes that are no frame")?;
        let Decoded::Frame(frame, length) = decoded else {
            return Ok(taken);
        };
        each(frame)?;
        taken += length;
    }
}
