//! What the machine and this process are allowed, read once. Decides nothing; called by whoever asks for headroom.

mod control_group;

pub use control_group::ControlGroup;

use crate::root::{Reading, Root, malformed, parse};

/// As /proc/self/limits says it: no limit at all.
pub const UNLIMITED: u64 = u64::MAX;

/// Facts that bound how many sockets a process can hold. Each may be unknown, with its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// RLIMIT_NOFILE of this process; [`UNLIMITED`] where it says so. The kernel checks a ring's table against the soft one.
    pub open_files_soft: Reading<u64>,
    pub open_files_hard: Reading<u64>,
    /// `fs.nr_open`: what the hard limit can be raised to.
    pub nr_open: Reading<u64>,
    /// `fs.file-max`: open files of the whole machine. Sockets in a ring's table count, though no descriptor shows them.
    pub file_max: Reading<u64>,
    /// Those there are now (`fs.file-nr`).
    pub files_now: Reading<u64>,
    /// `net.ipv4.tcp_mem` in pages: low, pressure, high.
    pub tcp_memory_pages: Reading<[u64; 3]>,
    pub memory_total_bytes: Reading<u64>,
    /// MemAvailable, as the kernel says it.
    pub memory_available_bytes: Reading<u64>,
    /// The tightest control group above this process that limits memory, if one does.
    pub control_group: Reading<Option<ControlGroup>>,
    /// RLIMIT_MEMLOCK (soft). Counts rings unless the process has CAP_IPC_LOCK.
    pub locked_memory_bytes: Reading<u64>,
    pub may_lock_any_memory: Reading<bool>,
    /// The running kernel, as (6, 18).
    pub kernel: Reading<(u64, u64)>,
    /// `net.ipv4.ip_local_port_range`: first and last.
    pub ports: Reading<[u64; 2]>,
    /// Of this machine, not of the root: [`Limits::read`] asks the C library.
    pub page_bytes: u64,
}

impl Limits {
    /// A dozen small files; takes well under a millisecond.
    #[must_use]
    pub fn read(root: &Root) -> Self {
        Self {
            open_files_soft: process_limit(root, "Max open files", Side::Soft),
            open_files_hard: process_limit(root, "Max open files", Side::Hard),
            nr_open: root.number("/proc/sys/fs/nr_open"),
            file_max: root.number("/proc/sys/fs/file-max"),
            files_now: root.numbers("/proc/sys/fs/file-nr").map(|[now, _, _]| now),
            tcp_memory_pages: root.numbers("/proc/sys/net/ipv4/tcp_mem"),
            memory_total_bytes: memory(root, "MemTotal"),
            memory_available_bytes: memory(root, "MemAvailable"),
            control_group: control_group::read(root),
            locked_memory_bytes: process_limit(root, "Max locked memory", Side::Soft),
            may_lock_any_memory: has_capability(root, CAP_IPC_LOCK),
            kernel: kernel(root),
            ports: root.numbers("/proc/sys/net/ipv4/ip_local_port_range"),
            page_bytes: rustix::param::page_size() as u64,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Side {
    Soft,
    Hard,
}

/// A line of /proc/self/limits.
pub(crate) fn process_limit(root: &Root, name: &str, side: Side) -> Reading<u64> {
    const FILE: &str = "/proc/self/limits";
    let text = root.text(FILE)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let mut words = line.unwrap_or_default().split_whitespace();
    let word = match side {
        Side::Soft => words.next(),
        Side::Hard => words.nth(1),
    };
    match word {
        Some("unlimited") => Ok(UNLIMITED),
        Some(word) => parse(FILE, line.unwrap_or_default(), word),
        None => Err(malformed(FILE, &format!("a line {name:?}"), &text)),
    }
}

/// A line of /proc/meminfo, in bytes.
pub(crate) fn memory(root: &Root, name: &str) -> Reading<u64> {
    const FILE: &str = "/proc/meminfo";
    let text = root.text(FILE)?;
    let value = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(key, value)| (key == name).then_some(value.trim()));
    let kib = value.and_then(|value| value.strip_suffix(" kB"));
    let kib = kib.ok_or_else(|| malformed(FILE, &format!("a line {name:?} in kB"), &text))?;
    let kib: u64 = parse(FILE, kib, kib)?;
    kib.checked_mul(1 << 10)
        .ok_or_else(|| malformed(FILE, "fewer bytes", kib.to_string().as_str()))
}

/// The first two numbers of the running kernel's release, as in 6.18.44-generic.
pub(crate) fn kernel(root: &Root) -> Reading<(u64, u64)> {
    const FILE: &str = "/proc/sys/kernel/osrelease";
    let text = root.text(FILE)?;
    let number = |part: &str| {
        let end = part.find(|letter: char| !letter.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().ok()
    };
    text.split_once('.')
        .and_then(|(major, rest)| Some((major.parse().ok()?, number(rest)?)))
        .ok_or_else(|| malformed(FILE, "a release such as 6.18.4", &text))
}

const CAP_IPC_LOCK: u32 = 14;

/// Whether this process has a capability now (`CapEff`).
fn has_capability(root: &Root, capability: u32) -> Reading<bool> {
    const FILE: &str = "/proc/self/status";
    let text = root.text(FILE)?;
    let mask = text.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mask = mask.ok_or_else(|| malformed(FILE, "a line \"CapEff\" in hex", &text))?;
    Ok(mask >> capability & 1 == 1)
}

#[cfg(test)]
mod tests;
