//! How large a ring is, and with which flags the kernel gave it. Called by whoever opens a ring, and by the memory budget.

use std::fmt;

use io_uring::Builder;

/// The kernel's own limits, for errors that come before it is asked.
const BUFFERS_MAX: u16 = 1 << 15;
const FLAGS_THAT_MAY_GO: [&str; 3] = ["no-sqarray", "defer-taskrun", "single-issuer"];

/// The sizes of a ring. The kernel rounds the queues up to powers of two and clamps them to its maximum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Submission queue: operations that go to the kernel in one system call.
    pub entries: u32,
    /// Completion queue. Too small under a burst ends multishots; also bounds the operations that own memory.
    pub completions: u32,
    /// Direct descriptors: sockets this ring can hold. At most RLIMIT_NOFILE and 2^20.
    pub slots: u32,
    pub buffers: BufferPlan,
}

/// The provided buffers of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferPlan {
    /// A power of two, at most 32,768.
    pub count: u16,
    /// Each of them.
    pub bytes: u32,
}

impl Default for Setup {
    /// Fits the usual soft limit of open files, and less than one mebibyte.
    fn default() -> Self {
        Self {
            entries: 1_024,
            completions: 8_192,
            slots: 1_024,
            buffers: BufferPlan {
                count: 256,
                bytes: 2_048,
            },
        }
    }
}

impl Setup {
    /// What the ring takes when everything is in use: both queues, the buffers and their ring, the pointers of the slots.
    /// What the kernel holds per armed operation and per socket is not here.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const SQE: usize = 64 + 4;
        const CQE: usize = 16;
        const SLOT: usize = 8;
        let queues = rounded(self.entries) * SQE + rounded(self.completions) * CQE;
        queues + self.slots as usize * SLOT + self.buffers.bytes_in_all()
    }

    /// What is wrong with the sizes, in words, if something is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let buffers = self.buffers;
        if self.entries == 0 || self.completions < self.entries {
            return Some("a ring needs submission entries, and at least as many completions");
        }
        if self.slots == 0 {
            return Some("a ring without slots can hold no socket");
        }
        if !buffers.count.is_power_of_two() || buffers.count > BUFFERS_MAX {
            return Some("the count of buffers must be a power of two, at most 32768");
        }
        (buffers.bytes == 0).then_some("buffers must have room for some bytes")
    }
}

impl BufferPlan {
    pub(super) fn data_bytes(&self) -> usize {
        usize::from(self.count) * self.bytes as usize
    }

    fn bytes_in_all(&self) -> usize {
        const RING_ENTRY: usize = 16;
        self.data_bytes() + usize::from(self.count) * RING_ENTRY
    }
}

fn rounded(entries: u32) -> usize {
    entries.next_power_of_two() as usize
}

/// The flags a ring runs with: all that we ask for, less those that this kernel refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    refused: usize,
}

impl Flags {
    /// Those the kernel did not know, in the order they were given up.
    #[must_use]
    pub fn refused(&self) -> &'static [&'static str] {
        &FLAGS_THAT_MAY_GO[..self.refused]
    }

    /// One fewer, or none that could go.
    pub(super) fn peeled(self) -> Option<Self> {
        let refused = self.refused + 1;
        (refused <= FLAGS_THAT_MAY_GO.len()).then_some(Self { refused })
    }

    pub(super) fn builder(self, setup: &Setup) -> Builder {
        let mut builder = io_uring::IoUring::builder();
        builder
            .setup_cqsize(setup.completions)
            .setup_clamp()
            .setup_submit_all();
        builder.setup_coop_taskrun();
        if self.refused < 3 {
            builder.setup_single_issuer();
        }
        if self.refused < 2 {
            builder.setup_defer_taskrun();
        }
        if self.refused < 1 {
            builder.setup_no_sqarray();
        }
        builder
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("submit-all coop-taskrun")?;
        for flag in FLAGS_THAT_MAY_GO[self.refused..].iter().rev() {
            write!(out, " {flag}")?;
        }
        match self.refused() {
            [] => Ok(()),
            refused => write!(out, " (this kernel refuses {})", refused.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits_a_mebibyte_and_the_usual_open_files_limit() {
        let setup = Setup::default();
        assert_eq!(setup.fault(), None);
        assert!(setup.bytes() < 1 << 20, "{} bytes", setup.bytes());
        assert!(setup.slots <= 1_024);
    }

    #[test]
    fn sizes_that_cannot_be_are_named() {
        let good = Setup::default();
        let plan = |count, bytes| Setup {
            buffers: BufferPlan { count, bytes },
            ..good
        };
        let bad = [
            Setup { entries: 0, ..good },
            Setup {
                completions: 512,
                ..good
            },
            Setup { slots: 0, ..good },
            plan(0, 64),
            plan(3, 64),
            plan(4, 0),
        ];
        for setup in bad {
            assert!(setup.fault().is_some(), "{setup:?}");
        }
    }

    #[test]
    fn flags_go_one_at_a_time_and_say_so() {
        let all = Flags::default();
        assert_eq!(
            all.to_string(),
            "submit-all coop-taskrun single-issuer defer-taskrun no-sqarray"
        );
        let two = all.peeled().and_then(Flags::peeled).unwrap();
        assert_eq!(
            two.to_string(),
            "submit-all coop-taskrun single-issuer (this kernel refuses no-sqarray, defer-taskrun)"
        );
        assert_eq!(two.peeled().and_then(Flags::peeled), None);
    }
}
