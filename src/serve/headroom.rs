//! How many connections this server has room for, and which limit binds first: for a person at the start, and in the
//! metrics for as long as it runs. Facts are read anew each time, since limits and memory change under a running server.

use super::process::gauge;
use millpond_backplane::metrics::{Sample, Source};
use millpond_gateway::Budget;
use millpond_tuning::{Headroom, Limits, Root, Wanted, headroom};
use std::fmt::Write as _;
use std::sync::Arc;

pub(super) struct Room {
    gateway: Arc<dyn Source>,
    wanted: Wanted,
}

impl Room {
    /// Of a gateway with this budget, whose numbers are `gateway`'s.
    pub(super) fn new(budget: &Budget, gateway: Arc<dyn Source>) -> Self {
        let shards = u64::from(budget.shards);
        let wanted = Wanted {
            connections_max: shards * u64::from(budget.connections_max),
            rings_max: shards * u64::from(budget.rings_max),
            slots_per_ring: budget.slots.into(),
            ..Wanted::default()
        };
        Self { gateway, wanted }
    }

    fn now(&self, root: &Root) -> (Headroom, u64) {
        let mut samples = Vec::new();
        self.gateway.samples(&mut samples);
        let wanted = Wanted {
            connections_now: sum(&samples, "gateway_connections"),
            rings_now: sum(&samples, "gateway_rings"),
            ..self.wanted.clone()
        };
        let held = wanted.connections_now;
        (headroom(&Limits::read(root), &wanted), held)
    }

    /// One line for the start.
    pub(super) fn line(&self) -> String {
        let (room, _) = self.now(&Root::default());
        let mut line = format!(
            "room for {} connections, bounded by {}",
            room.connections, room.binding
        );
        if let Some((next, connections)) = room.all.get(1) {
            let _never = write!(line, " (next {next}: {connections})");
        }
        let _never = write!(line, "; to lift it: {}", room.remedy);
        for unknown in &room.unknown {
            let _never = write!(line, "; not known: {}", unknown.file);
        }
        line
    }
}

impl Source for Room {
    fn samples(&self, into: &mut Vec<Sample>) {
        let (room, held) = self.now(&Root::default());
        into.push(count(
            "headroom_connections",
            "Connections that fit beside those held, by the limit that binds first.",
            room.connections,
        ));
        into.push(count(
            "capacity_connections",
            "Connections held, and those that fit beside them.",
            room.connections.saturating_add(held),
        ));
        into.extend(room.all.iter().map(|(limit, connections)| Sample {
            labels: vec![("limit", limit.name().to_owned())],
            ..count(
                "headroom_limit_connections",
                "Connections that fit beside those held, by each limit that bounds them.",
                *connections,
            )
        }));
        into.push(count(
            "headroom_facts_unknown",
            "Facts about the machine that could not be read; limits that hang on them are left out.",
            room.unknown.len() as u64,
        ));
    }
}

fn sum(samples: &[Sample], name: &str) -> u64 {
    let of_name = samples.iter().filter(|sample| sample.name == name);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of sockets and rings are whole and small"
    )]
    of_name.map(|sample| sample.value as u64).sum()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no machine holds 2^53 connections"
)]
fn count(name: &'static str, help: &'static str, value: u64) -> Sample {
    gauge(name, help, value as f64)
}
