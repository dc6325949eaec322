//! The figures of `bench router`.

use millpond_bench::report::{Figures, Table};
use millpond_bench::{Latency, Origin, SECOND_NS, Summary, microseconds};
use serde::Serialize;

/// What was counted between two moments.
#[derive(Debug, Default)]
pub(super) struct Counted {
    from_ns: u64,
    until_ns: u64,
    cpu_ns: u64,
    messages: u64,
    rows: u64,
    commits: u64,
    commit: Latency,
    durable: Latency,
    last_commit_ns: u64,
    stall_ns: u64,
    per_second: Vec<u64>,
    closed: bool,
    pub(super) refused: u64,
}

/// One durable batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) messages: u64,
    pub(super) rows: u64,
    /// Inside the store.
    pub(super) took_ns: u64,
    /// Since its turn began.
    pub(super) durable_ns: u64,
}

impl Counted {
    pub(super) fn open(now_ns: u64, cpu_ns: u64) -> Self {
        Self {
            from_ns: now_ns,
            cpu_ns,
            last_commit_ns: now_ns,
            ..Self::default()
        }
    }

    /// Whatever comes after does not count.
    pub(super) fn close(&mut self, now_ns: u64, cpu_ns: u64) {
        self.until_ns = now_ns;
        self.cpu_ns = cpu_ns.saturating_sub(self.cpu_ns);
        self.gap(now_ns);
        self.closed = true;
    }

    pub(super) fn commit(&mut self, commit: Commit, now_ns: u64) {
        if self.closed {
            return;
        }
        self.messages += commit.messages;
        self.rows += commit.rows;
        self.commits += 1;
        self.commit.record(commit.took_ns);
        self.durable.record_many(commit.durable_ns, commit.messages);
        self.gap(now_ns);
        let second = now_ns.saturating_sub(self.from_ns) / SECOND_NS;
        let second = usize::try_from(second).expect("a run lasts hours at most");
        if self.per_second.len() <= second {
            self.per_second.resize(second + 1, 0);
        }
        self.per_second[second] += commit.messages;
    }

    fn gap(&mut self, now_ns: u64) {
        let gap_ns = now_ns.saturating_sub(self.last_commit_ns);
        self.stall_ns = self.stall_ns.max(gap_ns);
        self.last_commit_ns = now_ns;
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct RouterFigures {
    messages: u64,
    messages_per_second: f64,
    rows_per_message: f64,
    messages_per_commit: f64,
    /// Time inside the store's commit, sync included.
    commit: Summary,
    /// From the turn that took a message to its durability.
    durable: Summary,
    longest_commit_gap_ms: f64,
    /// Of the whole process, the store's own threads included.
    cpu_us_per_message: f64,
    core_share: f64,
    /// Raw series of the window.
    per_second: Vec<u64>,
}

impl RouterFigures {
    pub(super) fn new(counted: &Counted) -> Self {
        let window_ns = counted.until_ns.saturating_sub(counted.from_ns).max(1) as f64;
        let messages = counted.messages.max(1) as f64;
        Self {
            messages: counted.messages,
            messages_per_second: counted.messages as f64 * SECOND_NS as f64 / window_ns,
            rows_per_message: counted.rows as f64 / messages,
            messages_per_commit: counted.messages as f64 / counted.commits.max(1) as f64,
            commit: counted.commit.summary(Origin::ActualSend),
            durable: counted.durable.summary(Origin::ActualSend),
            longest_commit_gap_ms: counted.stall_ns as f64 / 1e6,
            cpu_us_per_message: microseconds(counted.cpu_ns) / messages,
            core_share: counted.cpu_ns as f64 / window_ns,
            per_second: counted.per_second.clone(),
        }
    }
}

impl Figures for RouterFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let mut line = |name: &str, value| table.numbers(name, [value]);
        line("messages/s", Some(self.messages_per_second));
        line("rows/message", Some(self.rows_per_message));
        line("messages/commit", Some(self.messages_per_commit));
        line("commit p50 µs", self.commit.p50_us);
        line("commit p99 µs", self.commit.p99_us);
        line("commit max µs", self.commit.max_us);
        line("durable after p50 µs (closed loop)", self.durable.p50_us);
        line("durable after p99 µs", self.durable.p99_us);
        line(
            "longest time without a commit ms",
            Some(self.longest_commit_gap_ms),
        );
        line(
            "CPU µs/message, whole process",
            Some(self.cpu_us_per_message),
        );
        line("share of the core", Some(self.core_share));
        table
    }
}
