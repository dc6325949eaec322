//! Where a record stands in the log.

use crate::VirtualPartition;
use crate::codec::ENTRIES_PER_ENVELOPE_MAX;

#[expect(
    clippy::cast_possible_truncation,
    reason = "an envelope has fewer entries"
)]
const LAST_INDEX: u32 = (ENTRIES_PER_ENVELOPE_MAX - 1) as u32;

/// (log epoch, partition, offset, index in the batch). Within one partition positions only grow: the epoch changes only
/// through a drained switch record, and offsets and indexes grow inside an epoch. Learned by reading the log, never
/// from a delivery report (a report may name no offset at all). The fused driver has no log: its offset counts commits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Position {
    pub epoch: u32,
    pub offset: u64,
    pub index: u32,
}

impl Position {
    /// Behind every entry of the record at `offset`. As every position, it fits where stores keep one.
    pub const fn end_of(epoch: u32, offset: u64) -> Self {
        Self {
            epoch,
            offset,
            index: LAST_INDEX,
        }
    }

    /// Before every record.
    pub const ZERO: Self = Self {
        epoch: 0,
        offset: 0,
        index: 0,
    };
}

/// A position with the partition it belongs to, and the machine's time at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub partition: VirtualPartition,
    pub position: Position,
    /// max(the partition's previous time, the log's append time), unix milliseconds.
    pub time_ms: u64,
}
