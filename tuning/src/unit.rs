//! A systemd unit for a server of so many connections: its limits, and hardening that leaves io_uring usable.

use crate::constants::{DESCRIPTORS_BESIDE, RING_SLOTS_MAX};
use crate::plan::Plan;

/// Threads of a server beside its shards: control, page readers, the store's workers. Rule of thumb, generous.
const TASKS_BESIDE: u64 = 64;

/// The unit's text. io_uring is named beside `@system-service`, because older systemd does not count it in there.
#[must_use]
pub fn unit(plan: &Plan) -> String {
    let open_files = plan
        .connections
        .saturating_add(DESCRIPTORS_BESIDE)
        .min(RING_SLOTS_MAX);
    let tasks = plan.cores.saturating_mul(2).saturating_add(TASKS_BESIDE);
    let memory = plan.memory_bytes;
    let connections = plan.connections;
    format!(
        "\
# For {connections} connections; `millpond tune plan --connections {connections}` shows the arithmetic.
[Unit]
Description=Millpond, a messaging backend
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/bin/millpond serve --data /var/lib/millpond
DynamicUser=yes
StateDirectory=millpond
Restart=on-failure
# 2: the configuration is wrong, a restart does not mend it.
RestartPreventExitStatus=2
# Longer than drain.timeout.
TimeoutStopSec=90

# Each ring's table of sockets is checked against it.
LimitNOFILE={open_files}
# Since Linux 6.14 the queues of rings count against it.
LimitMEMLOCK=infinity
TasksMax={tasks}
# Sockets are charged to the service, too. Lower only with the plan in hand.
MemoryMax={memory}
OOMScoreAdjust=-500

# Older systemd has io_uring not in @system-service, so it is named.
SystemCallFilter=@system-service io_uring_setup io_uring_enter io_uring_register
SystemCallErrorNumber=EPERM
SystemCallArchitectures=native
NoNewPrivileges=yes
CapabilityBoundingSet=
PrivateDevices=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes

[Install]
WantedBy=multi-user.target
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Load, plan};

    #[test]
    fn limits_follow_the_plan() {
        let plan = plan(200_000, &Load::default());
        let text = unit(&plan);
        assert!(text.contains("\nLimitNOFILE=201024\n"), "{text}");
        assert!(text.contains(&format!("\nMemoryMax={}\n", plan.memory_bytes)));
        assert!(text.contains("io_uring_setup io_uring_enter io_uring_register"));
    }

    /// As `check` reads it.
    #[test]
    fn its_own_check_is_content() {
        let text = unit(&plan(1_000_000, &Load::default()));
        let limit = text
            .lines()
            .find_map(|line| line.strip_prefix("LimitNOFILE="));
        assert!(limit.unwrap().parse::<u64>().unwrap() > 1_000_000);
    }
}
