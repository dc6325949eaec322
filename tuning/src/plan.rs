//! What a number of connections needs, and how many some memory holds: constants, multiplied in the open.
//!
//! Pure arithmetic, rounded against the planner: needs up, what fits down. Called by `millpond tune plan` and by `check`,
//! which asks for the same needs.

use crate::Sure;
use crate::constants::{
    CLIENT_BYTES, CONNECTS_PER_CORE_SECOND, CORE_USED_PER_MILLE, DESCRIPTORS_BESIDE, KERNEL_BYTES,
    MEMORY_RESERVE_PER_MILLE, MESSAGE_NANOSECONDS, MESSAGE_WIRE_BYTES, PING_NANOSECONDS,
    PING_SECONDS, PING_WIRE_BYTES, PORTS_USED_PER_MILLE, QUEUED_PER_MILLE, RING_BYTES,
    RING_LOCKED_BYTES, RING_SLOTS_MAX, TLS_BYTES, USER_BYTES,
};
use serde::Serialize;

/// Beyond this nothing is planned; it keeps every product inside of 64 bits.
pub const CONNECTIONS_MAX: u64 = 1 << 32;
pub const RATE_MAX: u64 = 1 << 32;

/// What the connections do, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Load {
    pub tls: bool,
    /// Durable 1:1 messages a second, all together. At most [`RATE_MAX`].
    pub rate_per_second: u64,
    /// The clients are on the same machine.
    pub clients_here: bool,
    /// RLIMIT_NOFILE, which bounds the table of each ring.
    pub open_files: u64,
    pub page_bytes: u64,
    /// Ephemeral ports of one source address.
    pub ports: u64,
}

impl Default for Load {
    /// Idle, plain, a limit of open files that binds nothing.
    fn default() -> Self {
        Self {
            tls: false,
            rate_per_second: 0,
            clients_here: false,
            open_files: RING_SLOTS_MAX,
            page_bytes: 4_096,
            ports: 60_999 - 32_768 + 1,
        }
    }
}

/// One thing that is needed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Need {
    pub what: &'static str,
    pub value: u64,
    pub unit: Unit,
    /// The arithmetic, in words and numbers.
    pub how: String,
    pub sure: Sure,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Bytes,
    BitsPerSecond,
    Count,
    Seconds,
}

/// Everything that so many connections need.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Plan {
    pub connections: u64,
    pub load: Load,
    /// The whole machine's, reserve included; the sum of the parts below.
    pub memory_bytes: u64,
    pub rings: u64,
    pub slots_per_ring: u64,
    pub locked_bytes: u64,
    pub tcp_memory_pages: u64,
    pub files: u64,
    pub cores: u64,
    pub source_addresses: u64,
    /// Memory, part by part.
    pub memory: Vec<Need>,
    /// The rest.
    pub needs: Vec<Need>,
}

/// `connections` beyond [`CONNECTIONS_MAX`] are planned as that many.
#[must_use]
pub fn plan(connections: u64, load: &Load) -> Plan {
    let connections = connections.min(CONNECTIONS_MAX);
    let ends = 1 + u64::from(load.clients_here);
    let slots_per_ring = slots_per_ring(load);
    let rings = connections.div_ceil(slots_per_ring);
    let queued = (connections * ends * QUEUED_PER_MILLE).div_ceil(1_000);
    let mut plan = Plan {
        connections,
        load: load.clone(),
        memory_bytes: 0,
        rings,
        slots_per_ring,
        locked_bytes: rings * RING_LOCKED_BYTES,
        tcp_memory_pages: queued,
        files: connections * ends + DESCRIPTORS_BESIDE,
        cores: cores(connections, load),
        source_addresses: connections.div_ceil(ports_usable(load)),
        memory: Vec::new(),
        needs: Vec::new(),
    };
    plan.memory = memory(&plan);
    plan.memory_bytes = sum(&plan.memory);
    plan.needs = needs(&plan);
    plan
}

