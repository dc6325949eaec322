//! What is written down about a run: the history for the checker, findings of our own, counts, and, when somebody looks,
//! a timeline of each actor.

use crate::fault::Fault;
use crate::operation::Operation;
use millpond_backplane::store::Write;
use millpond_checker::{Checker, Counts, Operation as Noted};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) now_us: u64,
    checker: Checker,
    /// What was sent, and what was acknowledged, for the next history.
    carried: Vec<Noted>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) tally: Tally,
    pub(crate) timeline: Option<Vec<Line>>,
    /// There may be another history after this one.
    carries: bool,
    /// What was seen of frames and records, when somebody asks.
    pub(crate) seen: Option<BTreeSet<&'static str>>,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: String,
    pub what: String,
    pub steps: Vec<String>,
}

/// One step of one actor.
#[derive(Clone, Debug)]
pub struct Line {
    pub at_us: u64,
    pub actor: String,
    pub what: String,
}

/// How much has happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub runs: u64,
    pub virtual_us: u64,
    /// Messages acknowledged to whoever sent them.
    pub messages: u64,
    pub deliveries: u64,
    pub faults: BTreeMap<Fault, u64>,
    pub operations: BTreeMap<Operation, u64>,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.virtual_us += other.virtual_us;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (operation, count) in &other.operations {
            *self.operations.entry(*operation).or_default() += count;
        }
    }
}

impl Notes {
    pub(crate) fn new(told: bool, carries: bool) -> Self {
        Self {
            now_us: 0,
            checker: Checker::new(),
            carried: Vec::new(),
            findings: Vec::new(),
            tally: Tally::default(),
            timeline: told.then(Vec::new),
            carries,
            seen: None,
        }
    }

    pub(crate) fn note(&mut self, operation: Noted) {
        if self.carries && matches!(operation, Noted::Sent { .. } | Noted::Acked { .. }) {
            self.carried.push(operation);
        }
        self.checker.note(operation);
    }

    /// Ends the history and judges it, and begins the next with everything that was sent, and with those
    /// acknowledgements whose messages are still there.
    pub(crate) fn begin_again(&mut self, rows: &[Write]) {
        self.judge();
        let left: BTreeSet<_> = rows.iter().filter_map(identity).collect();
        self.carried.retain(|operation| match *operation {
            Noted::Acked {
                user,
                device,
                id,
                seq,
                ..
            } => left.contains(&(user, device, id, seq)),
            _ => true,
        });
        for operation in &self.carried {
            self.checker.note(*operation);
        }
    }

    /// The checker's word on the history; what comes next belongs to another one.
    pub(crate) fn judge(&mut self) -> Counts {
        let report = std::mem::take(&mut self.checker).finish();
        let found = report.violations.into_iter().map(|violation| Finding {
            rule: format!("{:?}", violation.rule),
            what: violation.what,
            steps: violation.timeline,
        });
        self.findings.extend(found);
        report.counts
    }

    pub(crate) fn tell(&mut self, say: impl FnOnce() -> (String, String)) {
        if let Some(timeline) = &mut self.timeline {
            let (actor, what) = say();
            timeline.push(Line {
                at_us: self.now_us,
                actor,
                what,
            });
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        *self.tally.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn find(&mut self, rule: &str, what: String) {
        self.tell(|| ("finding".to_owned(), what.clone()));
        self.findings.push(Finding {
            rule: rule.to_owned(),
            what,
            steps: Vec::new(),
        });
    }

    pub(crate) fn saw(&mut self, name: &'static str) {
        if let Some(seen) = &mut self.seen {
            seen.insert(name);
        }
    }
}

/// Author, device, client message id and sequence of a message.
fn identity(write: &Write) -> Option<(u64, u64, u64, u64)> {
    let Write::Message { row, .. } = write else {
        return None;
    };
    let message = &row.message;
    let author = message.sender.value();
    Some((author, message.device.0, message.client_msg_id, message.seq))
}
