//! Why a ring could not be opened, and what to type. [`Refusal::of`] decides from what was found, reading nothing; only
//! [`OpenError::found`] looks at the machine. Called by [`super::Uring::open`].

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";
/// The kernel's limit of one table of direct descriptors.
const SLOTS_MAX: u32 = 1 << 20;

/// How far opening a ring came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing was asked of the kernel yet.
    Settings,
    /// `io_uring_setup`.
    Setup,
    /// Registering the ring's own descriptor.
    RingFd,
    /// The table of direct descriptors.
    Slots,
    /// The provided buffers.
    Buffers,
    /// The signal by which a further ring wakes its thread.
    Signal,
}

/// What was found when a step failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub step: Step,
    pub errno: i32,
    /// `kernel.io_uring_disabled`, where the kernel has it.
    pub disabled: Option<u8>,
    pub slots: u32,
    pub open_files_max: u64,
}

/// Why there is no ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    Settings(&'static str),
    /// The kernel has no io_uring, or the sandbox says so.
    Missing,
    /// The kernel does not know something that cannot be done without.
    TooOld,
    /// `kernel.io_uring_disabled` = 1: only for privileged processes and one group.
    DisabledForUs,
    /// `kernel.io_uring_disabled` = 2.
    DisabledForAll,
    /// Not permitted although the sysctl allows it: a seccomp profile, as of containers, or a security module.
    Filtered,
    /// Locked or otherwise accounted memory is used up.
    Memory,
    /// No descriptor left for the ring itself.
    OpenFiles {
        limit: u64,
    },
    /// The table is larger than the limit of open files, against which the kernel checks it.
    SlotsOverLimit {
        slots: u32,
        limit: u64,
    },
    /// The table is larger than the kernel allows at all.
    SlotsOverMax {
        slots: u32,
    },
    Other,
}

impl Refusal {
    /// Decides from what was found alone.
    #[must_use]
    pub(super) fn of(found: &Found) -> Self {
        match (found.step, found.errno) {
            (Step::Slots, libc::EMFILE) => Self::of_slots(found),
            (Step::Setup, libc::ENOSYS) => Self::Missing,
            (Step::Setup, libc::EPERM | libc::EACCES) => match found.disabled {
                Some(1) => Self::DisabledForUs,
                Some(2) => Self::DisabledForAll,
                _ => Self::Filtered,
            },
            (Step::Setup, libc::EMFILE | libc::ENFILE) => Self::OpenFiles {
                limit: found.open_files_max,
            },
            (_, libc::EPERM | libc::EACCES) => Self::Filtered,
            (_, libc::ENOMEM) => Self::Memory,
            // The sizes were looked at before, so it is a word this kernel does not know.
            (_, libc::EINVAL) => Self::TooOld,
            _ => Self::Other,
        }
    }

    fn of_slots(found: &Found) -> Self {
        if found.slots > SLOTS_MAX {
            return Self::SlotsOverMax { slots: found.slots };
        }
        Self::SlotsOverLimit {
            slots: found.slots,
            limit: found.open_files_max,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(fault) => out.write_str(fault),
            Self::Missing => out.write_str(
                "this kernel or sandbox has no io_uring (Linux 6.1 or later is needed; gVisor and \
                 old WSL have none). See `uname -r`; in a container try \
                 `docker run --security-opt seccomp=unconfined …`",
            ),
            Self::TooOld => out.write_str(
                "this kernel's io_uring is too old: Linux 6.1 or later is needed. See `uname -r`",
            ),
            Self::DisabledForUs => out.write_str(
                "kernel.io_uring_disabled is 1: only privileged processes and one group may use \
                 io_uring. Type `sysctl -w kernel.io_uring_disabled=0`, or put the user into the \
                 group that `sysctl kernel.io_uring_group` names",
            ),
            Self::DisabledForAll => out.write_str(
                "kernel.io_uring_disabled is 2: nobody may use io_uring. Type \
                 `sysctl -w kernel.io_uring_disabled=0`",
            ),
            Self::Filtered => out.write_str(
                "not permitted, although kernel.io_uring_disabled allows it: a seccomp profile \
                 (containers have one by default) or a security module refuses io_uring. Type \
                 `docker run --security-opt seccomp=unconfined …`, or allow io_uring_setup, \
                 io_uring_enter and io_uring_register in the profile",
            ),
            Self::Memory => out.write_str(
                "no memory: the limit of locked memory or the control group's limit is reached. \
                 Type `ulimit -l unlimited` (systemd: LimitMEMLOCK=infinity), raise the control \
                 group's memory, or ask for smaller queues and fewer buffers",
            ),
            Self::OpenFiles { limit } => write!(
                out,
                "no descriptor is left for the ring (limit of open files: {limit}). Type \
                 `ulimit -n {}` (systemd: LimitNOFILE={})",
                limit.saturating_mul(2),
                limit.saturating_mul(2),
            ),
            Self::SlotsOverLimit { slots, limit } => write!(
                out,
                "a table of {slots} sockets is larger than the limit of open files ({limit}), \
                 against which the kernel checks it. Type `ulimit -n {slots}` (systemd: \
                 LimitNOFILE={slots}), or ask for at most {limit} sockets per ring"
            ),
            Self::SlotsOverMax { slots } => write!(
                out,
                "a table of {slots} sockets is larger than the kernel's maximum of {SLOTS_MAX}. \
                 Use more rings with fewer sockets each"
            ),
            Self::Other => out.write_str("the kernel refuses; see the error number"),
        }
    }
}

