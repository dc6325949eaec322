//! Facts about where a run happened: without them its figures mean nothing.

use crate::talk::unix_ms;
use rustix::param::clock_ticks_per_second;
use serde::Serialize;
use std::fs;
use std::time::Duration;

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_kib: u64,
    pub kernel: String,
}

impl Machine {
    /// Reads /proc; what is not there reads "unknown".
    pub fn read() -> Self {
        let unknown = || "unknown".to_owned();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: cores(),
            memory_kib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.trim_end_matches(" kB").parse().ok())
                .unwrap_or(0),
            kernel: kernel.map_or_else(|_| unknown(), |text| text.trim().to_owned()),
        }
    }
}

/// When this process was started, in milliseconds since 1970; now, where /proc does not say.
pub(crate) fn process_started_unix_ms() -> u64 {
    let age_ms = process_age_ms().unwrap_or(0);
    unix_ms().saturating_sub(age_ms)
}

fn process_age_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let up_s: f64 = uptime.split(' ').next()?.parse().ok()?;
    let started_s = started_ticks(&stat)? as f64 / clock_ticks_per_second() as f64;
    let age = Duration::try_from_secs_f64(up_s - started_s).ok()?;
    u64::try_from(age.as_millis()).ok()
}

/// Field 22 of `stat`, since boot. The second, the name, may hold spaces and brackets: fields are counted behind it.
fn started_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(") ")?;
    behind.split(' ').nth(22 - 3)?.parse().ok()
}

/// All cores, whichever this process is bound to.
fn cores() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with("processor"))
        .count()
}

/// The value of the first line `name : value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && machine.memory_kib > 0, "{machine:?}");
        assert_ne!(machine.kernel, "unknown");
    }

    #[test]
    fn a_process_knows_when_it_began() {
        let age_ms = process_age_ms().unwrap();
        assert!(age_ms < 600_000, "{age_ms}");
        assert!(process_started_unix_ms() <= unix_ms());
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(started_ticks(stat), Some(4711));
        assert_eq!(started_ticks("7 (sh) S 1"), None);
    }
}
