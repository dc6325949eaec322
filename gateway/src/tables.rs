//! How many rings a shard may need: a ring's table of sockets is no larger than the limit of open files, and where that
//! cannot be raised, more rings hold more sockets. Called at the start, before anything is opened.

use crate::config::Limits;
use millpond_ring::{BufferPlan, Plan, Setup};

/// Slots of a ring that hold no connection: its share of the listener.
const SLOTS_BESIDE: u32 = 1;
/// The most slots of one ring. A table is allocated with its ring, so a larger one costs those who do not fill it.
const SLOTS_MAX: u32 = 32_768;
/// Open files that are left to everything but tables and rings.
const OPEN_FILES_BESIDE: u64 = 64;
/// Of the open files, rings may take one in so many.
const OPEN_FILES_PER_RING: u64 = 2;

/// What a shard's sockets go into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tables {
    pub(crate) plan: Plan,
    /// As many as were asked for, or as fit.
    pub(crate) connections_max: u32,
    /// The limit of open files, where it allows fewer connections than were asked for.
    pub(crate) bound_by: Option<u64>,
}

impl Tables {
    /// Of each of so many shards; `None` when the limit of open files leaves no room for any connection.
    pub(crate) fn of(limits: &Limits, shards: u16, open_files: u64) -> Option<Self> {
        let most = u32::try_from(open_files.saturating_sub(OPEN_FILES_BESIDE)).unwrap_or(u32::MAX);
        let wanted = limits.connections_max.saturating_add(SLOTS_BESIDE);
        let slots = wanted.min(most).min(SLOTS_MAX);
        let per_ring = slots.checked_sub(SLOTS_BESIDE).filter(|room| *room > 0)?;
        let rings = limits.connections_max.div_ceil(per_ring);
        let rings_allowed = open_files / OPEN_FILES_PER_RING / u64::from(shards.max(1));
        let rings = u64::from(rings).min(rings_allowed.max(1));
        let rings_max = u16::try_from(rings).unwrap_or(u16::MAX);
        let held = u32::from(rings_max).saturating_mul(per_ring);
        Some(Self {
            plan: Plan::new(first(limits, slots), rings_max),
            connections_max: limits.connections_max.min(held),
            bound_by: (held < limits.connections_max).then_some(open_files),
        })
    }
}

fn first(limits: &Limits, slots: u32) -> Setup {
    Setup {
        entries: limits.ring_entries,
        completions: limits.ring_completions,
        slots,
        buffers: BufferPlan {
            count: limits.buffers,
            bytes: limits.buffer_bytes,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(connections_max: u32, shards: u16, open_files: u64) -> Option<Tables> {
        let limits = Limits {
            connections_max,
            ..Limits::default()
        };
        Tables::of(&limits, shards, open_files)
    }

    #[test]
    fn a_million_connections_fit_whatever_the_limit_of_open_files() {
        let tables = of(500_000, 2, 20_000).unwrap();
        assert_eq!(tables.connections_max, 500_000);
        assert_eq!(tables.plan.first.slots, 19_936);
        assert_eq!(tables.plan.rings_max, 26);
        assert_eq!(tables.bound_by, None);
        let tables = of(500_000, 2, 1 << 20).unwrap();
        assert_eq!(tables.connections_max, 500_000);
        assert_eq!(tables.plan.rings_max, 16);
    }

    #[test]
    fn few_connections_have_a_small_table() {
        let tables = of(100, 4, 1 << 20).unwrap();
        assert_eq!(tables.plan.first.slots, 101);
        assert_eq!(tables.plan.rings_max, 1);
    }

    #[test]
    fn rings_leave_open_files_to_others() {
        let tables = of(1_000_000, 4, 1_024).unwrap();
        assert_eq!(tables.plan.rings_max, 128);
        assert_eq!(tables.connections_max, 128 * 959);
        assert_eq!(tables.bound_by, Some(1_024));
    }

    #[test]
    fn no_room_at_all_is_told() {
        assert_eq!(of(100, 1, 65), None);
        assert_eq!(of(100, 1, 0), None);
        assert_eq!(of(100, 1, 66).unwrap().plan.first.slots, 2);
        assert_eq!(of(100, u16::MAX, 66).unwrap().plan.rings_max, 1);
    }

    #[test]
    fn every_ring_fits_a_mebibyte() {
        let plan = of(1_000_000, 1, 1 << 20).unwrap().plan;
        assert!(plan.first.bytes() <= 1 << 20, "{}", plan.first.bytes());
        assert!(plan.further().bytes() <= 1 << 20);
    }
}
