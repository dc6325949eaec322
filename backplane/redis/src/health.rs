//! Whether Redis answers: counted, said when it changes, and a pause between failures, so that who calls in vain does
//! not wait for a timeout each time.

use crate::trouble::Trouble;
use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};
use millpond_backplane::routes::RoutesError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Health {
    begun: Instant,
    pause: Duration,
    /// Calls fail until then, milliseconds since `begun`; 0 while Redis answers.
    failing_until_ms: AtomicU64,
    calls: Counter,
    failures: Counter,
    pub(crate) contested: Counter,
    /// Users whose seats do not decode.
    pub(crate) damaged: Counter,
}

impl Health {
    pub(crate) fn new(pause: Duration) -> Self {
        Self {
            begun: Instant::now(),
            pause,
            failing_until_ms: AtomicU64::new(0),
            calls: Counter::default(),
            failures: Counter::default(),
            contested: Counter::default(),
            damaged: Counter::default(),
        }
    }

    /// # Errors
    /// While the last call failed and its pause lasts.
    pub(crate) fn may_call(&self) -> Result<(), RoutesError> {
        self.calls.add(1);
        if self.now_ms() < self.failing_until_ms.load(Ordering::Relaxed) {
            self.failures.add(1);
            return Err(RoutesError("it did not answer a moment ago".into()));
        }
        Ok(())
    }

    /// Notes how a call went. Only silence is paused for: what is wrong with one user is no reason to leave the others.
    pub(crate) fn judge<T>(&self, result: Result<T, Trouble>) -> Result<T, RoutesError> {
        match &result {
            Ok(_) => {
                if self.failing_until_ms.swap(0, Ordering::Relaxed) != 0 {
                    tracing::info!("routes are back");
                }
            }
            Err(Trouble::Wrong(what)) => {
                self.failures.add(1);
                tracing::error!(what, "routes");
            }
            Err(error @ Trouble::Silent(_)) => {
                self.failures.add(1);
                let pause_ms = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
                let until = self.now_ms().saturating_add(pause_ms).max(1);
                if self.failing_until_ms.swap(until, Ordering::Relaxed) == 0 {
                    tracing::warn!(%error, "no live deliveries until routes are back; nothing is lost");
                }
            }
        }
        result.map_err(|trouble| RoutesError(trouble.to_string()))
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.failing_until_ms.load(Ordering::Relaxed) == 0
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Source for Health {
    fn samples(&self, into: &mut Vec<Sample>) {
        let mut add = |name, help, kind, value| into.push(Sample::of(name, help, kind, value));
        add(
            "routes_calls_total",
            "Calls to the routes: puts, removes, look-ups, renewals.",
            SampleKind::Counter,
            self.calls.value(),
        );
        add(
            "routes_failures_total",
            "Calls to the routes that had no answer.",
            SampleKind::Counter,
            self.failures.value(),
        );
        add(
            "routes_contested_total",
            "Puts that had to look at leases before they could be decided.",
            SampleKind::Counter,
            self.contested.value(),
        );
        add(
            "routes_damaged_total",
            "Users whose routes are not ours to read.",
            SampleKind::Counter,
            self.damaged.value(),
        );
        add(
            "routes_reachable",
            "1 while the routes answer.",
            SampleKind::Gauge,
            u64::from(self.is_answering()),
        );
    }
}
