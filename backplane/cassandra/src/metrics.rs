//! What the store shows of itself.

use crate::CassandraStore;
use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Written by every caller and by the driver's threads, read by anybody.
#[derive(Default, Debug)]
pub struct StoreMetrics {
    pub commits: Counter,
    pub rows: Counter,
    pub bytes: Counter,
    /// Whole commits: from the call to the last acknowledgement.
    pub commit_us: Counter,
    commit_us_max: AtomicU64,
    /// Requests to the cluster: pages read, parts of units written.
    pub requests: Counter,
    /// Requests that failed and were sent again.
    pub retries: Counter,
    /// Connections made because the one before had no node left.
    pub reconnects: Counter,
}

impl StoreMetrics {
    pub(crate) fn committed(&self, rows: u64, bytes: u64, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commits.add(1);
        self.rows.add(rows);
        self.bytes.add(bytes);
        self.commit_us.add(took_us);
        self.commit_us_max.fetch_max(took_us, Ordering::Relaxed);
    }

    /// Of the slowest commit since the start.
    pub fn commit_us_max(&self) -> u64 {
        self.commit_us_max.load(Ordering::Relaxed)
    }
}

impl Source for CassandraStore {
    fn samples(&self, into: &mut Vec<Sample>) {
        let metrics = self.metrics();
        let counters = [
            ("store_commits_total", "Batches committed", &metrics.commits),
            ("store_rows_total", "Rows written", &metrics.rows),
            (
                "store_bytes_total",
                "Bytes of keys and values written",
                &metrics.bytes,
            ),
            (
                "store_commit_microseconds_total",
                "Time spent in commits",
                &metrics.commit_us,
            ),
            (
                "store_requests_total",
                "Pages read and parts of units written",
                &metrics.requests,
            ),
            (
                "store_retries_total",
                "Requests that failed and were sent again",
                &metrics.retries,
            ),
            (
                "store_reconnects_total",
                "Connections made because the one before had no node left",
                &metrics.reconnects,
            ),
        ];
        for (name, help, counter) in counters {
            into.push(Sample::of(name, help, SampleKind::Counter, counter.value()));
        }
        let gauges = [
            (
                "store_commit_microseconds_max",
                "The slowest commit since the start",
                metrics.commit_us_max(),
            ),
            (
                "store_requests_in_flight",
                "Requests under way",
                self.in_flight() as u64,
            ),
        ];
        for (name, help, value) in gauges {
            into.push(Sample::of(name, help, SampleKind::Gauge, value));
        }
    }
}