/// The most connections whose plan fits into so much memory.
#[must_use]
pub fn fitting(memory_bytes: u64, load: &Load) -> u64 {
    let (mut fits, mut too_many) = (0, CONNECTIONS_MAX + 1);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if plan(middle, load).memory_bytes <= memory_bytes {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    fits
}

/// One slot is the listener's.
fn slots_per_ring(load: &Load) -> u64 {
    load.open_files.clamp(2, RING_SLOTS_MAX) - 1
}

fn ports_usable(load: &Load) -> u64 {
    (load.ports.min(1 << 16) * PORTS_USED_PER_MILLE / 1_000).max(1)
}

fn cores(connections: u64, load: &Load) -> u64 {
    let pings = connections.div_ceil(PING_SECONDS) * PING_NANOSECONDS;
    let messages = load.rate_per_second.min(RATE_MAX) * MESSAGE_NANOSECONDS;
    let nanoseconds = (pings + messages) * 1_000 / CORE_USED_PER_MILLE;
    nanoseconds.div_ceil(1_000_000_000).max(1)
}

fn sum(needs: &[Need]) -> u64 {
    needs.iter().map(|need| need.value).sum()
}

fn memory(plan: &Plan) -> Vec<Need> {
    let n = plan.connections;
    let each = |what, bytes: u64, sure| Need {
        what,
        value: n * bytes,
        unit: Unit::Bytes,
        how: format!("{n} × {bytes} B"),
        sure,
    };
    let mut parts = vec![
        each(
            "kernel: sockets, files, armed polls",
            KERNEL_BYTES,
            Sure::Measured,
        ),
        each(
            "user: slab entries and their share",
            USER_BYTES,
            Sure::RuleOfThumb,
        ),
    ];
    if plan.load.tls {
        parts.push(each(
            "TLS: connection objects and keys",
            TLS_BYTES,
            Sure::Measured,
        ));
    }
    if plan.load.clients_here {
        parts.push(each(
            "clients on this machine",
            CLIENT_BYTES,
            Sure::Measured,
        ));
    }
    let rings = plan.rings;
    parts.push(Need {
        what: "rings, their tables and buffers",
        value: rings * RING_BYTES,
        unit: Unit::Bytes,
        how: format!("{rings} × {RING_BYTES} B"),
        sure: Sure::RuleOfThumb,
    });
    let (pages, page_bytes) = (plan.tcp_memory_pages, plan.load.page_bytes.min(1 << 20));
    parts.push(Need {
        what: "data queued in sockets",
        value: pages * page_bytes,
        unit: Unit::Bytes,
        how: format!("{pages} pages × {page_bytes} B: one for {QUEUED_PER_MILLE} of 1000 sockets"),
        sure: Sure::RuleOfThumb,
    });
    parts.push(reserve(sum(&parts)));
    parts
}

/// A share of the whole, so that what is left is exactly the parts.
fn reserve(parts: u64) -> Need {
    let left = 1_000 - MEMORY_RESERVE_PER_MILLE;
    let whole = (u128::from(parts) * 1_000).div_ceil(u128::from(left));
    Need {
        what: "kept free for the system",
        value: u64::try_from(whole)
            .unwrap_or(u64::MAX)
            .saturating_sub(parts),
        unit: Unit::Bytes,
        how: format!("{MEMORY_RESERVE_PER_MILLE} of 1000 of the whole"),
        sure: Sure::RuleOfThumb,
    }
}

fn needs(plan: &Plan) -> Vec<Need> {
    let mut needs = counts(plan);
    needs.extend(rates(plan));
    if plan.load.clients_here {
        let ports = ports_usable(&plan.load);
        needs.push(count(
            "source addresses of the clients",
            plan.source_addresses,
            format!("{} ÷ {ports} ports, half of the range", plan.connections),
            Sure::Measured,
        ));
    }
    needs
}

fn count(what: &'static str, value: u64, how: String, sure: Sure) -> Need {
    Need {
        what,
        value,
        unit: Unit::Count,
        how,
        sure,
    }
}

fn counts(plan: &Plan) -> Vec<Need> {
    let (n, rate) = (plan.connections, plan.load.rate_per_second.min(RATE_MAX));
    let pings = n.div_ceil(PING_SECONDS);
    vec![
        count(
            "cores",
            plan.cores,
            format!(
                "({pings} pings/s × {PING_NANOSECONDS} ns + {rate} messages/s × \
                 {MESSAGE_NANOSECONDS} ns) at {CORE_USED_PER_MILLE} of 1000 of a core"
            ),
            Sure::Measured,
        ),
        count(
            "rings",
            plan.rings,
            format!(
                "{n} ÷ {} slots: open files, at most {RING_SLOTS_MAX}",
                plan.slots_per_ring
            ),
            Sure::Documented,
        ),
        count(
            "open files of the machine (fs.file-max)",
            plan.files,
            format!("one for each socket, and {DESCRIPTORS_BESIDE}"),
            Sure::Documented,
        ),
        count(
            "tcp_mem, pressure mark, pages",
            plan.tcp_memory_pages,
            format!("{QUEUED_PER_MILLE} of 1000 sockets have a page queued; an idle one has none"),
            Sure::RuleOfThumb,
        ),
        Need {
            what: "locked memory (RLIMIT_MEMLOCK, without CAP_IPC_LOCK)",
            value: plan.locked_bytes,
            unit: Unit::Bytes,
            how: format!("{} rings × {RING_LOCKED_BYTES} B", plan.rings),
            sure: Sure::Measured,
        },
    ]
}

fn rates(plan: &Plan) -> Vec<Need> {
    let (n, rate) = (plan.connections, plan.load.rate_per_second.min(RATE_MAX));
    let pings = n.div_ceil(PING_SECONDS);
    let wire = pings * PING_WIRE_BYTES + rate * MESSAGE_WIRE_BYTES;
    let network = Need {
        what: "network, both directions",
        value: wire * 8,
        unit: Unit::BitsPerSecond,
        how: format!(
            "({pings} pings × {PING_WIRE_BYTES} B + {rate} messages × {MESSAGE_WIRE_BYTES} B) × 8"
        ),
        sure: Sure::RuleOfThumb,
    };
    let storm = Need {
        what: "everybody back after a restart, at best",
        value: n.div_ceil(plan.cores * CONNECTS_PER_CORE_SECOND),
        unit: Unit::Seconds,
        how: format!(
            "{n} ÷ ({} cores × {CONNECTS_PER_CORE_SECOND}/s)",
            plan.cores
        ),
        sure: Sure::Measured,
    };
    vec![network, storm]
}

#[cfg(test)]
mod tests;
