//! System calls and instructions of a whole process, counted by `perf stat` from outside. Where perf is missing or not
//! permitted, the report says "not measured": nothing is estimated.

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// What was counted; `None` where this machine cannot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) system_calls: Option<u64>,
    pub(crate) instructions: Option<u64>,
}

/// A `perf stat` that is counting.
#[derive(Debug)]
pub(crate) struct Counting {
    perf: Child,
    result: NamedTempFile,
}

const SYSTEM_CALLS: &str = "raw_syscalls:sys_enter";
const INSTRUCTIONS: &str = "instructions";
/// perf gives no sign that it has attached.
const ATTACH: Duration = Duration::from_millis(500);
const END_MAX: Duration = Duration::from_secs(5);

impl Counting {
    pub(crate) fn start(pid: Pid) -> anyhow::Result<Self> {
        let result = NamedTempFile::new().context("making a file for perf")?;
        let perf = Command::new("perf")
            .args(["stat", "-x,", "-e", SYSTEM_CALLS, "-e", INSTRUCTIONS, "-p"])
            .arg(pid.as_raw_nonzero().to_string())
            .arg("-o")
            .arg(result.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting perf")?;
        let mut counting = Self { perf, result };
        std::thread::sleep(ATTACH);
        let ended = counting.perf.try_wait().context("asking for perf")?;
        ensure!(ended.is_none(), "perf may not count here");
        Ok(counting)
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<Counts> {
        kill_process(Pid::from_child(&self.perf), Signal::INT).context("stopping perf")?;
        let start = Instant::now();
        while self.perf.try_wait()?.is_none() {
            ensure!(start.elapsed() < END_MAX, "perf did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = std::fs::read_to_string(self.result.path()).context("reading perf's counts")?;
        Ok(parse(&text))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _killed = self.perf.kill();
        let _reaped = self.perf.wait();
    }
}

/// Lines of `count,unit,event,…`; the count is a phrase in angle brackets where there is none.
fn parse(text: &str) -> Counts {
    let count = |event: &str| {
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.get(2).is_some_and(|name| name.starts_with(event)));
        fields.and_then(|fields| fields[0].parse().ok())
    };
    Counts {
        system_calls: count(SYSTEM_CALLS),
        instructions: count(INSTRUCTIONS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_parsed_and_missing_ones_stay_missing() {
        let text = "# started on …\n\n29,,raw_syscalls:sys_enter,2242,100.00,,\n<not supported>,,instructions,0,100.00,,\n";
        let counts = parse(text);
        assert_eq!(counts.system_calls, Some(29));
        assert_eq!(counts.instructions, None);
    }
}
