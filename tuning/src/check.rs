//! The doctor: every parameter that matters for a number of connections, its value, the wanted one, why, and how sure.
//!
//! Reads and judges, never writes. A parameter that cannot be read is `unknown` with the reason, never fine; one that this
//! machine does not have and does not need is `not_here`. Called by `millpond tune check` and, for what to write, by `apply`.

mod memory;
mod network;
mod queues;
mod ring;
mod sysctl;

pub(crate) use memory::chosen as memory_choice;
pub(crate) use sysctl::name as sysctl_name;

use crate::plan::{Load, Plan, plan};
use crate::root::{Reading, Root, Unknown};
use crate::{Limits, Sure, UNLIMITED};
use serde::Serialize;

/// What the machine should hold.
#[derive(Clone, Debug)]
pub struct Target {
    pub limits: Limits,
    pub plan: Plan,
}

impl Target {
    /// `load`'s open files, ports and page size are taken from the machine, where it says them.
    #[must_use]
    pub fn new(root: &Root, connections: u64, mut load: Load) -> Self {
        let limits = Limits::read(root);
        load.page_bytes = limits.page_bytes;
        if let Ok(soft) = limits.open_files_soft {
            load.open_files = soft;
        }
        if let Ok([first, last]) = limits.ports {
            load.ports = last.saturating_add(1).saturating_sub(first);
        }
        let plan = plan(connections, &load);
        Self { limits, plan }
    }
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// This machine does not have it, and nothing is missing.
    NotHere,
    Fine,
    /// It could not be judged; the reason stands beside it.
    Unknown,
    /// It works, but worse than it could.
    Warning,
    /// The target cannot be reached.
    Blocker,
}

/// One parameter, judged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    pub name: String,
    pub verdict: Verdict,
    /// The value, or why it is unknown.
    pub found: String,
    pub wanted: String,
    pub why: &'static str,
    pub sure: Sure,
    /// What `apply` would write, where a file can be written and the verdict asks for it.
    pub change: Option<Change>,
    /// What to type where `apply` cannot help.
    pub remedy: Option<String>,
}

/// One write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, serde::Deserialize)]
pub struct Change {
    /// Absolute, as on the machine.
    pub file: String,
    pub from: String,
    pub to: String,
}

/// Judges everything, in the order in which a connection meets it.
#[must_use]
pub fn check(root: &Root, target: &Target) -> Vec<Finding> {
    let mut findings = ring::findings(root, target);
    findings.extend(sysctl::findings(root, target));
    findings.extend(network::findings(root, target));
    findings.extend(queues::findings(root));
    findings.extend(memory::findings(root, target));
    findings
}

/// The worst of all.
#[must_use]
pub fn worst(findings: &[Finding]) -> Verdict {
    let verdicts = findings.iter().map(|finding| finding.verdict);
    verdicts.max().unwrap_or(Verdict::Unknown)
}

impl Finding {
    fn new(name: &str, why: &'static str, sure: Sure) -> Self {
        Self {
            name: name.to_owned(),
            verdict: Verdict::Fine,
            found: String::new(),
            wanted: String::new(),
            why,
            sure,
            change: None,
            remedy: None,
        }
    }

    fn wants(mut self, wanted: impl Into<String>) -> Self {
        self.wanted = wanted.into();
        self
    }

    fn is(mut self, verdict: Verdict, found: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.found = found.into();
        self
    }

    /// `verdict` unless `good`.
    fn judged(self, good: bool, verdict: Verdict, found: impl Into<String>) -> Self {
        self.is(if good { Verdict::Fine } else { verdict }, found)
    }

    fn unknown(self, unknown: &Unknown) -> Self {
        self.is(Verdict::Unknown, unknown.to_string())
    }

    /// The remedy stands only where something is to be done.
    fn or_type(mut self, remedy: impl Into<String>) -> Self {
        if self.verdict > Verdict::Unknown {
            self.remedy = Some(remedy.into());
        }
        self
    }

    fn or_write(mut self, file: &str, from: &str, to: &str) -> Self {
        if self.verdict > Verdict::Unknown {
            self.change = Some(Change {
                file: file.to_owned(),
                from: from.to_owned(),
                to: to.to_owned(),
            });
        }
        self
    }

    /// Judges a fact, or says why there is none.
    fn of<T>(self, fact: &Reading<T>, judge: impl FnOnce(Self, &T) -> Self) -> Self {
        match fact {
            Ok(fact) => judge(self, fact),
            Err(unknown) => self.unknown(unknown),
        }
    }
}

/// A limit in words.
fn shown(limit: u64) -> String {
    match limit {
        UNLIMITED => "unlimited".to_owned(),
        limit => limit.to_string(),
    }
}

#[cfg(test)]
mod tests;
