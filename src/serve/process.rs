//! The process as the kernel sees it: its limit of open files, and numbers for the metrics.

use anyhow::Context as _;
use millpond_backplane::metrics::{Sample, SampleKind, Source};
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The kernel checks the size of a ring's table against this limit; the soft one is often 1024 for no reason but age.
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

/// A huge page is a part of memory that stays whole while one connection of 32,000 is in it; the allocator asks for them.
pub(super) fn refuse_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "huge pages stay on: memory may not come back when connections go");
    }
}

/// As if somebody had asked for it: whoever was connected is sent away in order.
pub(super) fn end_with_parent() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("asking to end with the parent")
}

#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
        }
    }
}

impl Source for Process {
    fn samples(&self, into: &mut Vec<Sample>) {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        into.push(Sample {
            labels: version,
            ..gauge("build_info", "The version that runs.", 1.0)
        });
        let started = self
            .started
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        into.push(gauge(
            "process_start_time_seconds",
            "When it started, Unix time.",
            started,
        ));
        into.extend(memory().map(|bytes| gauge("process_resident_bytes", "Memory in use.", bytes)));
        into.extend(
            open_files().map(|files| gauge("process_open_files", "Descriptors in use.", files)),
        );
        into.extend(cpu_seconds().map(|seconds| Sample {
            kind: SampleKind::Counter,
            ..gauge(
                "process_cpu_seconds_total",
                "Time on the processor, user and kernel.",
                seconds,
            )
        }));
    }
}

pub(super) fn gauge(name: &'static str, help: &'static str, value: f64) -> Sample {
    Sample {
        name,
        help,
        kind: SampleKind::Gauge,
        labels: Vec::new(),
        value,
    }
}

fn memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(files).ok().map(f64::from)
}

/// Fields 14 and 15, counted behind the name in parentheses, which may hold anything.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some((user + kernel) / TICKS_PER_SECOND)
}

/// USER_HZ, the same on every Linux that user space has seen for twenty years.
const TICKS_PER_SECOND: f64 = 100.0;

#[test]
fn the_kernel_tells_everything() {
    let mut samples = Vec::new();
    Process::default().samples(&mut samples);
    assert_eq!(samples.len(), 5);
    assert!(
        samples
            .iter()
            .all(|sample| sample.value > 0.0 || sample.name.contains("cpu")),
        "{samples:?}"
    );
}
