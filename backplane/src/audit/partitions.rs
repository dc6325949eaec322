//! How far each partition has come, which is the bound of everything else.

use super::judge::{Judge, name};
use super::{Code, Table};
use crate::codec::{decode_partition, decode_partition_key};
use crate::row::{PartitionRow, Stage};
use crate::store::StoreError;
use crate::{ConversationKey, Position, VirtualPartition};
use millpond_wire::UserId;
use std::collections::BTreeMap;

/// At most one row per stage and partition.
pub(super) struct Bounds {
    /// `None` for a row that does not decode.
    rows: BTreeMap<(Stage, VirtualPartition), Option<PartitionRow>>,
    /// The fused driver has one partition, whatever a row's key.
    fused: bool,
}

const FUSED: (Stage, VirtualPartition) = (Stage::Conversations, VirtualPartition(0));

pub(super) fn read(judge: &mut Judge<'_>) -> Result<Bounds, StoreError> {
    let mut rows = BTreeMap::new();
    for row in judge.rows.scan(Table::Partitions, &[]) {
        let (key, value) = row?;
        judge.seen(Table::Partitions);
        match decode_partition_key(&key) {
            Ok(partition) => {
                let row = decode_partition(&value);
                rows.insert(partition, row.as_ref().ok().cloned());
                if let Err(why) = row {
                    judge.undecodable(Table::Partitions, &key, why);
                }
            }
            Err(why) => judge.undecodable(Table::Partitions, &key, why),
        }
    }
    let fused = rows.keys().all(|partition| *partition == FUSED);
    Ok(Bounds { rows, fused })
}

impl Bounds {
    /// Judges a row of the conversations' stage.
    pub(super) fn conversation(
        &self,
        judge: &mut Judge<'_>,
        conversation: ConversationKey,
        position: Position,
        what: &str,
    ) {
        let partition = VirtualPartition::of_conversation(conversation);
        let place = || format!("{what} of {}", name(conversation));
        self.consumed(judge, (Stage::Conversations, partition), position, place);
    }

    /// Judges a row of the inboxes' stage.
    pub(super) fn user(&self, judge: &mut Judge<'_>, user: UserId, position: Position, what: &str) {
        let partition = VirtualPartition::of_user(user);
        let place = || format!("{what} of user {user}");
        self.consumed(judge, (Stage::Inboxes, partition), position, place);
    }

    /// Judges the time of a message.
    pub(super) fn time(
        &self,
        judge: &mut Judge<'_>,
        conversation: ConversationKey,
        seq: u64,
        ms: u64,
    ) {
        let partition = VirtualPartition::of_conversation(conversation);
        let row = self.row((Stage::Conversations, partition));
        if let Some(Some(row)) = row
            && row.time_ms < ms
        {
            judge.found(Code::BeyondTime, || {
                let stands = row.time_ms;
                format!(
                    "{} sequence {seq}: {ms}, its partition stands at {stands}",
                    name(conversation)
                )
            });
        }
    }

    fn consumed(
        &self,
        judge: &mut Judge<'_>,
        partition: (Stage, VirtualPartition),
        position: Position,
        place: impl Fn() -> String,
    ) {
        match self.row(partition) {
            // It is a finding of its own.
            Some(None) => {}
            Some(Some(row)) if position <= row.consumed => {}
            Some(Some(row)) => judge.found(Code::BeyondConsumed, || {
                let (at, stands) = (show(position), show(row.consumed));
                format!("{} at {at}, its partition stands at {stands}", place())
            }),
            None => judge.found(Code::BeyondConsumed, || {
                format!("{} at {}, no row of its partition", place(), show(position))
            }),
        }
    }

    fn row(&self, partition: (Stage, VirtualPartition)) -> Option<&Option<PartitionRow>> {
        let partition = if self.fused { FUSED } else { partition };
        self.rows.get(&partition)
    }
}

/// Epoch, offset and index.
pub(super) fn show(position: Position) -> String {
    format!("{}/{}/{}", position.epoch, position.offset, position.index)
}
