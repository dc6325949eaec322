//! What each limit allows, one by one, in connections more than there are now.

use super::{Limit, Wanted};
use crate::constants::{
    DESCRIPTORS_BESIDE, PORTS_USED_PER_MILLE, RECLAIMABLE_ONLY_IN_NAME_BYTES, RING_SLOTS_MAX,
    RINGS_LOCKED_SINCE,
};
use crate::limits::{Limits, UNLIMITED};
use crate::root::{Reading, Unknown};

pub(super) struct Bounds {
    pub(super) all: Vec<(Limit, u64)>,
    pub(super) unknown: Vec<Unknown>,
}

/// Never empty: the configured number always bounds.
pub(super) fn of(limits: &Limits, wanted: &Wanted) -> Bounds {
    let mut bounds = Bounds {
        all: vec![(Limit::Configured, more(wanted, wanted.connections_max))],
        unknown: Vec::new(),
    };
    bounds.ring_tables(limits, wanted);
    bounds.locked_memory(limits, wanted);
    bounds.memory(limits, wanted);
    bounds.files(limits, wanted);
    bounds.tcp_memory(limits, wanted);
    bounds.ports(limits, wanted);
    bounds
}

fn more(wanted: &Wanted, in_all: u64) -> u64 {
    in_all.saturating_sub(wanted.connections_now)
}

/// Connections that one ring of this process can hold.
pub(super) fn connections_per_ring(limits: &Limits, wanted: &Wanted) -> u64 {
    let open_files = limits.open_files_soft.as_ref().copied();
    wanted
        .slots_per_ring
        .min(open_files.unwrap_or(UNLIMITED))
        .min(RING_SLOTS_MAX)
        .saturating_sub(wanted.slots_beside_per_ring)
}

impl Bounds {
    fn fact<T: Clone>(&mut self, reading: &Reading<T>) -> Option<T> {
        match reading {
            Ok(fact) => Some(fact.clone()),
            Err(unknown) => {
                if !self.unknown.contains(unknown) {
                    self.unknown.push(unknown.clone());
                }
                None
            }
        }
    }

    /// The kernel checks the size of each table against the soft limit; and each ring is itself an ordinary descriptor.
    fn ring_tables(&mut self, limits: &Limits, wanted: &Wanted) {
        let open_files = self.fact(&limits.open_files_soft).unwrap_or(UNLIMITED);
        let rings = wanted
            .rings_max
            .min(open_files.saturating_sub(DESCRIPTORS_BESIDE))
            .max(wanted.rings_now);
        let slots = connections_per_ring(limits, wanted);
        let in_all = rings.saturating_mul(slots);
        self.all.push((Limit::RingTables, more(wanted, in_all)));
    }

    fn locked_memory(&mut self, limits: &Limits, wanted: &Wanted) {
        let counted = self
            .fact(&limits.kernel)
            .is_none_or(|kernel| kernel >= RINGS_LOCKED_SINCE);
        let may_lock_any = self.fact(&limits.may_lock_any_memory) == Some(true);
        let bytes = self.fact(&limits.locked_memory_bytes);
        let bytes = bytes.filter(|bytes| *bytes != UNLIMITED && counted && !may_lock_any);
        let rings = bytes.and_then(|bytes| bytes.checked_div(wanted.locked_bytes_per_ring));
        if let Some(rings) = rings {
            let slots = connections_per_ring(limits, wanted);
            let in_all = rings.max(wanted.rings_now).saturating_mul(slots);
            self.all.push((Limit::LockedMemory, more(wanted, in_all)));
        }
    }

    /// The machine's memory, the control group's, and what the configuration gives.
    fn memory(&mut self, limits: &Limits, wanted: &Wanted) {
        let costs = Costs::of(limits, wanted);
        let available = self.fact(&limits.memory_available_bytes);
        let total = self.fact(&limits.memory_total_bytes);
        if let (Some(available), Some(total)) = (available, total) {
            let pinned = wanted
                .connections_now
                .saturating_mul(RECLAIMABLE_ONLY_IN_NAME_BYTES);
            let reserve = per_mille(total, wanted.memory_reserve_per_mille);
            let room = available.saturating_sub(pinned).saturating_sub(reserve);
            self.all.push((Limit::Memory, costs.fitting(room)));
        }
        if let Some(Some(group)) = self.fact(&limits.control_group) {
            let reserve = per_mille(group.limit_bytes, wanted.memory_reserve_per_mille);
            let room = group.room_bytes().saturating_sub(reserve);
            self.all.push((Limit::ControlGroup, costs.fitting(room)));
        }
        if let Some(budget) = wanted.budget_bytes {
            let user = wanted.user_bytes_per_connection;
            let rings = wanted.rings_now.saturating_mul(wanted.bytes_per_ring);
            let taken = wanted.connections_now.saturating_mul(user);
            let room = budget.saturating_sub(rings).saturating_sub(taken);
            let costs = Costs {
                per_connection: user,
                ..costs
            };
            self.all.push((Limit::Budget, costs.fitting(room)));
        }
    }

