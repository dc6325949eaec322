//! What a gateway's limits add up to: the most memory each part of a shard can take, printed at start.

use crate::config::{Config, Limits};
use crate::counts::Board;
use crate::pages::{Ask, BATCH_MAX, HEADS_WAITING_MAX, Reply, page_reading_bytes};
use crate::shard::{EXTRAS_BYTES, SPARES_BYTES_MAX};
use crate::slab::ENTRY_BYTES;
use crate::tables::Tables;
use crate::wheel::WHEEL_BYTES;
use millpond_backplane::link::{self, Downlink};
use millpond_backplane::routes::Route;
use millpond_backplane::{Entry, log};
use millpond_ring::Plan;
use millpond_wire::{ECHO_BYTES_MAX, HEAD_BYTES_MAX};
use std::fmt;

/// Bytes of a shard, by part, when every limit is reached at once; and of all shards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Budget {
    pub shards: u16,
    pub connections_max: u32,
    /// Of one shard: what it is, and its bytes.
    pub parts: Vec<(&'static str, usize)>,
    /// Rings of one shard, which open as they are needed, and the sockets of each.
    pub rings_max: u16,
    pub slots: u32,
    /// When the limit of open files allows fewer connections than configured: that limit.
    pub open_files: Option<u64>,
}

impl Budget {
    pub(crate) fn of(config: &Config, tables: &Tables) -> Self {
        let limits = &config.limits;
        Self {
            shards: config.shards,
            connections_max: limits.connections_max,
            parts: parts(limits, &tables.plan, usize::from(config.shards)),
            rings_max: tables.plan.rings_max,
            slots: tables.plan.first.slots,
            open_files: tables.bound_by,
        }
    }

    /// And the queues between a shard and its router, of so many entries each way.
    #[must_use]
    pub fn with_queues(mut self, entries_max: usize, hints_max: usize) -> Self {
        let entries = entries_max * size_of::<Entry>() + log::QUEUE_BYTES_MAX;
        let hints = hints_max * size_of::<Downlink>() + link::QUEUE_BYTES_MAX;
        self.parts.push(("queue to the router", entries));
        self.parts.push(("queue from the router", hints));
        self
    }

    pub fn shard_bytes(&self) -> usize {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    pub fn bytes(&self) -> usize {
        self.shard_bytes() * usize::from(self.shards)
    }
}

fn parts(limits: &Limits, plan: &Plan, shards: usize) -> Vec<(&'static str, usize)> {
    let connections = limits.connections_max as usize;
    let readers = usize::from(limits.page_readers);
    let asks = limits.page_asks_max * readers;
    let replies = limits.page_asks_max * (shards + 1) * readers;
    let heads = HEADS_WAITING_MAX * readers;
    let unrouted = connections * readers;
    let pages = asks * limits.page_bytes_max;
    let reading = readers * BATCH_MAX * page_reading_bytes(limits.page_bytes_max);
    vec![
        ("rings, their buffers and slots", plan.bytes()),
        ("idle connections", connections * ENTRY_BYTES),
        ("extras of busy connections", connections * EXTRAS_BYTES),
        ("timer wheel", WHEEL_BYTES),
        ("unfinished frames", limits.partial_bytes_max),
        (
            "outboxes",
            limits.outboxes_bytes_max + limits.outbox_room_bytes,
        ),
        (
            "one answer more for each connection",
            connections * (ECHO_BYTES_MAX + HEAD_BYTES_MAX),
        ),
        ("spare buffers", SPARES_BYTES_MAX),
        (
            "questions and answers in queues",
            (asks + heads) * size_of::<Ask>() + replies * size_of::<Reply>(),
        ),
        ("routes that have to go", unrouted * size_of::<Route>()),
        ("pages on their way", pages),
        ("messages read for pages", reading.div_ceil(shards)),
        (
            "hints of one turn",
            limits.downlinks_per_turn * size_of::<Downlink>() + link::QUEUE_BYTES_MAX,
        ),
        ("counts", size_of::<Board>()),
    ]
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} shard(s) of at most {} connections each; at most {} a shard, {} in all",
            self.shards,
            self.connections_max,
            Size(self.shard_bytes()),
            Size(self.bytes()),
        )?;
        if self.rings_max > 1 {
            writeln!(
                f,
                "  in up to {} rings a shard, of {} sockets each, opened as they are needed",
                self.rings_max, self.slots
            )?;
        }
        if let Some(limit) = self.open_files {
            writeln!(
                f,
                "  the limit of open files ({limit}) binds; for more connections: ulimit -n 1048576"
            )?;
        }
        for (part, bytes) in &self.parts {
            writeln!(f, "  {:>10}  {part}", Size(*bytes).to_string())?;
        }
        Ok(())
    }
}

/// Bytes in the largest unit that keeps two digits.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
        let mut value = self.0;
        let mut unit = 0;
        while value >= 10 * 1024 && unit + 1 < UNITS.len() {
            value /= 1024;
            unit += 1;
        }
        write!(f, "{value} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queues_to_and_from_the_router_count() {
        let budget = Budget {
            shards: 2,
            connections_max: 1,
            parts: Vec::new(),
            rings_max: 1,
            slots: 2,
            open_files: None,
        };
        let bytes = budget.with_queues(4_096, 16_384).shard_bytes();
        let least = log::QUEUE_BYTES_MAX + link::QUEUE_BYTES_MAX;
        assert!((least..2 * least).contains(&bytes), "{bytes}");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(Size(9_000).to_string(), "9000 B");
        assert_eq!(Size(64 * 1024).to_string(), "64 KiB");
        assert_eq!(Size(64 << 20).to_string(), "64 MiB");
    }
}
