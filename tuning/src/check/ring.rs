//! What stands between a process and its rings: kernel, sysctl, seccomp, limits of the process, the unit.

use super::Verdict::{Blocker, Fine, NotHere, Warning};
use super::{Finding, Target, shown};
use crate::Sure::{Documented, Measured};
use crate::constants::{DESCRIPTORS_BESIDE, RING_SLOTS_MAX, RINGS_LOCKED_SINCE};
use crate::root::{Reading, Root, malformed, parse};

/// The base mode of our rings: deferred task work, sparse tables, rings of provided buffers.
const KERNEL_MIN: (u64, u64) = (6, 1);
/// Since then the ring can be switched off by a sysctl.
const DISABLED_SINCE: (u64, u64) = (6, 6);
/// More rings than this make a shard's scan of them show.
const RINGS_GOOD_MAX: u64 = 64;
const UNIT: &str = "/etc/systemd/system/millpond.service";

pub(super) fn findings(root: &Root, target: &Target) -> Vec<Finding> {
    vec![
        kernel(root, target),
        disabled(root, target),
        seccomp(root),
        open_files(target),
        unit(root, target),
        locked_memory(target),
    ]
}

fn kernel(root: &Root, target: &Target) -> Finding {
    let why = "6.1 has the base mode (deferred task work); 6.1.7 counted provided buffers wrongly";
    let release = root.text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let broken = release == "6.1.7" || release.starts_with("6.1.7-");
    Finding::new("kernel", why, Documented)
        .wants("6.1 or later, not 6.1.7")
        .of(&target.limits.kernel, |finding, kernel| {
            let verdict = if *kernel < KERNEL_MIN {
                Blocker
            } else {
                Warning
            };
            finding
                .judged(*kernel >= KERNEL_MIN && !broken, verdict, release)
                .or_type("install a newer kernel")
        })
}

fn disabled(root: &Root, target: &Target) -> Finding {
    const FILE: &str = "/proc/sys/kernel/io_uring_disabled";
    let why = "1 allows io_uring to CAP_SYS_ADMIN and one group only, 2 to nobody";
    let finding = Finding::new("kernel.io_uring_disabled", why, Documented).wants("0");
    let value = root.number(FILE);
    if let (Err(unknown), Ok(kernel)) = (&value, &target.limits.kernel)
        && unknown.is_missing()
        && *kernel < DISABLED_SINCE
    {
        return finding.is(NotHere, "this kernel cannot switch io_uring off");
    }
    finding.of(&value, |finding, value| match value {
        0 => finding.is(Fine, "0"),
        1 => finding.is(Blocker, admitted(root)).or_write(FILE, "1", "0"),
        other => finding
            .is(Blocker, other.to_string())
            .or_write(FILE, &other.to_string(), "0"),
    })
}

/// What 1 means for this process cannot be told for the server's, which may run as another user.
fn admitted(root: &Root) -> String {
    match root.text("/proc/sys/kernel/io_uring_group") {
        Ok(group) if group != "-1" => {
            format!("1: the server's user must be in group {group}, or have CAP_SYS_ADMIN")
        }
        _ => "1: only CAP_SYS_ADMIN".to_owned(),
    }
}

fn seccomp(root: &Root) -> Finding {
    const FILE: &str = "/proc/self/status";
    let why = "profiles of containers refuse io_uring by default; the server says so at start";
    let mode: Reading<u64> = root.text(FILE).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        let line = line.ok_or_else(|| malformed(FILE, "a line \"Seccomp\"", &text))?;
        parse(FILE, line, line.trim())
    });
    Finding::new("seccomp of this process", why, Documented)
        .wants("0, or a profile that allows io_uring_setup, io_uring_enter, io_uring_register")
        .of(&mode, |finding, mode| {
            finding
                .judged(*mode == 0, Warning, mode.to_string())
                .or_type("docker run --security-opt seccomp=PROFILE with the three calls allowed")
        })
}

