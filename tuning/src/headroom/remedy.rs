//! What to type to lift a limit.

use super::bounds::connections_per_ring;
use super::{Limit, Wanted};
use crate::constants::{CLIENT_BYTES, RING_SLOTS_MAX};
use crate::limits::Limits;

pub(super) fn of(binding: Limit, limits: &Limits, wanted: &Wanted) -> String {
    match binding {
        Limit::Configured => "raise the configured number of connections".to_owned(),
        Limit::Budget => "raise the memory budget".to_owned(),
        Limit::RingTables => ring_tables(limits, wanted),
        Limit::LockedMemory => "`ulimit -l unlimited` (systemd: LimitMEMLOCK=infinity; container: \
                                --ulimit memlock=-1), or larger tables in fewer rings"
            .to_owned(),
        Limit::Memory => memory(wanted),
        Limit::ControlGroup => control_group(limits),
        Limit::FileMax => file_max(limits),
        Limit::TcpMemory => tcp_memory(limits),
        Limit::Ports => "more source addresses for the clients (all of 127.0.0.0/8 are this \
                         machine), or `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`"
            .to_owned(),
    }
}

/// A larger table where a limit of open files makes it small, another ring where not.
fn ring_tables(limits: &Limits, wanted: &Wanted) -> String {
    let slots = wanted.slots_per_ring.min(RING_SLOTS_MAX);
    let soft = limits.open_files_soft.as_ref().copied();
    let hard = limits.open_files_hard.as_ref().copied();
    match (soft, hard) {
        (Ok(soft), Ok(hard)) if soft < slots && soft < hard => {
            format!("`ulimit -n {}`", slots.min(hard))
        }
        (Ok(soft), _) if soft < slots => format!(
            "more rings of {soft} sockets each, or a higher limit of open files (systemd: \
             LimitNOFILE={slots}; container: --ulimit nofile={slots}:{slots})"
        ),
        _ if wanted.slots_per_ring < RING_SLOTS_MAX => {
            format!("larger tables (now {slots} slots, at most {RING_SLOTS_MAX}), or more rings")
        }
        _ => format!(
            "more rings: one holds at most {}",
            connections_per_ring(limits, wanted)
        ),
    }
}

fn memory(wanted: &Wanted) -> String {
    let kernel = wanted.kernel_bytes_per_connection;
    let each = kernel.saturating_add(wanted.user_bytes_per_connection);
    match &wanted.clients_here {
        Some(clients) => format!(
            "more memory ({each} B for each server's end, {} B for each client's), or the clients on \
             another machine",
            clients.bytes_per_connection
        ),
        None if each > KERNEL_AND_USER_USUAL => {
            format!("more memory, or fewer than {each} B for each connection")
        }
        None => format!("more memory ({each} B for each connection)"),
    }
}

/// Above this, a connection of ours has something to save.
const KERNEL_AND_USER_USUAL: u64 = CLIENT_BYTES;

fn control_group(limits: &Limits) -> String {
    let path = match &limits.control_group {
        Ok(Some(group)) => group.path.as_str(),
        _ => "the control group",
    };
    format!(
        "raise the memory of {path} (systemd: `systemctl set-property UNIT MemoryMax=…`; container: \
         --memory)"
    )
}

fn file_max(limits: &Limits) -> String {
    let doubled = limits.file_max.as_ref().map(|max| max.saturating_mul(2));
    doubled.map_or_else(
        |_| "raise fs.file-max".to_owned(),
        |max| format!("`sysctl -w fs.file-max={}`", max.min(i64::MAX as u64)),
    )
}

fn tcp_memory(limits: &Limits) -> String {
    let pages = limits.tcp_memory_pages.as_ref();
    pages.map_or_else(
        |_| "raise net.ipv4.tcp_mem".to_owned(),
        |pages| {
            let [low, pressure, high] = pages.map(|pages| pages.saturating_mul(2));
            format!("`sysctl -w net.ipv4.tcp_mem=\"{low} {pressure} {high}\"`")
        },
    )
}
