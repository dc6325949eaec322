//! The figures of `bench messages`.

use super::Done;
use super::client::MessagesClient;
use crate::latency::{Origin, Summary, microseconds};
use crate::report::{Figures, Judged, Report, Series, Table};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct MessagesFigures {
    pub phases: Vec<PhaseFigures>,
    /// Times that clients asked for missing records, the first of each included.
    pub syncs: u64,
    /// RECEIPT frames that came: delivered positions of partners.
    pub receipts: u64,
    pub checker: Judged,
}

#[derive(Clone, Debug, Serialize)]
pub struct PhaseFigures {
    pub name: &'static str,
    /// Messages per second that the schedule meant; `None` in a closed loop.
    pub rate: Option<u32>,
    /// Durable, acked and delivered, in the window.
    pub messages: u64,
    pub messages_per_second: f64,
    pub ack: Summary,
    pub delivery: Summary,
    /// The longest time without any ack while one was awaited.
    pub longest_ack_gap_ms: f64,
    pub server_us_per_message: Option<f64>,
    pub client_share: f64,
    pub lag_p99_us: Option<f64>,
    pub rows_per_message: Option<f64>,
    pub messages_per_commit: Option<f64>,
    pub system_calls_per_message: Option<f64>,
    pub instructions_per_message: Option<f64>,
    /// SENDs that the server wanted repeated.
    pub repeats: u64,
    /// Raw series, warm-up included.
    pub per_second: Vec<u64>,
}

impl MessagesFigures {
    pub(super) fn new(phases: &[Done], client: &MessagesClient) -> Self {
        Self {
            phases: phases.iter().map(PhaseFigures::new).collect(),
            syncs: client.syncs,
            receipts: client.receipts,
            checker: client.judge(),
        }
    }
}

impl PhaseFigures {
    fn new(done: &Done) -> Self {
        let (driven, phase) = (&done.driven, &done.phase);
        let origin = done.origin();
        let complete = done.complete.max(1) as f64;
        let counted = |count: Option<u64>| count.map(|count| count as f64 / complete);
        Self {
            name: done.name,
            rate: done.rate,
            messages: driven.answered,
            messages_per_second: driven.per_second_mean(),
            ack: phase.ack.summary(origin),
            delivery: phase.delivery.summary(origin),
            longest_ack_gap_ms: phase.stall_ns as f64 / 1e6,
            server_us_per_message: driven.server_ns_per_message().map(|ns| ns / 1e3),
            client_share: driven.client_share(),
            lag_p99_us: driven.lag.quantile_ns(0.99).map(microseconds),
            rows_per_message: done.rows.map(|rows| rows / complete),
            messages_per_commit: done.commits.map(|commits| complete / commits.max(1.0)),
            system_calls_per_message: counted(done.counts.and_then(|counts| counts.system_calls)),
            instructions_per_message: counted(done.counts.and_then(|counts| counts.instructions)),
            repeats: phase.repeats,
            per_second: driven.per_second.clone(),
        }
    }
}

impl Done {
    fn origin(&self) -> Origin {
        if self.rate.is_some() {
            Origin::IntendedSend
        } else {
            Origin::ActualSend
        }
    }

    /// Latencies and messages per second; not with perf attached, whose times do not count.
    pub(super) fn draw(&self, report: &mut Report<impl Figures>) {
        if self.counts.is_some() {
            return;
        }
        for (what, latency) in [("ack", &self.phase.ack), ("delivery", &self.phase.delivery)] {
            report.histogram(format!("{what}, {}", self.name), self.origin(), latency);
        }
        let seconds = self.driven.per_second.iter();
        let seconds = seconds.map(|&answered| answered as f64);
        report.series(Series::per_second(self.name, "messages/s", seconds));
    }
}

impl Figures for MessagesFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let names = self.phases.iter().map(|phase| match phase.rate {
            Some(rate) => format!("{} at {rate}/s", phase.name),
            None => phase.name.to_owned(),
        });
        table.row(std::iter::once(String::new()).chain(names));
        let mut line = |name: &str, of: fn(&PhaseFigures) -> Option<f64>| {
            table.numbers(name, self.phases.iter().map(of));
        };
        line("durable messages/s", |phase| {
            Some(phase.messages_per_second)
        });
        line("ack p50 µs", |phase| phase.ack.p50_us);
        line("ack p99 µs", |phase| phase.ack.p99_us);
        line("ack max µs", |phase| phase.ack.max_us);
        line("delivery p50 µs", |phase| phase.delivery.p50_us);
        line("delivery p99 µs", |phase| phase.delivery.p99_us);
        line("delivery max µs", |phase| phase.delivery.max_us);
        line("longest time without an ack ms", |phase| {
            Some(phase.longest_ack_gap_ms)
        });
        line("never acked or delivered", |phase| {
            Some(phase.delivery.lost.max(phase.ack.lost) as f64)
        });
        line("server CPU µs/message", |phase| {
            phase.server_us_per_message
        });
        line("generator, share of a core", |phase| {
            Some(phase.client_share)
        });
        if self.phases.iter().any(|phase| phase.lag_p99_us.is_some()) {
            line("generator lag p99 µs", |phase| phase.lag_p99_us);
        }
        line("rows/message", |phase| phase.rows_per_message);
        line("messages/commit", |phase| phase.messages_per_commit);
        line("server system calls/message", |phase| {
            phase.system_calls_per_message
        });
        line("server instructions/message", |phase| {
            phase.instructions_per_message
        });
        line("repeats asked for", |phase| Some(phase.repeats as f64));
        let judged = &self.checker;
        table.row([format!(
            "checker: {} operations in {} conversations, {}{}",
            judged.operations,
            judged.conversations,
            if judged.violations.is_empty() {
                "nothing is wrong"
            } else {
                "VIOLATED"
            },
            if judged.sender_order_judged {
                ""
            } else {
                " (order of senders not judged: repeats)"
            },
        )]);
        table
    }
}
