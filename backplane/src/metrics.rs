//! Counters that one thread writes and the admin address reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number one thread changes and others read: relaxed, because nothing is ordered by it.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One line of the exposition.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// Without the prefix `millpond_`; counters end in `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: SampleKind,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SampleKind {
    Counter,
    Gauge,
}

/// Something that has numbers to show.
pub trait Source: Send + Sync {
    fn samples(&self, into: &mut Vec<Sample>);
}
