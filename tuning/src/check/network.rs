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
    findings
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
