//! Sysctls that hold one number, as a table.

use super::Verdict::{Blocker, NotHere, Warning};
use super::{Finding, Target, Verdict};
use crate::Sure::{self, Documented, RuleOfThumb};
use crate::constants::DESCRIPTORS_BESIDE;
use crate::root::Root;

/// A number that must be at least so much.
struct AtLeast {
    file: &'static str,
    wanted: fn(&Target) -> u64,
    verdict: Verdict,
    why: &'static str,
    sure: Sure,
    /// Its absence is no fault.
    may_be_missing: bool,
}

const TABLE: &[AtLeast] = &[
    AtLeast {
        file: "/proc/sys/fs/file-max",
        wanted: files,
        verdict: Blocker,
        why: "every socket is an open file, in a ring's table too",
        sure: Documented,
        may_be_missing: false,
    },
    AtLeast {
        file: "/proc/sys/fs/nr_open",
        wanted: |target| (target.plan.connections + DESCRIPTORS_BESIDE).min(1 << 20),
        verdict: Warning,
        why: "the limit of open files cannot be raised beyond it, and so no ring's table",
        sure: Documented,
        may_be_missing: false,
    },
    AtLeast {
        file: "/proc/sys/net/core/somaxconn",
        wanted: |_| 65_535,
        verdict: Warning,
        why: "cuts the listen backlog, in which a reconnect storm waits; overflow costs clients a retransmission",
        sure: Sure::Measured,
        may_be_missing: false,
    },
    AtLeast {
        file: "/proc/sys/net/ipv4/tcp_max_syn_backlog",
        wanted: |_| 65_536,
        verdict: Warning,
        why: "half-open connections of a storm; beyond it SYN cookies",
        sure: Documented,
        may_be_missing: false,
    },
    AtLeast {
        file: "/proc/sys/net/ipv4/tcp_syncookies",
        wanted: |_| 1,
        verdict: Warning,
        why: "without them an overflowing SYN backlog drops connections",
        sure: Documented,
        may_be_missing: true,
    },
    AtLeast {
        file: CONNTRACK,
        wanted: |target| {
            target
                .plan
                .files
                .saturating_add(target.plan.connections / 4)
        },
        verdict: Blocker,
        why: "connection tracking drops packets of connections beyond it",
        sure: RuleOfThumb,
        may_be_missing: true,
    },
];

pub(super) fn findings(root: &Root, target: &Target) -> Vec<Finding> {
    let findings = TABLE.iter().map(|row| row.finding(root, target));
    findings.map(|finding| tracked(root, finding)).collect()
}

/// The module may be loaded while no rule of this namespace makes it track: then its limit blocks nothing, yet.
fn tracked(root: &Root, mut finding: Finding) -> Finding {
    let count = root.number("/proc/sys/net/netfilter/nf_conntrack_count");
    let idle = count.is_ok_and(|count| count == 0);
    if finding.name == name(CONNTRACK) && finding.verdict == Blocker && idle {
        finding.verdict = Warning;
        finding.found.push_str(", nothing is tracked just now");
    }
    finding
}

const CONNTRACK: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// What is open now stays open.
fn files(target: &Target) -> u64 {
    let now = target.limits.files_now.as_ref().copied().unwrap_or(0);
    target.plan.files.saturating_add(now)
}

impl AtLeast {
    fn finding(&self, root: &Root, target: &Target) -> Finding {
        let wanted = (self.wanted)(target);
        let finding = Finding::new(&name(self.file), self.why, self.sure);
        let finding = finding.wants(format!("at least {wanted}"));
        let value = root.number(self.file);
        if self.may_be_missing && value.as_ref().is_err_and(crate::Unknown::is_missing) {
            return finding.is(NotHere, "not on this machine");
        }
        finding.of(&value, |finding, value| {
            finding
                .judged(*value >= wanted, self.verdict, value.to_string())
                .or_write(self.file, &value.to_string(), &wanted.to_string())
        })
    }
}

/// The sysctl's name of a file below /proc/sys.
pub(crate) fn name(file: &str) -> String {
    let key = file.strip_prefix("/proc/sys/").unwrap_or(file);
    key.replace('/', ".")
}