    /// Every socket is an open file, in a ring's table or not. A process with CAP_SYS_ADMIN may pass this limit; a server
    /// should not need that, so it counts all the same.
    fn files(&mut self, limits: &Limits, wanted: &Wanted) {
        let max = self.fact(&limits.file_max);
        let now = self.fact(&limits.files_now);
        if let (Some(max), Some(now)) = (max, now) {
            let room = max.saturating_sub(now).saturating_sub(DESCRIPTORS_BESIDE);
            self.all.push((Limit::FileMax, room / ends(wanted)));
        }
    }

    /// An idle socket charges nothing here, so the bound is on those with data queued: they must fit below the *pressure*
    /// mark, from which on the kernel shrinks everybody's windows. Computed from the mark alone, not from what is queued
    /// just now, so that it does not jump with every burst.
    fn tcp_memory(&mut self, limits: &Limits, wanted: &Wanted) {
        if let Some([_, pressure, _]) = self.fact(&limits.tcp_memory_pages) {
            let queued = u128::from(wanted.queued_per_mille) * u128::from(ends(wanted));
            let in_all = (u128::from(pressure) * 1_000).checked_div(queued);
            if let Some(in_all) = in_all {
                let in_all = u64::try_from(in_all).unwrap_or(u64::MAX);
                self.all.push((Limit::TcpMemory, more(wanted, in_all)));
            }
        }
    }

    fn ports(&mut self, limits: &Limits, wanted: &Wanted) {
        let Some(clients) = &wanted.clients_here else {
            return;
        };
        if let Some([first, last]) = self.fact(&limits.ports) {
            let ports = last.saturating_add(1).saturating_sub(first);
            let usable = per_mille(ports, PORTS_USED_PER_MILLE);
            let in_all = usable.saturating_mul(clients.source_addresses);
            self.all.push((Limit::Ports, more(wanted, in_all)));
        }
    }
}

fn ends(wanted: &Wanted) -> u64 {
    1 + u64::from(wanted.clients_here.is_some())
}

/// Rounded down.
pub(crate) fn per_mille(of: u64, share: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(share) / 1_000).unwrap_or(u64::MAX)
}

/// What connections cost: each its own bytes, and a ring where the open ones are full.
#[derive(Clone, Copy)]
struct Costs {
    per_connection: u64,
    per_ring: u64,
    connections_per_ring: u64,
    /// Connections for which a ring is already open.
    spare: u64,
}

impl Costs {
    fn of(limits: &Limits, wanted: &Wanted) -> Self {
        let clients = wanted.clients_here.as_ref();
        let connections_per_ring = connections_per_ring(limits, wanted);
        Self {
            per_connection: wanted
                .kernel_bytes_per_connection
                .saturating_add(wanted.user_bytes_per_connection)
                .saturating_add(clients.map_or(0, |clients| clients.bytes_per_connection)),
            per_ring: wanted.bytes_per_ring,
            connections_per_ring,
            spare: more(
                wanted,
                wanted.rings_now.saturating_mul(connections_per_ring),
            ),
        }
    }

    /// Fills the open rings first, then opens others; a ring that is not worth opening stays closed.
    fn fitting(&self, room: u64) -> u64 {
        let each = u128::from(self.per_connection.max(1));
        let room = u128::from(room);
        let in_open = (room / each).min(u128::from(self.spare));
        let room = room - in_open * each;
        let full_ring = u128::from(self.per_ring) + u128::from(self.connections_per_ring) * each;
        let slots = u128::from(self.connections_per_ring);
        let rings = room.checked_div(full_ring).unwrap_or(0);
        let rest = (room - rings * full_ring).saturating_sub(u128::from(self.per_ring));
        let in_new = rings * slots + (rest / each).min(slots);
        u64::try_from(in_open + in_new).unwrap_or(u64::MAX)
    }
}
