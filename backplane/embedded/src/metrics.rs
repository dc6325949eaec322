//! What the store shows of itself.

use crate::FjallStore;
use crate::write::Size;
use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};
use std::sync::Arc;
use std::time::Duration;

/// Written under the commit lock, read by anybody.
#[derive(Default, Debug)]
pub struct StoreMetrics {
    pub commits: Counter,
    pub rows: Counter,
    pub bytes: Counter,
    /// Whole commits: writing, syncing, inserting.
    pub commit_us: Counter,
    /// Of the slowest commit since the start.
    pub commit_us_max: Counter,
    /// Commits that had to wait for room.
    pub waits: Counter,
    pub wait_us: Counter,
    /// Syncs beside the commits, where those do not sync.
    pub syncs: Arc<Counter>,
}

impl StoreMetrics {
    pub(crate) fn committed(&self, size: Size, took: Duration) {
        let took_us = micros(took);
        self.commits.add(1);
        self.rows.add(size.rows);
        self.bytes.add(size.bytes);
        self.commit_us.add(took_us);
        self.commit_us_max
            .set(self.commit_us_max.value().max(took_us));
    }

    pub(crate) fn waited(&self, waited: Duration) {
        if !waited.is_zero() {
            self.waits.add(1);
            self.wait_us.add(micros(waited));
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Source for FjallStore {
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
                "store_waits_total",
                "Commits that had to wait for room",
                &metrics.waits,
            ),
            (
                "store_wait_microseconds_total",
                "Time commits waited for room",
                &metrics.wait_us,
            ),
            (
                "store_interval_syncs_total",
                "Syncs beside the commits, where those do not sync",
                &metrics.syncs,
            ),
        ];
        for (name, help, counter) in counters {
            into.push(Sample::of(name, help, SampleKind::Counter, counter.value()));
        }
        let engine = self.engine_numbers();
        let gauges = [
            (
                "store_commit_microseconds_max",
                "The slowest commit since the start",
                metrics.commit_us_max.value(),
            ),
            ("store_journals", "Journals on the disk", engine.journals),
            ("store_tables", "Table files", engine.table_files),
            (
                "store_sealed_memtables",
                "Memtables that wait to be written out",
                engine.sealed,
            ),
            (
                "store_memtable_bytes",
                "Bytes of all memtables",
                engine.memtable_bytes,
            ),
            (
                "store_cache_bytes",
                "Bytes of cached blocks",
                engine.cache_bytes,
            ),
        ];
        for (name, help, value) in gauges {
            into.push(Sample::of(name, help, SampleKind::Gauge, value));
        }
    }
}

/// What only the engine knows.
pub(crate) struct EngineNumbers {
    pub(crate) journals: u64,
    pub(crate) table_files: u64,
    pub(crate) sealed: u64,
    pub(crate) memtable_bytes: u64,
    pub(crate) cache_bytes: u64,
}
