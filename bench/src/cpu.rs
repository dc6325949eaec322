//! CPU time of processes, and which core a thread runs on. Reads /proc; sets nothing but affinity.

use anyhow::Context;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;

/// Nanoseconds that all live threads of a process have run, in user space and in the kernel. A thread that has ended
/// takes its share with it, so this is for servers whose threads live as long as they do.
pub(crate) fn process_cpu_ns(pid: Pid) -> anyhow::Result<u64> {
    let folder = format!("/proc/{}/task", pid.as_raw_nonzero());
    let threads = fs::read_dir(&folder).with_context(|| format!("reading {folder}"))?;
    let mut total_ns = 0;
    for thread in threads {
        // A thread may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) {
            total_ns += on_cpu_ns(&text).context("schedstat has a first number")?;
        }
    }
    Ok(total_ns)
}

/// A process and all that have come of it, as far as they live.
pub(crate) fn family(first: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(Pid, Pid)> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((Pid::from_raw(pid)?, parent(&stat)?))
        })
        .collect();
    let mut family = vec![first];
    let mut known = 0;
    while known < family.len() {
        let of = family[known];
        let children = parents.iter().filter(|(_, parent)| *parent == of);
        family.extend(children.map(|(pid, _)| *pid));
        known += 1;
    }
    family
}

/// The fourth field of /proc/PID/stat; the second, a name in brackets, may hold anything.
fn parent(stat: &str) -> Option<Pid> {
    let (_, fields) = stat.rsplit_once(')')?;
    Pid::from_raw(fields.split_whitespace().nth(1)?.parse().ok()?)
}

/// The same of this process.
pub fn own_cpu_ns() -> anyhow::Result<u64> {
    process_cpu_ns(rustix::process::getpid())
}

/// The first of schedstat's three numbers: time on the CPU.
fn on_cpu_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The cores a run uses; `None` leaves the choice to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cores {
    pub server: Option<usize>,
    pub client: Option<usize>,
}

impl Cores {
    /// Server on the first and client on the second core this process may use, where there are two.
    pub fn choose(server: Option<usize>, client: Option<usize>) -> anyhow::Result<Self> {
        let allowed = allowed()?;
        for wanted in [server, client].into_iter().flatten() {
            anyhow::ensure!(
                allowed.contains(&wanted),
                "core {wanted} is not one of those this process may use ({allowed:?})"
            );
        }
        let pair = allowed.first().zip(allowed.get(1));
        Ok(Self {
            server: server.or(pair.map(|(&first, _)| first)),
            client: client.or(pair.map(|(_, &second)| second)),
        })
    }
}

fn allowed() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("asking which cores this process may use")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&core| set.is_set(core))
        .collect())
}

/// Binds this thread, and all it starts from now on, to one core.
pub fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("binding to core {core}"))
}

/// Runs `start` on `core`, so that the process it starts inherits it, then comes back to where this thread was.
pub(crate) fn pinned_to<T>(core: Option<usize>, start: impl FnOnce() -> T) -> anyhow::Result<T> {
    let Some(core) = core else {
        return Ok(start());
    };
    let before = sched_getaffinity(None).context("asking which cores this thread may use")?;
    pin(core)?;
    let started = start();
    sched_setaffinity(None, &before).context("binding back")?;
    Ok(started)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_busy_thread_shows_in_its_process() {
        let own = rustix::process::getpid();
        let before = process_cpu_ns(own).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let used = process_cpu_ns(own).unwrap() - before;
        // Other tests of this process may run beside it, and other processes may take the core.
        assert!(used > 5_000_000, "{used} ns");
    }

    #[test]
    fn a_shell_and_what_it_starts_are_one_family() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .spawn()
            .unwrap();
        let start = Instant::now();
        let family = loop {
            let family = family(Pid::from_child(&shell));
            if family.len() == 2 || start.elapsed() > Duration::from_secs(10) {
                break family;
            }
        };
        for pid in &family {
            rustix::process::kill_process(*pid, rustix::process::Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!(family.len(), 2);
        assert_eq!(parent("7 (a) b) c) S 3 7"), Pid::from_raw(3));
        assert_eq!(parent("7"), None);
    }

    #[test]
    fn a_core_that_is_not_there_is_refused() {
        assert!(Cores::choose(Some(1023), None).is_err());
    }

    #[test]
    fn pinning_for_a_start_is_undone() {
        let core = allowed().unwrap()[0];
        let before = sched_getaffinity(None).unwrap();
        let inside = pinned_to(Some(core), || sched_getaffinity(None).unwrap()).unwrap();
        assert_eq!(inside.count(), 1);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
