//! Sysctls of TCP that are more than one number, or wanted low.

use super::Verdict::{Blocker, NotHere, Warning};
use super::sysctl::name;
use super::{Finding, Target};
use crate::Sure::{Documented, Measured, RuleOfThumb};
use crate::root::Root;

/// What one slow reader may hold in the kernel, each way.
const BUFFER_BYTES_MAX: u64 = 4 << 20;

pub(super) fn findings(root: &Root, target: &Target) -> Vec<Finding> {
    let mut findings = vec![tcp_memory(target)];
    for file in ["/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem"] {
        findings.push(buffers(root, file));
    }
    findings.push(slow_start(root));
    findings.push(ports(target));
    findings.push(buckets(root, target));
    findings
}

/// Measured with 2,000,000 sockets in 262,144 buckets: a connect took 6.5 % less in a namespace with 2,097,152 of them.
fn buckets(root: &Root, target: &Target) -> Finding {
    const FILE: &str = "/proc/sys/net/ipv4/tcp_ehash_entries";
    /// More of them in one bucket, and looking one up shows in a profile.
    const SOCKETS_PER_BUCKET: u64 = 4;
    let why = "every segment looks its connection up; with many in a bucket of the kernel's table that takes longer";
    let load = &target.plan.load;
    let sockets = target.plan.connections * if load.clients_here { 2 } else { 1 };
    let wanted = (sockets / SOCKETS_PER_BUCKET).next_power_of_two();
    let finding = Finding::new("net.ipv4.tcp_ehash_entries", why, Measured)
        .wants(format!("at least {wanted} buckets"));
    let text = root.text(FILE);
    if text.as_ref().is_err_and(crate::Unknown::is_missing) {
        return finding.is(NotHere, "this kernel does not show it");
    }
    // Below zero: this namespace shares the machine's table.
    let found = text.and_then(|text| {
        crate::root::parse::<u64>(FILE, &text, text.trim().trim_start_matches('-'))
    });
    finding
        .of(&found, |finding, buckets| {
            finding.judged(*buckets >= wanted, Warning, buckets.to_string())
        })
        .or_type(format!(
            "thash_entries={wanted} on the kernel's command line"
        ))
}

/// Raised as a whole, so that the three marks keep their distances.
fn tcp_memory(target: &Target) -> Finding {
    const FILE: &str = "/proc/sys/net/ipv4/tcp_mem";
    let why = "from the pressure mark on the kernel shrinks everybody's windows, at the last it drops data; \
               an idle socket charges nothing, one with queued data whole pages";
    let wanted = target.plan.tcp_memory_pages;
    Finding::new("net.ipv4.tcp_mem", why, RuleOfThumb)
        .wants(format!("pressure (the second) at least {wanted} pages"))
        .of(&target.limits.tcp_memory_pages, |finding, pages| {
            let [low, pressure, high] = *pages;
            let found = format!("{low} {pressure} {high}");
            let raised = format!("{} {wanted} {}", wanted / 4 * 3, wanted / 2 * 3);
            finding
                .judged(pressure >= wanted, Warning, found.clone())
                .or_write(FILE, &found, &raised)
        })
}

fn buffers(root: &Root, file: &'static str) -> Finding {
    let why = "the largest buffer that one slow peer may fill; messages are small";
    Finding::new(&name(file), why, RuleOfThumb)
        .wants(format!(
            "the largest (third) at most {BUFFER_BYTES_MAX} bytes"
        ))
        .of(&root.numbers(file), |finding, bytes| {
            let [least, default, most] = *bytes;
            let found = format!("{least} {default} {most}");
            let default_kept = default.min(BUFFER_BYTES_MAX);
            let lowered = format!(
                "{} {default_kept} {BUFFER_BYTES_MAX}",
                least.min(default_kept)
            );
            finding
                .judged(most <= BUFFER_BYTES_MAX, Warning, found.clone())
                .or_write(file, &found, &lowered)
        })
}

fn slow_start(root: &Root) -> Finding {
    const FILE: &str = "/proc/sys/net/ipv4/tcp_slow_start_after_idle";
    let why =
        "1 forgets the congestion window of a connection that was quiet, as ours nearly always are";
    Finding::new("net.ipv4.tcp_slow_start_after_idle", why, Documented)
        .wants("0")
        .of(&root.number(FILE), |finding, value| {
            finding
                .judged(*value == 0, Warning, value.to_string())
                .or_write(FILE, &value.to_string(), "0")
        })
}

/// Of the clients' machine; a server needs none but its own.
fn ports(target: &Target) -> Finding {
    const FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
    const RANGE: [u64; 2] = [1_024, 65_535];
    let why = "clients on this machine: connect slows tenfold beyond half the ports of a pair of addresses";
    let finding = Finding::new("net.ipv4.ip_local_port_range", why, Measured);
    if !target.plan.load.clients_here {
        return finding.is(NotHere, "no clients on this machine");
    }
    let addresses = target.plan.source_addresses;
    finding
        .wants(format!(
            "{} {}, and {addresses} source addresses",
            RANGE[0], RANGE[1]
        ))
        .of(&target.limits.ports, |finding, [first, last]| {
            let found = format!("{first} {last}");
            let wide = *first <= RANGE[0] && *last >= RANGE[1];
            let verdict = if first > last { Blocker } else { Warning };
            finding.judged(wide, verdict, found.clone()).or_write(
                FILE,
                &found,
                &format!("{} {}", RANGE[0], RANGE[1]),
            )
        })
}
