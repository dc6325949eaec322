//! The numbers of the fused driver.

use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};
use millpond_wire::Code;

/// Written by the writer and the committer, read by whoever wants to know.
#[derive(Debug, Default)]
pub struct Counters {
    pub entries: Counter,
    pub messages: Counter,
    pub duplicates: Counter,
    pub deliveries: Counter,
    pub batches: Counter,
    pub commits: Counter,
    pub commit_failures: Counter,
    /// Wall time inside the store's commit.
    pub commit_us: Counter,
    pub rows: Counter,
    /// Rows of marks and devices among them.
    pub lazy_rows: Counter,
    pub hints_dropped: Counter,
    /// Records that no shard may send, or that came after a failure.
    pub entries_dropped: Counter,
    pub conversations: Counter,
    pub inboxes: Counter,
    pub dirty: Counter,
    refused: [Counter; REFUSALS.len() + 1],
}

/// The codes that a SEND is refused with; anything else is counted as 0.
const REFUSALS: [Code; 7] = [
    Code::FORBIDDEN,
    Code::NOT_FOUND,
    Code::TOO_LARGE,
    Code::ID_REUSED,
    Code::TOO_OLD,
    Code::UNAVAILABLE,
    Code::OUT_OF_ORDER,
];

impl Counters {
    pub(super) fn refused(&self, code: Code) {
        let place = REFUSALS.iter().position(|known| *known == code);
        self.refused[place.unwrap_or(REFUSALS.len())].add(1);
    }
}

impl Source for Counters {
    fn samples(&self, into: &mut Vec<Sample>) {
        let counters = [
            (
                "router_entries_total",
                "Records taken from the shards.",
                &self.entries,
            ),
            (
                "router_messages_total",
                "Messages sequenced.",
                &self.messages,
            ),
            (
                "router_duplicates_total",
                "SENDs answered with their first result.",
                &self.duplicates,
            ),
            (
                "router_deliveries_total",
                "Deliveries handed to connections.",
                &self.deliveries,
            ),
            (
                "router_batches_total",
                "Batches of records run.",
                &self.batches,
            ),
            (
                "router_commits_total",
                "Batches of rows made durable.",
                &self.commits,
            ),
            (
                "router_commit_failures_total",
                "Batches of rows that failed.",
                &self.commit_failures,
            ),
            (
                "router_commit_microseconds_total",
                "Time inside commits.",
                &self.commit_us,
            ),
            ("router_rows_total", "Rows written.", &self.rows),
            (
                "router_lazy_rows_total",
                "Rows of marks and devices among them.",
                &self.lazy_rows,
            ),
            (
                "router_hints_dropped_total",
                "Marks not told for want of room.",
                &self.hints_dropped,
            ),
            (
                "router_entries_dropped_total",
                "Records that could not be taken.",
                &self.entries_dropped,
            ),
        ];
        into.extend(counters.map(|(name, help, counter)| {
            Sample::of(name, help, SampleKind::Counter, counter.value())
        }));
        self.gauge_samples(into);
        self.refusal_samples(into);
    }
}

impl Counters {
    fn gauge_samples(&self, into: &mut Vec<Sample>) {
        let gauges = [
            (
                "router_conversations",
                "Conversations in memory.",
                &self.conversations,
            ),
            ("router_inboxes", "Inboxes in memory.", &self.inboxes),
            (
                "router_dirty_rows",
                "Rows of marks and devices that lag.",
                &self.dirty,
            ),
        ];
        into.extend(
            gauges.map(|(name, help, gauge)| {
                Sample::of(name, help, SampleKind::Gauge, gauge.value())
            }),
        );
    }

    fn refusal_samples(&self, into: &mut Vec<Sample>) {
        let codes = REFUSALS.iter().map(|code| code.0).chain([0]);
        for (code, counter) in codes.zip(&self.refused) {
            const HELP: &str = "SENDs refused, by code.";
            let refusals = Sample::of(
                "router_refused_total",
                HELP,
                SampleKind::Counter,
                counter.value(),
            );
            into.push(refusals.labelled("code", code.to_string()));
        }
    }
}
