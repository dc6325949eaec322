//! The figures of `bench echo`.

use super::Round;
use crate::latency::{Latency, Origin, Summary};
use crate::perf::Counts;
use crate::report::{Figures, Report, Series, Spread, Table};
use serde::Serialize;

/// All rounds of one side.
#[derive(Clone, Default, Debug)]
pub(crate) struct Kept {
    pub(crate) rounds: Vec<Round>,
    /// With the messages they were counted over.
    pub(crate) counts: Option<(Counts, u64)>,
}

impl Kept {
    pub(crate) fn ended_early(&self) -> bool {
        self.rounds
            .iter()
            .any(|round| round.driven.interrupted || round.driven.fault.is_some())
    }

    /// Reasons why this side says nothing.
    pub(crate) fn void(&self, name: &str, lag_limit_ms: f64) -> Option<String> {
        let mut lag = Latency::default();
        self.rounds
            .iter()
            .for_each(|round| lag.merge(&round.driven.lag));
        let p99_ms = lag.quantile_ns(0.99)? as f64 / 1e6;
        (p99_ms > lag_limit_ms).then(|| {
            format!("{name}: the generator was {p99_ms:.1} ms late at its 99th percentile (limit {lag_limit_ms} ms)")
        })
    }

    /// Latencies of all rounds, and messages per second of one round behind the other.
    pub(crate) fn draw(&self, name: &str, open: bool, report: &mut Report<impl Figures>) {
        let rounds = &self.rounds;
        report.histogram(name, origin(open), &self.latency());
        let seconds = rounds.iter().flat_map(|round| &round.driven.per_second);
        let seconds = seconds.map(|&answered| answered as f64);
        report.series(Series::per_second(name, "messages/s", seconds));
    }

    fn latency(&self) -> Latency {
        let mut latency = Latency::default();
        let rounds = self.rounds.iter();
        rounds.for_each(|round| latency.merge(&round.latency));
        latency
    }

    pub(crate) fn violations(&self, name: &str) -> Vec<String> {
        let lost = self.rounds.iter().map(|round| round.lost).sum::<u64>();
        let interrupted = self.rounds.iter().any(|round| round.driven.interrupted);
        let lost = (lost > 0 && !interrupted)
            .then(|| format!("{name}: {lost} messages were never answered"));
        let faults = self
            .rounds
            .iter()
            .filter_map(|round| round.driven.fault.as_ref());
        faults
            .map(|fault| format!("{name}: {fault}"))
            .chain(lost)
            .collect()
    }
}

