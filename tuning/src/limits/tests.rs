//! Facts from made-up machines: good ones, and every kind of bad file.

use super::*;
use crate::made_up::machine;
use crate::root::{Unknown, Why};

const PROCESS_LIMITS: &[u8] =
    b"Limit                     Soft Limit           Hard Limit           Units     
Max open files            20000                30000                files     
Max locked memory         8388608              unlimited            bytes     
";

#[test]
fn this_machine_is_known() {
    let limits = Limits::read(&Root::default());
    assert!(limits.open_files_soft.unwrap() > 0);
    assert!(limits.file_max.unwrap() > limits.files_now.unwrap());
    assert!(limits.memory_total_bytes.unwrap() > limits.memory_available_bytes.unwrap());
    let [low, pressure, high] = limits.tcp_memory_pages.unwrap();
    assert!(low <= pressure && pressure <= high);
    assert!(limits.kernel.unwrap() >= (6, 1));
    limits.control_group.unwrap();
    limits.may_lock_any_memory.unwrap();
    limits.locked_memory_bytes.unwrap();
}

#[test]
fn limits_of_the_process_have_two_sides() {
    let (_folder, root) = machine(&[("/proc/self/limits", PROCESS_LIMITS)]);
    let limit = |name, side| process_limit(&root, name, side).unwrap();
    assert_eq!(limit("Max open files", Side::Soft), 20_000);
    assert_eq!(limit("Max open files", Side::Hard), 30_000);
    assert_eq!(limit("Max locked memory", Side::Hard), UNLIMITED);
}

#[test]
fn an_empty_machine_is_unknown_in_every_part() {
    let (_folder, root) = machine(&[]);
    let limits = Limits::read(&root);
    let missing = |reading: Result<u64, Unknown>| assert!(reading.unwrap_err().is_missing());
    missing(limits.open_files_soft);
    missing(limits.nr_open);
    missing(limits.file_max);
    missing(limits.files_now);
    missing(limits.memory_available_bytes);
    missing(limits.locked_memory_bytes);
    assert!(limits.control_group.unwrap_err().is_missing());
    assert!(limits.may_lock_any_memory.unwrap_err().is_missing());
}

#[test]
fn garbage_is_unknown_and_says_what_was_found() {
    let huge = vec![b'7'; (1 << 20) + 1];
    let bad: [&[u8]; 8] = [
        b"",
        b"\n",
        b"many",
        b"-1",
        b"0x15",
        b"18446744073709551616",
        b"\xff\xfe",
        &huge,
    ];
    let files = [
        "/proc/sys/fs/nr_open",
        "/proc/sys/fs/file-max",
        "/proc/sys/fs/file-nr",
        "/proc/sys/net/ipv4/tcp_mem",
        "/proc/sys/net/ipv4/ip_local_port_range",
        "/proc/self/limits",
        "/proc/self/status",
        "/proc/self/cgroup",
        "/proc/meminfo",
        "/proc/sys/kernel/osrelease",
    ];
    for bytes in bad {
        let all: Vec<_> = files.iter().map(|file| (*file, bytes)).collect();
        let (_folder, root) = machine(&all);
        let limits = Limits::read(&root);
        let unknown: Vec<Unknown> = [
            limits.nr_open.err(),
            limits.file_max.err(),
            limits.files_now.err(),
            limits.tcp_memory_pages.err(),
            limits.ports.err(),
            limits.open_files_soft.err(),
            limits.may_lock_any_memory.err(),
            limits.control_group.err(),
            limits.memory_total_bytes.err(),
            limits.kernel.err(),
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(
            unknown.len(),
            files.len(),
            "{:?}",
            &bytes[..bytes.len().min(9)]
        );
        for (unknown, file) in unknown.iter().zip(files) {
            assert!(matches!(unknown.why, Why::Malformed(_)), "{unknown}");
            assert!(unknown.file.starts_with("/proc/"), "{file}");
        }
    }
}

#[test]
fn a_folder_in_the_place_of_a_file_is_unreadable() {
    let (_folder, root) = machine(&[("/proc/sys/fs/nr_open/inside", b"1")]);
    let unknown = root.number("/proc/sys/fs/nr_open").unwrap_err();
    assert!(matches!(unknown.why, Why::Unreadable(_)), "{unknown}");
}

const STAT: &[u8] = b"anon 5\ninactive_file 10\nactive_file 20\nfile 99\n";

#[test]
fn the_tightest_group_of_version_2_counts_without_its_cache() {
    let (_folder, root) = machine(&[
        ("/proc/self/cgroup", b"0::/a/b\n"),
        ("/sys/fs/cgroup/a/memory.max", b"1000\n"),
        ("/sys/fs/cgroup/a/memory.current", b"900\n"),
        ("/sys/fs/cgroup/a/memory.stat", STAT),
        ("/sys/fs/cgroup/a/b/memory.max", b"max\n"),
    ]);
    let group = Limits::read(&root).control_group.unwrap().unwrap();
    assert_eq!(group.path, "/sys/fs/cgroup/a");
    assert_eq!((group.used_bytes, group.room_bytes()), (870, 130));
}

#[test]
fn version_1_beside_version_2_is_read_where_memory_is() {
    let (_folder, root) = machine(&[
        ("/proc/self/cgroup", b"4:memory:/x\n3:cpu,cpuacct:/\n0::/\n"),
        (
            "/sys/fs/cgroup/memory/x/memory.limit_in_bytes",
            b"9223372036854771712\n",
        ),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", b"5000\n"),
        ("/sys/fs/cgroup/memory/memory.usage_in_bytes", b"100\n"),
        (
            "/sys/fs/cgroup/memory/memory.stat",
            b"total_inactive_file 60\n",
        ),
    ]);
    let group = Limits::read(&root).control_group.unwrap().unwrap();
    assert_eq!((group.limit_bytes, group.used_bytes), (5_000, 40));
}

#[test]
fn a_group_that_cannot_be_judged_is_unknown() {
    let outside: &[(&str, &[u8])] = &[("/proc/self/cgroup", b"0::/../b\n")];
    let unmounted: &[(&str, &[u8])] = &[("/proc/self/cgroup", b"0::/\n")];
    let half: &[(&str, &[u8])] = &[
        ("/proc/self/cgroup", b"0::/\n"),
        ("/sys/fs/cgroup/memory.max", b"10\n"),
    ];
    let wrong: &[(&str, &[u8])] = &[
        ("/proc/self/cgroup", b"0::/\n"),
        ("/sys/fs/cgroup/memory.max", b"most\n"),
    ];
    for files in [outside, unmounted, half, wrong] {
        let (_folder, root) = machine(files);
        assert!(Limits::read(&root).control_group.is_err(), "{files:?}");
    }
}

#[test]
fn a_kernel_without_groups_limits_nothing_by_them() {
    let (_folder, root) = machine(&[("/proc/self/limits", PROCESS_LIMITS)]);
    assert_eq!(Limits::read(&root).control_group, Ok(None));
}

#[test]
fn capabilities_and_releases_are_read() {
    let status = b"Name:\tx\nCapEff:\t0000000000004000\n";
    let (_folder, root) = machine(&[
        ("/proc/self/status", status),
        ("/proc/sys/kernel/osrelease", b"6.18.44-generic\n"),
    ]);
    assert_eq!(has_capability(&root, 14), Ok(true));
    assert_eq!(has_capability(&root, 13), Ok(false));
    assert_eq!(kernel(&root), Ok((6, 18)));
}
