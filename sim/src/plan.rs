//! What one seed stands for: how many take part, what they do, what goes wrong. Everything in it can be made smaller,
//! which is how a failing seed is reduced.

use crate::chance::Chance;
use crate::fault::{Fault, Faults};
use crate::operation::{Operation, Operations};

/// Which driver of the machines runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    Fused,
    TwoStage,
}

/// A bug that is put in, to see whether it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    AckBeforeSync,
    OffsetBeforeEmissions,
    HighWaterOffByOne,
    StateAheadOfPosition,
    CatchUpRace,
    HandleWithoutUser,
    DedupForgotten,
    OlderWriteWins,
    EpochKept,
}

impl Bug {
    pub const ALL: [Self; 9] = [
        Self::AckBeforeSync,
        Self::OffsetBeforeEmissions,
        Self::HighWaterOffByOne,
        Self::StateAheadOfPosition,
        Self::CatchUpRace,
        Self::HandleWithoutUser,
        Self::DedupForgotten,
        Self::OlderWriteWins,
        Self::EpochKept,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack before sync",
            Self::OffsetBeforeEmissions => "offset stored before its emissions",
            Self::HighWaterOffByOne => "high-water mark off by one",
            Self::StateAheadOfPosition => "state ahead of the position it names",
            Self::CatchUpRace => "the catch-up race",
            Self::HandleWithoutUser => "a handle honoured without the user check",
            Self::DedupForgotten => "dedup row forgotten in the batch",
            Self::OlderWriteWins => "a zombie's older write winning",
            Self::EpochKept => "the epoch kept when unsynced rows are lost",
        }
    }
}

/// One run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub seed: u64,
    pub driver: Driver,
    pub users: u64,
    pub rounds: u32,
    pub faults: Faults,
    pub operations: Operations,
    pub bug: Option<Bug>,
}

/// Chances in a thousand that a kind of accident is on in a run.
const FAULT_ON: u64 = 450;

impl Plan {
    /// The run of a seed: even ones are fused, odd ones two-stage.
    pub fn of(seed: u64) -> Self {
        let driver = if seed.is_multiple_of(2) {
            Driver::Fused
        } else {
            Driver::TwoStage
        };
        let mut chance = Chance::new(seed);
        let mut faults = Faults::default();
        let earlier = Fault::ALL.into_iter();
        for fault in earlier.filter(|fault| !Fault::LATER.contains(fault)) {
            if chance.per_mille(FAULT_ON) {
                faults = faults.with(fault);
            }
        }
        if chance.one_in(4) {
            let losing = Fault::ALL.into_iter().filter(|fault| fault.loses_hints());
            faults = losing.fold(faults, Faults::without);
        } else {
            let mut chance = Chance::new(seed ^ 0x1a7e);
            let mut later = Fault::LATER.into_iter();
            faults = later.by_ref().fold(faults, |faults, fault| {
                if chance.per_mille(FAULT_ON) {
                    faults.with(fault)
                } else {
                    faults
                }
            });
        }
        Self {
            seed,
            driver,
            users: 2 + chance.below(3),
            rounds: 60 + u32::try_from(chance.below(140)).expect("below 140"),
            faults,
            operations: Operations::EVERY,
            bug: None,
        }
    }

    /// The run as it was before the latest kinds of accidents.
    #[must_use]
    pub fn earlier(self) -> Self {
        let faults = Fault::LATER.into_iter().fold(self.faults, Faults::without);
        Self { faults, ..self }
    }

    #[must_use]
    pub fn with_bug(self, bug: Option<Bug>) -> Self {
        Self { bug, ..self }
    }

    /// How often each operation is chosen, varied by the seed.
    pub(crate) fn weights(&self) -> Vec<(Operation, u64)> {
        let mut chance = Chance::new(!self.seed);
        let vary = |operation: Operation| {
            let factor = [0, 1, 2, 2, 3, 6][chance.index(6)];
            let least = u64::from(operation == Operation::Send) * 20;
            (operation, (operation.usual() * factor).max(least))
        };
        let all: Vec<_> = Operation::ALL.into_iter().map(vary).collect();
        let on = all.into_iter();
        on.filter(|(operation, _)| self.operations.has(*operation))
            .collect()
    }
}
