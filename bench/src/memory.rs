//! What a machine's memory is used for, before and after: all that is neither free nor a cache of files, by `/proc/meminfo`,
//! less what the kernel keeps in stock for the next taker; and the memory of a process that is its own.
//!
//! Not `MemAvailable`: it counts the inodes and dentries of open sockets as reclaimable, which they are not. In stock are
//! empty places of slabs, and free pages on the lists of each core (since Linux 6.7 they grow to 40 MB a core and more):
//! `MemFree` has neither, so what an earlier phase gave back would hide what the next one takes.

use anyhow::Context;
use rustix::process::Pid;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;

const PAGE_BYTES: u64 = 4096;

/// One look at the whole machine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Reading {
    /// `MemTotal − MemFree − Buffers − Cached`, less the stock.
    pub(crate) used_bytes: f64,
    /// By name; empty where only root may look, and then nothing is taken off.
    #[serde(skip)]
    slabs: BTreeMap<String, Cache>,
}

/// One cache of the kernel's allocator.
struct Slab<'a> {
    name: &'a str,
    live: u64,
    all: u64,
    /// Room of one object: the pages of a slab, divided by the objects in it.
    room: f64,
}

impl Reading {
    pub(crate) fn take() -> anyhow::Result<Self> {
        let used = Self::take_used()?;
        let slabinfo = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        let empty: f64 = slabs(&slabinfo).map(|slab| slab.empty()).sum();
        Ok(Self {
            used_bytes: used as f64 - empty,
            slabs: caches(&slabinfo),
        })
    }

    /// The same with the empty places of slabs, which costs less to read.
    pub(crate) fn take_used() -> anyhow::Result<u64> {
        let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
        let zones = fs::read_to_string("/proc/zoneinfo").context("reading /proc/zoneinfo")?;
        let used = used(&text).context("/proc/meminfo lacks a line")?;
        Ok(used.saturating_sub(on_core_lists(&zones)))
    }

    /// Bytes used since `before`; below zero when something else gave memory back.
    pub(crate) fn since(&self, before: &Self) -> f64 {
        self.used_bytes - before.used_bytes
    }

    /// Bytes of one half of so many pairs that came since `before`: of the caches that have two more objects for each pair.
    /// What only one half has, a port or a watch, is not in it; by number and not by name, because the kernel merges caches of
    /// one size under one name. `None` where nobody may look.
    pub(crate) fn half_since(&self, before: &Self, pairs: f64) -> Option<f64> {
        let more = |name: &str, cache: &Cache| {
            let then = before.slabs.get(name).map_or(0.0, |then| then.live);
            (cache.live - then) / pairs
        };
        let known = !self.slabs.is_empty() && !before.slabs.is_empty();
        let caches = self.slabs.iter();
        let of_both = caches.filter(|(name, cache)| TWO.contains(&more(name, cache)));
        let bytes = of_both.map(|(name, cache)| more(name, cache) * cache.room / 2.0);
        known.then(|| bytes.sum())
    }
}

/// Objects that count as two for each pair: others come and go meanwhile.
const TWO: std::ops::RangeInclusive<f64> = 1.9..=2.1;

/// A cache of the kernel, at one moment.
#[derive(Clone, Copy, Debug)]
struct Cache {
    live: f64,
    /// Bytes an object takes.
    room: f64,
}

fn used(meminfo: &str) -> Option<u64> {
    let field = |name: &str| kib(meminfo, name);
    let rest = field("MemFree:")? + field("Buffers:")? + field("Cached:")?;
    Some(field("MemTotal:")?.saturating_sub(rest) * 1024)
}

/// Bytes of free pages on the lists of the cores.
fn on_core_lists(zoneinfo: &str) -> u64 {
    let counts = zoneinfo.lines().filter_map(|line| {
        let count = line.trim_start().strip_prefix("count:")?;
        count.trim().parse::<u64>().ok()
    });
    counts.sum::<u64>() * PAGE_BYTES
}

/// The number behind the first line that begins with `name`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Slab<'_> {
    fn empty(&self) -> f64 {
        self.all.saturating_sub(self.live) as f64 * self.room
    }
}

fn caches(slabinfo: &str) -> BTreeMap<String, Cache> {
    let cache = |slab: Slab<'_>| Cache {
        live: slab.live as f64,
        room: slab.room,
    };
    slabs(slabinfo)
        .map(|slab| (slab.name.to_owned(), cache(slab)))
        .collect()
}

fn slabs(slabinfo: &str) -> impl Iterator<Item = Slab<'_>> {
    let lines = slabinfo.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?;
        let mut number = || fields.next()?.parse::<u64>().ok();
        let (live, all, _object) = (number()?, number()?, number()?);
        let (objects, pages) = (number()?, number()?);
        Some(Slab {
            name,
            live,
            all,
            room: (pages * PAGE_BYTES) as f64 / objects.max(1) as f64,
        })
    })
}

/// Pages of a process that are neither a file's nor shared: its heap, stacks and anonymous mappings.
pub(crate) fn anonymous_bytes(pid: Pid) -> anyhow::Result<u64> {
    let path = format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero());
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let kib = kib(&text, "Anonymous:").context("smaps_rollup has no line Anonymous")?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_of_files_are_not_used_memory() {
        let text = "MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 900 kB\nBuffers: 20 kB\nCached: 80 kB\n";
        assert_eq!(used(text), Some(600 * 1024));
        assert_eq!(used("MemTotal: 1000 kB\n"), None);
        assert_eq!(used(""), None);
    }

    #[test]
    fn free_pages_on_the_lists_of_all_cores_count() {
        let text = "Node 0, zone DMA32\n  pages free 770927\n    cpu: 0\n              count:    3\n              high:     1442\n    cpu: 1\n              count:    4\nNode 0, zone Movable\n";
        assert_eq!(on_core_lists(text), 7 * 4096);
        assert_eq!(on_core_lists("count: x\n"), 0);
    }

    #[test]
    fn slabs_are_counted_by_live_objects() {
        let text = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\nTCP 10 20 2432 13 8 : tunables\nTCPv6 1 2 100 1 1\nfilp x\n";
        let all: Vec<_> = slabs(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name, all[0].live), ("TCP", 10));
        let room = 8.0 * 4096.0 / 13.0;
        assert!((all[0].room - room).abs() < 1e-9);
        assert!((all[0].empty() - 10.0 * room).abs() < 1e-6);
    }

    #[test]
    fn a_half_is_what_there_are_two_of() {
        let reading = |text: &str| Reading {
            used_bytes: 0.0,
            slabs: caches(text),
        };
        let before = reading("TCP 10 20 2432 2 1\nport 0 0 128 32 1\nother 7 7 64 64 1\n");
        let after = reading("TCP 209 220 2432 2 1\nport 107 128 128 32 1\nother 9 9 64 64 1\n");
        let half = after.half_since(&before, 100.0).unwrap();
        assert!((half - 1.99 * 2_048.0 / 2.0).abs() < 1e-6, "{half}");
        assert_eq!(reading("").half_since(&before, 100.0), None);
    }

    #[test]
    fn this_machine_and_this_process_use_memory() {
        let before = Reading::take().unwrap();
        assert!(before.used_bytes > 1e6);
        let own = rustix::process::getpid();
        let anonymous = anonymous_bytes(own).unwrap();
        let held = vec![1_u8; 8 << 20];
        let grown = anonymous_bytes(own).unwrap() - anonymous;
        assert!(grown >= 7 << 20, "{grown} for {}", held.len());
    }
}
