//! The ends of the process that nobody waits for.

use super::Signals;
use std::time::Duration;

/// What a second signal ends the process with.
pub const EXIT_AT_ONCE: u8 = 130;
const EXIT_STUCK: i32 = 1;

/// The router refuses every message until a restart.
#[derive(Debug)]
pub struct Stopped(pub String);

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stopped {}

/// A panic is a bug, and what it leaves behind cannot be trusted: the disk has everything that was acknowledged, so the
/// process ends rather than goes on with a thread less.
pub(super) fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

pub(super) async fn end_on_second(mut signals: Signals) {
    let signal = signals.next().await;
    tracing::warn!(signal, "second signal: ending at once");
    std::process::exit(i32::from(EXIT_AT_ONCE));
}

/// Whatever hangs, a thread of its own ends the process at the bound.
pub(super) fn end_after(timeout: Duration) {
    let watch = move || {
        std::thread::sleep(timeout);
        tracing::error!(?timeout, "not stopped in time: ending without the rest");
        std::process::exit(EXIT_STUCK);
    };
    let spawned = std::thread::Builder::new()
        .name("stop-bound".to_owned())
        .spawn(watch);
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread to watch over the stop");
    }
}
