//! How many more connections the machine can hold, which limit binds first, and what to type to lift it.
//!
//! Arithmetic over [`Limits`] and [`Wanted`] and nothing else: the same facts give the same number to admission, the
//! start-up line, the metrics and the planner. Rounds down everywhere; never counts a limit that could not be read, and
//! says so.

mod bounds;
mod remedy;

use crate::constants::{
    CLIENT_BYTES, KERNEL_BYTES, MEMORY_RESERVE_PER_MILLE, QUEUED_PER_MILLE, RING_BYTES,
    RING_LOCKED_BYTES, USER_BYTES,
};
use crate::limits::Limits;
use crate::root::Unknown;
use serde::Serialize;
use std::fmt;

/// What the server is set up to hold, and what one connection of it costs. All of the process, not of a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Held now; 0 at start.
    pub connections_now: u64,
    /// The configured bound; `u64::MAX` for none.
    pub connections_max: u64,
    /// Rings open now: their memory is already taken. 0 before the start.
    pub rings_now: u64,
    /// Rings that may be opened in all.
    pub rings_max: u64,
    /// Direct descriptors asked for in each ring, with those that hold no connection.
    pub slots_per_ring: u64,
    /// Of these, those that hold no connection (a listener, an eventfd).
    pub slots_beside_per_ring: u64,
    /// Queues, buffers and table of a ring, when it is open.
    pub bytes_per_ring: u64,
    /// Of these, what counts against the limit of locked memory.
    pub locked_bytes_per_ring: u64,
    pub kernel_bytes_per_connection: u64,
    pub user_bytes_per_connection: u64,
    /// User memory that connections and rings may take together; `None` for as much as there is.
    pub budget_bytes: Option<u64>,
    /// Of a thousand connections, those with a page of data queued at the same moment.
    pub queued_per_mille: u64,
    /// Of a thousand bytes of the machine's memory, those kept free for everything else.
    pub memory_reserve_per_mille: u64,
    /// When the clients run on this machine too: they take its files, ports and memory.
    pub clients_here: Option<Clients>,
}

/// The other ends, on the same machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clients {
    pub bytes_per_connection: u64,
    /// Addresses they connect from, to one address and port of the server.
    pub source_addresses: u64,
}

impl Default for Wanted {
    /// One ring with the largest table, no bound but the machine's, and what an idle plain connection costs.
    fn default() -> Self {
        Self {
            connections_now: 0,
            connections_max: u64::MAX,
            rings_now: 0,
            rings_max: 1,
            slots_per_ring: crate::constants::RING_SLOTS_MAX,
            slots_beside_per_ring: 1,
            bytes_per_ring: RING_BYTES,
            locked_bytes_per_ring: RING_LOCKED_BYTES,
            kernel_bytes_per_connection: KERNEL_BYTES,
            user_bytes_per_connection: USER_BYTES,
            budget_bytes: None,
            queued_per_mille: QUEUED_PER_MILLE,
            memory_reserve_per_mille: MEMORY_RESERVE_PER_MILLE,
            clients_here: None,
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            bytes_per_connection: CLIENT_BYTES,
            source_addresses: 1,
        }
    }
}

/// What can bind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The configured number of connections.
    Configured,
    /// The configured bytes of user memory.
    Budget,
    /// The rings' tables of direct descriptors: how many rings, and RLIMIT_NOFILE for the size of each.
    RingTables,
    /// RLIMIT_MEMLOCK, which bounds how many rings there can be.
    LockedMemory,
    /// The machine's memory.
    Memory,
    /// The memory limit of a control group.
    ControlGroup,
    /// `fs.file-max`.
    FileMax,
    /// `net.ipv4.tcp_mem`.
    TcpMemory,
    /// The clients' ephemeral ports, when they are on this machine.
    Ports,
}

/// Room for more connections.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Headroom {
    /// More than there are now, before the first limit.
    pub connections: u64,
    /// The limit that binds first.
    pub binding: Limit,
    /// More connections that each limit allows, the tightest first. Limits that do not bound anything here are left out.
    pub all: Vec<(Limit, u64)>,
    /// Facts that could not be read; what they bound is not in `all`, or only in part.
    pub unknown: Vec<Unknown>,
    /// What to type to lift the limit that binds.
    pub remedy: String,
}

/// How many more connections fit.
#[must_use]
pub fn headroom(limits: &Limits, wanted: &Wanted) -> Headroom {
    let bounds::Bounds { mut all, unknown } = bounds::of(limits, wanted);
    all.sort_by_key(|(limit, connections)| (*connections, *limit));
    let (binding, connections) = all[0];
    Headroom {
        connections,
        binding,
        remedy: remedy::of(binding, limits, wanted),
        all,
        unknown,
    }
}

impl Limit {
    /// A stable word for metrics and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Budget => "budget",
            Self::RingTables => "ring_tables",
            Self::LockedMemory => "locked_memory",
            Self::Memory => "memory",
            Self::ControlGroup => "control_group",
            Self::FileMax => "file_max",
            Self::TcpMemory => "tcp_memory",
            Self::Ports => "ports",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "the configured number of connections",
            Self::Budget => "the memory budget",
            Self::RingTables => "the rings' tables",
            Self::LockedMemory => "the limit of locked memory",
            Self::Memory => "memory",
            Self::ControlGroup => "the control group's memory",
            Self::FileMax => "fs.file-max",
            Self::TcpMemory => "tcp_mem",
            Self::Ports => "the clients' ports",
        })
    }
}

impl fmt::Display for Headroom {
    /// One line for the start-up log, one more for each fact that is unknown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            binding,
            remedy,
            ..
        } = self;
        write!(
            f,
            "room for {connections} more connections; first limit: {binding}; for more: {remedy}"
        )?;
        for unknown in &self.unknown {
            write!(f, "\n  not counted, because unknown: {unknown}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
