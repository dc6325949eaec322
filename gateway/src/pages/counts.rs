//! What all readers of a gateway write to the routes: shown so that a write for every heartbeat would be seen.

use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};

#[derive(Default, Debug)]
pub(crate) struct RouteCounts {
    /// Routes put or removed.
    pub(super) writes: Counter,
    /// Calls that put or removed some.
    pub(super) batches: Counter,
    pub(super) renewals: Counter,
    pub(super) losses: Counter,
    /// 1 when a later epoch of this gateway has begun.
    pub(super) ended: Counter,
}

impl RouteCounts {
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.value() > 0
    }

    pub(super) fn wrote(&self, routes: usize) {
        self.writes.add(routes as u64);
        self.batches.add(1);
    }
}

impl Source for RouteCounts {
    fn samples(&self, into: &mut Vec<Sample>) {
        let counters = [
            (
                "gateway_route_writes_total",
                "Routes put or removed.",
                &self.writes,
            ),
            (
                "gateway_route_batches_total",
                "Calls that put or removed routes.",
                &self.batches,
            ),
            (
                "gateway_lease_renewals_total",
                "Renewals of the lease of this gateway's routes.",
                &self.renewals,
            ),
            (
                "gateway_routes_lost_total",
                "Times that all routes were lost, and put again.",
                &self.losses,
            ),
        ];
        let sample = |(name, help, counter): (_, _, &Counter)| {
            Sample::of(name, help, SampleKind::Counter, counter.value())
        };
        into.extend(counters.map(sample));
    }
}