fn open_files(target: &Target) -> Finding {
    let why = "bounds each ring's table of sockets (the kernel checks it at registration) and the \
               rings themselves; a low one only means more rings";
    let (plan, limits) = (&target.plan, &target.limits);
    let good = plan.connections.saturating_add(1).min(RING_SLOTS_MAX);
    let good = good.max(DESCRIPTORS_BESIDE * 2);
    Finding::new("open files of this process", why, Measured)
        .wants(format!("{good}: {} rings would do", good_rings(target)))
        .of(&limits.open_files_soft, |finding, soft| {
            let hard = limits.open_files_hard.as_ref();
            let hard = hard.map_or_else(|unknown| unknown.to_string(), |hard| shown(*hard));
            let found = format!("soft {}, hard {hard}: {} rings", shown(*soft), plan.rings);
            let rings_fit = plan.rings.saturating_add(DESCRIPTORS_BESIDE) <= *soft;
            let verdict = if rings_fit { Warning } else { Blocker };
            let good = *soft >= good || (rings_fit && plan.rings <= RINGS_GOOD_MAX);
            finding.judged(good, verdict, found)
        })
        .or_type(format!("ulimit -n {good} (systemd: LimitNOFILE={good})"))
}

fn good_rings(target: &Target) -> u64 {
    target.plan.connections.div_ceil(RING_SLOTS_MAX - 1)
}

/// The unit as it stands in /etc; drop-ins and units of other names are not looked for.
fn unit(root: &Root, target: &Target) -> Finding {
    let why = "a service gets its limits from its unit, not from a shell";
    let finding = Finding::new("LimitNOFILE of millpond.service", why, Documented);
    let good = target
        .plan
        .connections
        .saturating_add(1)
        .min(RING_SLOTS_MAX);
    let finding = finding.wants(good.to_string());
    let text = match root.text(UNIT) {
        Err(unknown) if unknown.is_missing() => {
            return finding.is(
                NotHere,
                format!("no {UNIT}; `millpond tune unit` prints one"),
            );
        }
        text => text,
    };
    finding.of(&text, |finding, text| {
        let mut lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("LimitNOFILE="));
        let value = lines.next_back();
        let soft = value
            .and_then(|value| value.split(':').next())
            .map(str::trim);
        let found = value
            .unwrap_or("not set: systemd gives 1024 (soft)")
            .to_owned();
        match soft {
            Some("infinity") => finding.is(Fine, found),
            Some(number) => match parse::<u64>(UNIT, text, number) {
                Ok(number) => finding.judged(number >= good, Warning, found),
                Err(unknown) => finding.unknown(&unknown),
            },
            None => finding.is(Warning, found),
        }
        .or_type(format!(
            "LimitNOFILE={good} in {UNIT}, then systemctl daemon-reload"
        ))
    })
}

fn locked_memory(target: &Target) -> Finding {
    let why = "since 6.14 a ring's queues count against it, for all processes of a user together; \
               CAP_IPC_LOCK lifts it";
    let (limits, needed) = (&target.limits, target.plan.locked_bytes);
    let finding = Finding::new("locked memory of this process", why, Measured)
        .wants(format!("{needed} bytes for {} rings", target.plan.rings));
    if limits
        .kernel
        .as_ref()
        .is_ok_and(|kernel| *kernel < RINGS_LOCKED_SINCE)
    {
        return finding.is(
            Fine,
            "this kernel charges rings to the control group instead",
        );
    }
    if limits.may_lock_any_memory == Ok(true) {
        let found = "CAP_IPC_LOCK; a server under another user needs the limit";
        return finding.is(Fine, found);
    }
    finding
        .of(&limits.locked_memory_bytes, |finding, bytes| {
            finding.judged(*bytes >= needed, Blocker, shown(*bytes))
        })
        .or_type("ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)")
}
