//! What the log counts.

use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default, Debug)]
pub(crate) struct Counts {
    pub(crate) envelopes: Counter,
    pub(crate) entries: Counter,
    /// Entries whose delivery failed or is not known.
    pub(crate) failed: Counter,
    /// Entries that found no room.
    pub(crate) refused: Counter,
    delivery_us: Counter,
    delivery_us_max: AtomicU64,
    pub(crate) read_envelopes: Counter,
    pub(crate) moves: Counter,
    pub(crate) stalls: Counter,
    pub(crate) corrupt: Counter,
    pub(crate) errors: Counter,
    /// Brokers were out of reach when last heard of.
    pub(crate) down: Counter,
}

impl Counts {
    pub(crate) fn delivered(&self, entries: u64, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.envelopes.add(1);
        self.entries.add(entries);
        self.delivery_us.add(us);
        self.delivery_us_max.fetch_max(us, Ordering::Relaxed);
        self.down.set(0);
    }
}

/// Name, help, kind and value.
type Number = (&'static str, &'static str, SampleKind, u64);

impl Counts {
    fn written(&self) -> [Number; 6] {
        // The longest since it was last asked for.
        let longest = self.delivery_us_max.swap(0, Ordering::Relaxed);
        [
            (
                "log_envelopes_total",
                "Envelopes that every replica has.",
                SampleKind::Counter,
                self.envelopes.value(),
            ),
            (
                "log_entries_total",
                "Entries in them.",
                SampleKind::Counter,
                self.entries.value(),
            ),
            (
                "log_failed_total",
                "Entries whose delivery failed, or is not known.",
                SampleKind::Counter,
                self.failed.value(),
            ),
            (
                "log_refused_total",
                "Entries that found no room.",
                SampleKind::Counter,
                self.refused.value(),
            ),
            (
                "log_delivery_microseconds_total",
                "From an envelope's leaving to the report of its delivery.",
                SampleKind::Counter,
                self.delivery_us.value(),
            ),
            (
                "log_delivery_microseconds_max",
                "The longest of them since this was last asked for.",
                SampleKind::Gauge,
                longest,
            ),
        ]
    }

    fn read(&self) -> [Number; 6] {
        [
            (
                "log_stalls_total",
                "Times that a partition had something which did not come.",
                SampleKind::Counter,
                self.stalls.value(),
            ),
            (
                "log_read_envelopes_total",
                "Envelopes read.",
                SampleKind::Counter,
                self.read_envelopes.value(),
            ),
            (
                "log_moves_total",
                "Times that a reader went to another place.",
                SampleKind::Counter,
                self.moves.value(),
            ),
            (
                "log_corrupt_total",
                "Records that do not decode.",
                SampleKind::Counter,
                self.corrupt.value(),
            ),
            (
                "log_errors_total",
                "What the brokers or their connections complained of.",
                SampleKind::Counter,
                self.errors.value(),
            ),
            (
                "log_down",
                "1 while no broker answers.",
                SampleKind::Gauge,
                self.down.value(),
            ),
        ]
    }
}

impl Source for Counts {
    fn samples(&self, into: &mut Vec<Sample>) {
        let numbers = self.written().into_iter().chain(self.read());
        into.extend(numbers.map(|(name, help, kind, value)| Sample::of(name, help, kind, value)));
    }
}
