//! One partition of an owner: how far it was read, how far the rows reflect it, and what lags.

use crate::world::{Lagging, World};
use millpond_backplane::log::{Log, Topic};
use millpond_backplane::position::Stamp;
use millpond_backplane::row::{HighWater, PartitionRow, Stage};
use millpond_backplane::store::{Answer, Batch, Read, Store, StoreError, Write};
use millpond_backplane::{Position, Source, VirtualPartition};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Lane {
    /// The last record taken, and the partition's time.
    pub(super) at: Stamp,
    /// The last record whose rows are in the store.
    pub(super) durable: Position,
    pub(super) read_to_end: bool,
    /// The consumed position in the store.
    consumed: Position,
    /// Of each source partition the last emission taken.
    high_water: BTreeMap<VirtualPartition, (Position, u32)>,
    /// Rows that lag, each once. Bounded by the records between two writes.
    lagging: Vec<Lagging>,
    /// Records taken since lagging rows were written.
    taken: usize,
    /// Goes past what is not its own when it is next read to its end.
    pass_due: bool,
    /// What is being committed includes the lagging rows and the position.
    writing: bool,
}

impl Lane {
    pub(super) fn open_all(
        store: &dyn Store,
        stage: Stage,
        partitions: &[VirtualPartition],
    ) -> Result<Vec<Self>, StoreError> {
        let read = |partition: &VirtualPartition| Read::Partition {
            stage,
            partition: *partition,
        };
        let answers = store.read(&partitions.iter().map(read).collect::<Vec<_>>())?;
        let open = |(partition, answer): (&VirtualPartition, Answer)| {
            let Answer::Partition(row) = answer else {
                return Err(StoreError::Failed(
                    "the store driver did not answer where a partition ends".into(),
                ));
            };
            Ok(Self::open(*partition, row))
        };
        partitions.iter().zip(answers).map(open).collect()
    }

    fn open(partition: VirtualPartition, row: Option<PartitionRow>) -> Self {
        let row = row.unwrap_or(PartitionRow {
            consumed: Position::ZERO,
            time_ms: 0,
            high_water: Vec::new(),
        });
        let marks = row
            .high_water
            .iter()
            .map(|mark| (mark.partition, (mark.position, mark.emission)));
        Self {
            at: Stamp {
                partition,
                position: row.consumed,
                time_ms: row.time_ms,
            },
            durable: row.consumed,
            read_to_end: false,
            consumed: row.consumed,
            high_water: marks.collect(),
            lagging: Vec::new(),
            taken: 0,
            pass_due: true,
            writing: false,
        }
    }

    /// The stamp of the next record. Time never goes back.
    pub(super) fn advance(&mut self, position: Position, append_ms: u64) -> Stamp {
        assert!(position > self.at.position, "positions only grow");
        self.at.position = position;
        self.at.time_ms = self.at.time_ms.max(append_ms);
        self.taken += 1;
        self.at
    }

    /// Goes past an envelope that does not decode.
    pub(super) fn skip(&mut self, offset: u64) {
        self.at.position = Position::end_of(self.at.position.epoch.max(1), offset);
        self.read_to_end = false;
    }

    /// A log keeps what has been read for a while only: a partition where nothing happens must not point to where its
    /// neighbours' records once were. So its position follows them now and then.
    pub(super) fn pass(&mut self, log: &dyn Log, topic: Topic) {
        if !self.pass_due {
            return;
        }
        let passed = log.passed(topic, self.at.partition);
        if passed > self.at.position {
            self.at.position = passed;
            self.pass_due = false;
        }
    }

    pub(super) fn pass_soon(&mut self) {
        self.pass_due = true;
    }

    /// Whether this emission is the first of its kind; it is not the next time.
    pub(super) fn is_first(&mut self, source: Source) -> bool {
        let last = self
            .high_water
            .entry(source.partition)
            .or_insert((Position::ZERO, 0));
        let this = (source.position, source.emission);
        let first = this > *last;
        *last = this.max(*last);
        first
    }

    pub(super) fn lag(&mut self, world: &mut World, key: Lagging) {
        if world.soil(key) {
            self.lagging.push(key);
        }
    }

    /// Whether the store's position lies behind ours.
    pub(super) fn lags(&self) -> bool {
        self.consumed < self.at.position
    }

    pub(super) fn is_idle(&self) -> bool {
        self.read_to_end && !self.lags()
    }

    /// Lagging rows are written when the partition is read to its end, or when a replay would become long.
    pub(super) fn must_write(&self, lag_entries_max: usize) -> bool {
        self.lags() && (self.read_to_end || self.taken >= lag_entries_max)
    }

    pub(super) fn write(&mut self, world: &mut World, stage: Stage, rows: &mut Batch) {
        let lagging = self.lagging.drain(..);
        rows.writes
            .extend(lagging.filter_map(|key| world.clean(key)));
        rows.writes.push(Write::Partition {
            stage,
            partition: self.at.partition,
            row: PartitionRow {
                consumed: self.at.position,
                time_ms: self.at.time_ms,
                high_water: self.high_water.iter().map(high_water).collect(),
            },
        });
        self.writing = true;
    }

    pub(super) fn committed(&mut self) {
        self.durable = self.at.position;
        if std::mem::take(&mut self.writing) {
            self.consumed = self.at.position;
            self.taken = 0;
        }
    }
}

fn high_water((partition, last): (&VirtualPartition, &(Position, u32))) -> HighWater {
    HighWater {
        partition: *partition,
        position: last.0,
        emission: last.1,
    }
}
