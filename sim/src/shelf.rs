//! The store of a run: the one in memory, watched. A row of marks that goes back is a finding; bugs of the store and of
//! what is written into it are planted here.

use crate::plan::Bug;
use millpond_backplane::memory::MemoryStore;
use millpond_backplane::row::MarksRow;
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError, Write};
use millpond_backplane::{ConversationKey, Position};
use std::sync::{Mutex, PoisonError};

/// Of a new store.
const FIRST_EPOCH: u64 = 1;

#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) rows: MemoryStore,
    bug: Option<Bug>,
    wrong: Mutex<Vec<String>>,
}

impl Shelf {
    pub(crate) fn new(rows: MemoryStore, bug: Option<Bug>) -> Self {
        if bug == Some(Bug::OlderWriteWins) {
            rows.forget_positions();
        }
        Self {
            rows,
            bug,
            wrong: Mutex::default(),
        }
    }

    /// What went wrong since the last call.
    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.wrong.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn marks(&self, key: ConversationKey) -> Option<MarksRow> {
        match self.rows.read(&[Read::Marks(key)]).ok()?.pop() {
            Some(Answer::Marks(row)) => row,
            _ => None,
        }
    }

    fn watch(&self, before: &[(ConversationKey, Option<MarksRow>)]) {
        for (key, before) in before {
            let (Some(before), Some(after)) = (before, self.marks(*key)) else {
                continue;
            };
            let mut pairs = before.members.iter().zip(&after.members);
            if let Some((was, is)) = pairs.find(|(was, is)| goes_back(was, is)) {
                let what = format!("marks of {key:?} went back from {was:?} to {is:?}");
                self.wrong
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(what);
            }
        }
    }
}

fn goes_back(
    was: &millpond_backplane::row::MemberMarks,
    is: &millpond_backplane::row::MemberMarks,
) -> bool {
    is.read < was.read || is.delivered < was.delivered
}

impl Store for Shelf {
    fn read(&self, reads: &[Read]) -> Result<Vec<Answer>, StoreError> {
        let mut answers = self.rows.read(reads)?;
        if self.bug == Some(Bug::DedupForgotten) {
            answers.iter_mut().for_each(forget_dedup);
        }
        Ok(answers)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let marks = batch.writes.iter().filter_map(|write| match write {
            Write::Marks { conversation, .. } => Some((*conversation, self.marks(*conversation))),
            _ => None,
        });
        let before: Vec<_> = marks.collect();
        let result = match self.bug {
            Some(Bug::StateAheadOfPosition | Bug::HighWaterOffByOne) => {
                let mut bent = batch.clone();
                bent.writes.iter_mut().for_each(|write| self.bend(write));
                self.rows.commit(&bent)
            }
            _ => self.rows.commit(batch),
        };
        self.watch(&before);
        result
    }

    fn epoch(&self) -> u64 {
        if self.bug == Some(Bug::EpochKept) {
            return FIRST_EPOCH;
        }
        self.rows.epoch()
    }

    fn durability(&self) -> Durability {
        self.rows.durability()
    }

    fn batches_are_atomic(&self) -> bool {
        self.rows.batches_are_atomic()
    }
}

impl Shelf {
    fn bend(&self, write: &mut Write) {
        let ahead = self.bug == Some(Bug::StateAheadOfPosition);
        match write {
            Write::Message { row, .. } if ahead => row.position = before(row.position),
            Write::Inbox { row, .. } if ahead => row.position = before(row.position),
            Write::Partition { row, .. } if !ahead => {
                for mark in &mut row.high_water {
                    match mark.emission.checked_sub(1) {
                        Some(emission) => mark.emission = emission,
                        None => mark.position = before(mark.position),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The position in front of this one, or what is surely above all others in front of it.
fn before(position: Position) -> Position {
    let Position {
        epoch,
        offset,
        index,
    } = position;
    if let Some(index) = index.checked_sub(1) {
        return Position { index, ..position };
    }
    match offset.checked_sub(1) {
        Some(offset) => Position {
            epoch,
            offset,
            index: u32::MAX,
        },
        None => Position::ZERO,
    }
}

fn forget_dedup(answer: &mut Answer) {
    match answer {
        Answer::Dedup(row) => *row = None,
        Answer::DedupHighest(highest) => *highest = None,
        _ => {}
    }
}
