//! The latencies of one operation, as a report keeps them: a summary and a curve for people, the whole histogram for
//! the log.

use crate::latency::{Latency, Origin, Point, Summary};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Distribution {
    /// The operation: `echo`, `ack`, `delivery`.
    pub name: String,
    #[serde(flatten)]
    pub summary: Summary,
    /// Denser and deeper than the summary's quantiles, as far down the tail as there are values.
    pub curve: Vec<Point>,
    #[serde(skip)]
    pub(super) latency: Latency,
}

impl Distribution {
    pub(super) fn new(name: String, origin: Origin, latency: &Latency) -> Self {
        Self {
            name,
            summary: latency.summary(origin),
            curve: latency.curve(),
            latency: latency.clone(),
        }
    }
}
