//! Whether there is memory for the target, and how pages are given.

use super::Verdict::{Blocker, NotHere, Warning};
use super::{Finding, Target};
use crate::Sure::{Measured, RuleOfThumb};
use crate::root::Root;

pub(super) fn findings(root: &Root, target: &Target) -> Vec<Finding> {
    vec![machine(target), group(target), huge_pages(root)]
}

fn machine(target: &Target) -> Finding {
    let why =
        "sockets are kernel memory that cannot be swapped; `millpond tune plan` shows the sum";
    let needed = target.plan.memory_bytes;
    Finding::new("memory", why, Measured)
        .wants(format!("{needed} bytes"))
        .of(&target.limits.memory_total_bytes, |finding, total| {
            finding.judged(*total >= needed, Blocker, format!("{total} bytes"))
        })
        .or_type("more memory, or fewer connections")
}

/// The tightest group's whole limit: what runs in it now is this command, not yet the server.
fn group(target: &Target) -> Finding {
    let why = "sockets, rings and user memory of a server are charged to its control group";
    let needed = target.plan.memory_bytes;
    let finding = Finding::new("memory of the control group", why, Measured);
    finding
        .wants(format!("none, or {needed} bytes"))
        .of(&target.limits.control_group, |finding, group| match group {
            None => finding.is(NotHere, "no limit"),
            Some(group) => {
                let found = format!("{} bytes at {}", group.limit_bytes, group.path);
                finding.judged(group.limit_bytes >= needed, Blocker, found)
            }
        })
        .or_type("MemoryMax= of the unit, --memory of the container")
}

fn huge_pages(root: &Root) -> Finding {
    const FILE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    let why = "`always` rounds sparse heaps up to 2 MiB pages";
    let finding =
        Finding::new("transparent huge pages", why, RuleOfThumb).wants("madvise or never");
    let text = root.text(FILE);
    if text.as_ref().is_err_and(crate::Unknown::is_missing) {
        return finding.is(NotHere, "this kernel has none");
    }
    let chosen = text.and_then(|text| {
        chosen(&text).ok_or_else(|| crate::root::malformed(FILE, "one word in brackets", &text))
    });
    finding.of(&chosen, |finding, chosen| {
        finding
            .judged(chosen != "always", Warning, chosen.as_str())
            .or_write(FILE, chosen, "madvise")
    })
}

/// The word in brackets.
pub(crate) fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    (!word.is_empty() && word.chars().all(char::is_alphanumeric)).then(|| word.to_owned())
}
