//! One good machine; each parameter spoilt in turn; and machines of garbage.

use super::*;
use crate::made_up::machine;

const GOOD: &[(&str, &[u8])] = &[
    (
        "/proc/self/limits",
        b"Max open files 1048576 1048576 files\nMax locked memory 8388608 8388608 bytes\n",
    ),
    (
        "/proc/self/status",
        b"CapEff:\t0000000000000000\nSeccomp:\t0\n",
    ),
    ("/proc/self/cgroup", b"0::/\n"),
    (
        "/proc/meminfo",
        b"MemTotal: 24731708 kB\nMemAvailable: 23918192 kB\n",
    ),
    ("/proc/sys/kernel/osrelease", b"6.18.44\n"),
    ("/proc/sys/kernel/io_uring_disabled", b"0\n"),
    ("/proc/sys/fs/file-max", b"9223372036854775807\n"),
    ("/proc/sys/fs/file-nr", b"384 0 9223372036854775807\n"),
    ("/proc/sys/fs/nr_open", b"1073741816\n"),
    ("/proc/sys/net/core/somaxconn", b"65535\n"),
    ("/proc/sys/net/ipv4/tcp_max_syn_backlog", b"65536\n"),
    ("/proc/sys/net/ipv4/tcp_syncookies", b"1\n"),
    ("/proc/sys/net/netfilter/nf_conntrack_max", b"2000000\n"),
    ("/proc/sys/net/ipv4/tcp_mem", b"288459 384612 576918\n"),
    ("/proc/sys/net/ipv4/tcp_rmem", b"4096 131072 4194304\n"),
    ("/proc/sys/net/ipv4/tcp_wmem", b"4096 16384 4194304\n"),
    ("/proc/sys/net/ipv4/tcp_slow_start_after_idle", b"0\n"),
    ("/proc/sys/net/ipv4/ip_local_port_range", b"1024 65535\n"),
    ("/proc/sys/net/ipv4/tcp_ehash_entries", b"262144\n"),
    ("/sys/fs/cgroup/cgroup.controllers", b"memory\n"),
    ("/sys/class/net/eth0/device/vendor", b"1\n"),
    ("/sys/class/net/eth0/queues/rx-0/rps_cpus", b"3\n"),
    ("/sys/class/net/eth0/queues/tx-0/xps_cpus", b"0\n"),
    ("/sys/class/net/eth0/queues/tx-1/xps_cpus", b"0\n"),
    ("/sys/class/net/lo/queues/rx-0/rps_cpus", b"0\n"),
    ("/sys/devices/system/cpu/online", b"0-1\n"),
    (
        "/sys/kernel/mm/transparent_hugepage/enabled",
        b"always [madvise] never\n",
    ),
    (
        "/etc/systemd/system/millpond.service",
        b"[Service]\nLimitNOFILE=1048576\n",
    ),
];

/// The good machine with one file changed, or taken away.
fn with(file: &str, bytes: Option<&[u8]>, clients_here: bool) -> Vec<Finding> {
    let kept = GOOD.iter().filter(|(name, _)| *name != file).copied();
    let files: Vec<_> = kept.chain(bytes.map(|bytes| (file, bytes))).collect();
    let (_folder, root) = machine(&files);
    let load = Load {
        clients_here,
        ..Load::default()
    };
    check(&root, &Target::new(&root, 1_000_000, load))
}

fn named(findings: &[Finding], part: &str) -> Finding {
    let found = findings.iter().find(|finding| finding.name.contains(part));
    found.unwrap_or_else(|| panic!("no {part}")).clone()
}

#[test]
fn a_good_machine_is_fine_in_every_part() {
    let findings = with("", None, false);
    for finding in &findings {
        assert!(finding.verdict <= Verdict::Fine, "{finding:?}");
        assert!(finding.change.is_none() && finding.remedy.is_none());
    }
    assert_eq!(worst(&findings), Verdict::Fine);
    assert_eq!(worst(&[]), Verdict::Unknown);
}