fn origin(open: bool) -> Origin {
    if open {
        Origin::IntendedSend
    } else {
        Origin::ActualSend
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct EchoFigures {
    pub raw: SideFigures,
    pub gateway: SideFigures,
    /// Server CPU time per message, gateway ÷ raw, of neighbouring rounds.
    pub server_cpu_ratio: Option<Spread>,
    /// System calls per message, gateway ÷ raw.
    pub system_calls_ratio: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SideFigures {
    pub messages_per_second: Option<Spread>,
    pub server_ns_per_message: Option<Spread>,
    /// Share of one core that the generator used: near 1, it was the limit.
    pub client_share: Option<Spread>,
    pub latency: Summary,
    pub lag_p99_us: Option<f64>,
    pub system_calls_per_message: Option<f64>,
    pub instructions_per_message: Option<f64>,
    pub rounds: Vec<RoundFigures>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RoundFigures {
    /// Answered in the window.
    pub messages: u64,
    /// Answered in the whole round.
    pub messages_in_all: u64,
    pub window_ms: f64,
    pub messages_per_second: f64,
    pub server_ns_per_message: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub lost: u64,
    /// Raw series, warm-up included.
    pub per_second: Vec<u64>,
}

impl EchoFigures {
    pub(crate) fn new(kept: &[Kept; 2], open: bool) -> Self {
        let [raw, gateway] = kept.each_ref().map(|kept| SideFigures::new(kept, open));
        let pairs = raw.rounds.iter().zip(&gateway.rounds);
        let ratios = pairs.filter_map(|(raw, gateway)| {
            Some(gateway.server_ns_per_message? / raw.server_ns_per_message?)
        });
        let calls = gateway
            .system_calls_per_message
            .zip(raw.system_calls_per_message);
        Self {
            server_cpu_ratio: Spread::of(ratios),
            system_calls_ratio: calls.map(|(gateway, raw)| gateway / raw),
            raw,
            gateway,
        }
    }
}

impl SideFigures {
    fn new(kept: &Kept, open: bool) -> Self {
        let rounds = &kept.rounds;
        let mut lag = Latency::default();
        rounds.iter().for_each(|round| lag.merge(&round.driven.lag));
        let per_message = |count: fn(&Counts) -> Option<u64>| {
            let (counts, messages) = kept.counts.as_ref()?;
            Some(count(counts)? as f64 / (*messages).max(1) as f64)
        };
        Self {
            messages_per_second: Spread::of(
                rounds.iter().map(|round| round.driven.per_second_mean()),
            ),
            server_ns_per_message: Spread::of(
                rounds
                    .iter()
                    .filter_map(|round| round.driven.server_ns_per_message()),
            ),
            client_share: Spread::of(rounds.iter().map(|round| round.driven.client_share())),
            latency: kept.latency().summary(origin(open)),
            lag_p99_us: lag.quantile_ns(0.99).map(crate::latency::microseconds),
            system_calls_per_message: per_message(|counts| counts.system_calls),
            instructions_per_message: per_message(|counts| counts.instructions),
            rounds: rounds.iter().map(RoundFigures::new).collect(),
        }
    }
}

impl RoundFigures {
    fn new(round: &Round) -> Self {
        let quantile = |at| {
            round
                .latency
                .quantile_ns(at)
                .map(crate::latency::microseconds)
        };
        Self {
            messages: round.driven.answered,
            messages_in_all: round.answered,
            window_ms: round.driven.window_ns as f64 / 1e6,
            messages_per_second: round.driven.per_second_mean(),
            server_ns_per_message: round.driven.server_ns_per_message(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            lost: round.lost,
            per_second: round.driven.per_second.clone(),
        }
    }
}

impl Figures for EchoFigures {
    fn table(&self) -> Table {
        let sides = [&self.raw, &self.gateway];
        let median = |of: fn(&SideFigures) -> Option<Spread>| {
            sides.map(|side| of(side).map(|spread| spread.median))
        };
        let mut table = Table::default();
        table.row(["", "raw echo", "gateway"]);
        table.numbers("messages/s", median(|side| side.messages_per_second));
        table.numbers(
            "server CPU ns/message",
            median(|side| side.server_ns_per_message),
        );
        table.numbers(
            "generator, share of a core",
            median(|side| side.client_share),
        );
        let from = match self.raw.latency.origin {
            Origin::IntendedSend => "from the intended send",
            Origin::ActualSend => "closed loop: queueing does not show",
        };
        table.numbers(
            &format!("latency p50 µs ({from})"),
            sides.map(|side| side.latency.p50_us),
        );
        table.numbers("latency p99 µs", sides.map(|side| side.latency.p99_us));
        table.numbers("latency max µs", sides.map(|side| side.latency.max_us));
        table.numbers("lost", sides.map(|side| Some(side.latency.lost as f64)));
        if self.raw.lag_p99_us.is_some() {
            table.numbers("generator lag p99 µs", sides.map(|side| side.lag_p99_us));
        }
        table.numbers(
            "server system calls/message",
            sides.map(|side| side.system_calls_per_message),
        );
        table.numbers(
            "server instructions/message",
            sides.map(|side| side.instructions_per_message),
        );
        if let Some(ratio) = self.server_cpu_ratio {
            table.row(["".to_owned(), String::new(), String::new()]);
            let spread = format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max);
            table.row([
                "server CPU, gateway ÷ raw (min–max)".to_owned(),
                String::new(),
                spread,
            ]);
        }
        table
    }
}
