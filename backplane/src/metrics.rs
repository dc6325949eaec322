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

impl Sample {
    /// Of a whole number, without labels. Beyond 2^53 its last digits are lost, as in every exposition.
    pub fn of(name: &'static str, help: &'static str, kind: SampleKind, value: u64) -> Self {
        Self {
            name,
            help,
            kind,
            labels: Vec::new(),
            #[expect(clippy::cast_precision_loss, reason = "an exposition is in floats")]
            value: value as f64,
        }
    }

    pub fn labelled(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((key, value.into()));
        self
    }
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