/// A ring could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenError {
    pub step: Step,
    pub errno: i32,
    pub refusal: Refusal,
}

impl OpenError {
    pub(super) fn settings(fault: &'static str) -> Self {
        Self {
            step: Step::Settings,
            errno: libc::EINVAL,
            refusal: Refusal::Settings(fault),
        }
    }

    /// Looks at the machine for the reason.
    pub(crate) fn found(step: Step, error: &io::Error, slots: u32) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let (disabled, open_files_max) = (disabled(), open_files_max());
        let found = Found {
            step,
            errno,
            disabled,
            slots,
            open_files_max,
        };
        Self {
            step,
            errno,
            refusal: Refusal::of(&found),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Settings => "the sizes asked for",
            Step::Setup => "io_uring_setup",
            Step::RingFd => "registering the ring's descriptor",
            Step::Slots => "registering the table of sockets",
            Step::Buffers => "registering the receive buffers",
            Step::Signal => "registering the signal of a further ring",
        };
        let error = io::Error::from_raw_os_error(self.errno);
        write!(out, "cannot open a ring: {step}: {error}: {}", self.refusal)
    }
}

impl Error for OpenError {}

fn disabled() -> Option<u8> {
    fs::read_to_string(SYSCTL).ok()?.trim().parse().ok()
}

fn open_files_max() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit into `limit`, which outlives the call.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(done, 0, "every process has a limit of open files");
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(step: Step, errno: i32, disabled: Option<u8>) -> Found {
        Found {
            step,
            errno,
            disabled,
            slots: 50_000,
            open_files_max: 1_024,
        }
    }

    fn text(step: Step, errno: i32, disabled: Option<u8>) -> String {
        let refusal = Refusal::of(&found(step, errno, disabled));
        OpenError {
            step,
            errno,
            refusal,
        }
        .to_string()
    }

    #[test]
    fn each_reason_is_told_apart_and_says_what_to_type() {
        let cases = [
            (
                Step::Setup,
                libc::ENOSYS,
                None,
                "has no io_uring",
                "uname -r",
            ),
            (
                Step::Setup,
                libc::EPERM,
                Some(1),
                "disabled is 1",
                "sysctl kernel.io_uring_group",
            ),
            (
                Step::Setup,
                libc::EPERM,
                Some(2),
                "disabled is 2",
                "io_uring_disabled=0",
            ),
            (
                Step::Setup,
                libc::EPERM,
                Some(0),
                "seccomp profile",
                "seccomp=unconfined",
            ),
            (
                Step::Setup,
                libc::EPERM,
                None,
                "seccomp profile",
                "seccomp=unconfined",
            ),
            (
                Step::Setup,
                libc::EACCES,
                Some(0),
                "security module",
                "seccomp=unconfined",
            ),
            (
                Step::Setup,
                libc::ENOMEM,
                Some(0),
                "locked memory",
                "ulimit -l unlimited",
            ),
            (
                Step::Setup,
                libc::EMFILE,
                Some(0),
                "no descriptor is left",
                "ulimit -n 2048",
            ),
            (
                Step::Buffers,
                libc::ENOMEM,
                Some(0),
                "receive buffers",
                "fewer buffers",
            ),
            (
                Step::Slots,
                libc::EMFILE,
                Some(0),
                "limit of open files (1024)",
                "ulimit -n 50000",
            ),
            (
                Step::RingFd,
                libc::EPERM,
                Some(2),
                "seccomp",
                "io_uring_register",
            ),
            (Step::Setup, libc::EINVAL, Some(0), "is too old", "uname -r"),
            (
                Step::Slots,
                libc::EIO,
                Some(0),
                "table of sockets: Input",
                "error number",
            ),
        ];
        for (step, errno, disabled, why, what_to_type) in cases {
            let text = text(step, errno, disabled);
            assert!(text.contains(why), "{why:?} in {text}");
            assert!(text.contains(what_to_type), "{what_to_type:?} in {text}");
        }
    }

    #[test]
    fn a_table_beyond_the_kernels_maximum_is_not_blamed_on_the_limit() {
        let slots = SLOTS_MAX + 1;
        let found = Found {
            slots,
            ..found(Step::Slots, libc::EMFILE, Some(0))
        };
        assert_eq!(Refusal::of(&found), Refusal::SlotsOverMax { slots });
    }
}