/// File, what it says, part of the finding's name, verdict.
const SPOILT: &[(&str, &[u8], &str, Verdict)] = {
    use Verdict::{Blocker, Warning};
    &[
        ("/proc/sys/kernel/osrelease", b"5.15.0-1", "kernel", Blocker),
        (
            "/proc/sys/kernel/osrelease",
            b"6.1.7-amd64",
            "kernel",
            Warning,
        ),
        (
            "/proc/sys/kernel/io_uring_disabled",
            b"1",
            "io_uring_disabled",
            Blocker,
        ),
        (
            "/proc/sys/kernel/io_uring_disabled",
            b"2",
            "io_uring_disabled",
            Blocker,
        ),
        (
            "/proc/self/status",
            b"CapEff:\t0\nSeccomp:\t2\n",
            "seccomp",
            Warning,
        ),
        (
            "/proc/self/limits",
            b"Max open files 1000 1000 f\nMax locked memory 1 1 b",
            "open files",
            Blocker,
        ),
        (
            "/proc/self/limits",
            b"Max open files 4096 9999 f\nMax locked memory 1 1 b",
            "open files",
            Warning,
        ),
        (
            "/proc/self/limits",
            b"Max open files 20000 9999 f\nMax locked memory 8388608 1 b",
            "locked memory",
            Blocker,
        ),
        (
            "/etc/systemd/system/millpond.service",
            b"[Service]\n",
            "LimitNOFILE",
            Warning,
        ),
        (
            "/etc/systemd/system/millpond.service",
            b"LimitNOFILE=1024:infinity",
            "LimitNOFILE",
            Warning,
        ),
        ("/proc/sys/fs/file-max", b"1000000", "file-max", Blocker),
        ("/proc/sys/fs/nr_open", b"1024", "nr_open", Warning),
        (
            "/proc/sys/net/core/somaxconn",
            b"4096",
            "somaxconn",
            Warning,
        ),
        (
            "/proc/sys/net/ipv4/tcp_max_syn_backlog",
            b"128",
            "syn_backlog",
            Warning,
        ),
        (
            "/proc/sys/net/ipv4/tcp_syncookies",
            b"0",
            "syncookies",
            Warning,
        ),
        (
            "/proc/sys/net/netfilter/nf_conntrack_max",
            b"262144",
            "conntrack",
            Blocker,
        ),
        ("/proc/sys/net/ipv4/tcp_mem", b"1 2 3", "tcp_mem", Warning),
        (
            "/proc/sys/net/ipv4/tcp_ehash_entries",
            b"131072",
            "tcp_ehash_entries",
            Warning,
        ),
        (
            "/proc/sys/net/ipv4/tcp_rmem",
            b"4096 131072 33554432",
            "tcp_rmem",
            Warning,
        ),
        (
            "/proc/sys/net/ipv4/tcp_wmem",
            b"4096 9999999 9999999",
            "tcp_wmem",
            Warning,
        ),
        (
            "/proc/sys/net/ipv4/tcp_slow_start_after_idle",
            b"1",
            "slow_start",
            Warning,
        ),
        (
            "/proc/sys/net/ipv4/ip_local_port_range",
            b"32768 60999",
            "port_range",
            Warning,
        ),
        (
            "/sys/class/net/eth0/queues/rx-0/rps_cpus",
            b"00000000,00000000",
            "receive queues",
            Warning,
        ),
        (
            "/sys/devices/system/cpu/online",
            b"0-3,8",
            "transmit queues",
            Warning,
        ),
        (
            "/proc/meminfo",
            b"MemTotal: 2000000 kB\nMemAvailable: 1 kB",
            "memory",
            Blocker,
        ),
        (
            "/sys/fs/cgroup/memory.max",
            b"99",
            "control group",
            Verdict::Unknown,
        ),
        (
            "/sys/kernel/mm/transparent_hugepage/enabled",
            b"[always] madvise never",
            "huge",
            Warning,
        ),
    ]
};

#[test]
fn each_spoilt_parameter_is_found_and_says_what_to_do() {
    for (file, bytes, name, verdict) in SPOILT {
        let clients_here = *name == "port_range";
        let findings = with(file, Some(bytes), clients_here);
        let mut found = named(&findings, name);
        if *name == "memory" {
            found = findings
                .iter()
                .find(|it| it.name == "memory")
                .unwrap()
                .clone();
        }
        assert_eq!(found.verdict, *verdict, "{found:?}");
        let says = found.change.is_some() || found.remedy.is_some();
        assert!(says || *verdict == Verdict::Unknown, "{found:?}");
        assert!(worst(&findings) >= *verdict);
    }
}

/// A million pairs stood on a machine whose table had 262,144 places: nothing was tracked.
#[test]
fn a_small_table_blocks_only_where_something_is_tracked() {
    const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
    const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
    for (count, verdict) in [(&b"0"[..], Verdict::Warning), (b"7", Verdict::Blocker)] {
        let kept = GOOD.iter().filter(|(name, _)| *name != MAX).copied();
        let files: Vec<_> = kept
            .chain([(MAX, &b"262144"[..]), (COUNT, count)])
            .collect();
        let (_folder, root) = machine(&files);
        let findings = check(&root, &Target::new(&root, 1_000_000, Load::default()));
        assert_eq!(named(&findings, "conntrack").verdict, verdict);
    }
}

/// What is not there, is no text or too long, is never fine.
#[test]
fn no_bad_file_is_ever_fine() {
    let huge = vec![b'9'; (1 << 20) + 1];
    let judged = GOOD.iter().filter(|(file, _)| {
        let beside = [
            "file-nr",
            "cgroup.controllers",
            "vendor",
            "xps_cpus",
            "lo/queues",
            "port_range",
        ];
        !beside.iter().any(|part| file.contains(part))
    });
    for (file, _) in judged {
        for bytes in [&b""[..], b"\xff\xfe\x00", b"garbage", &huge] {
            let findings = with(file, Some(bytes), false);
            assert!(worst(&findings) > Verdict::Fine, "{file}: {findings:#?}");
        }
        let may_be_missing = [
            "self/cgroup",
            "conntrack",
            "syncookies",
            "hugepage",
            "service",
            "rps_cpus",
            "tcp_ehash",
        ];
        if !may_be_missing.iter().any(|part| file.contains(part)) {
            assert!(
                worst(&with(file, None, false)) > Verdict::Fine,
                "{file} missing"
            );
        }
    }
}

#[test]
fn an_empty_machine_has_no_verdict_that_is_fine() {
    let (_folder, root) = machine(&[]);
    let findings = check(&root, &Target::new(&root, 1_000_000, Load::default()));
    assert!(
        findings
            .iter()
            .all(|finding| finding.verdict != Verdict::Fine),
        "{findings:#?}"
    );
    assert!(findings.iter().all(|finding| finding.change.is_none()));
}

#[test]
fn this_machine_can_be_judged() {
    let root = Root::default();
    let findings = check(&root, &Target::new(&root, 1_000, Load::default()));
    assert!(findings.len() > 18, "{findings:#?}");
}
