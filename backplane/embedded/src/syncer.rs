//! The thread that syncs at an interval, where commits do not.
//!
//! A sync that fails is told to nobody who waits, so it is left where everybody looks who comes later: the next commit,
//! and whoever asks how the store is.

use crate::failure::Failure;
use millpond_backplane::metrics::Counter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Syncer {
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread shares with the store.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) failure: Arc<Failure>,
    /// Syncs that succeeded.
    pub(crate) syncs: Arc<Counter>,
}

impl Syncer {
    pub(crate) fn start(
        interval: Duration,
        outcome: Outcome,
        sync: impl FnMut() -> Result<(), String> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("store sync".to_owned());
        let thread = thread.spawn(move || run(interval, &stopped, &outcome, sync))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// Until it is told to stop, or a sync fails: another one after that would hide what was lost.
fn run(
    interval: Duration,
    stopped: &Receiver<()>,
    outcome: &Outcome,
    mut sync: impl FnMut() -> Result<(), String>,
) {
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        if let Err(error) = sync() {
            tracing::error!(%error, "the store could not be synced and takes no more until it is opened again");
            outcome.failure.fail(format!("a sync failed: {error}"));
            return;
        }
        outcome.syncs.add(1);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop.take();
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the thread that syncs the store has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Syncer};
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_failed_sync_is_kept_for_those_who_come_later() {
        let outcome = Outcome {
            failure: Arc::default(),
            syncs: Arc::default(),
        };
        let (tried, tries) = channel();
        let mut left = 3;
        let sync = move || {
            tried.send(()).unwrap();
            left -= 1;
            if left > 0 {
                Ok(())
            } else {
                Err("no space".to_owned())
            }
        };
        let syncer = Syncer::start(Duration::from_millis(1), outcome.clone(), sync).unwrap();
        // Ends when the thread does, which drops the sender.
        assert_eq!(tries.iter().count(), 3, "none after one that failed");
        drop(syncer);
        assert_eq!(outcome.syncs.value(), 2);
        let why = outcome.failure.check().unwrap_err().to_string();
        assert!(why.contains("a sync failed: no space"), "{why}");
    }
}
