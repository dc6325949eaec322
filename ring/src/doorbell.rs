//! Wakes a thread that sleeps in [`crate::Ring::turn`], and only one that sleeps: at load nobody pays a system call.
//! Shared by a queue's two ends (the mesh between shards, the router's answers). The owner watches [`Doorbell::fd`] with
//! one [`crate::Op::PollFd`]; nobody reads the eventfd, since the poll fires on each write.
//!
//! Why no wake-up is lost: the sender puts its item into the queue, then looks at `asleep`; the owner sets `asleep`, then
//! looks into the queue. Each side has a sequentially consistent fence between its write and its read, so in the order of
//! the two fences the later side sees what the earlier one wrote: the sender sees `asleep` and writes the eventfd, or
//! the owner sees the item and does not sleep (or both: one idle turn). Without the fences both reads may be taken
//! before either write is visible, which x86 does too.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// One per sleeping thread, shared with everybody who feeds it.
#[derive(Debug)]
pub struct Doorbell {
    event: OwnedFd,
    asleep: AtomicBool,
}

impl Doorbell {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            event: eventfd(libc::EFD_NONBLOCK)?,
            asleep: AtomicBool::new(false),
        })
    }

    /// What to watch with [`crate::Op::PollFd`] and [`crate::Events::IN`].
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Senders: after putting an item into the queue. Says whether it took a system call.
    ///
    /// Of several senders the one that clears `asleep` writes; the others may leave, as that wake-up is on its way and the
    /// owner looks into every queue after it. The clearing needs no ordering of its own: the fences order the queue.
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        let sleeping = self.asleep.load(Ordering::Relaxed);
        let ours = sleeping && self.asleep.swap(false, Ordering::AcqRel);
        if ours {
            self.write();
        }
        ours
    }

    /// The owner: before it looks into its queues for the last time. When they are empty it sleeps; else, and after every
    /// sleep, it says [`Doorbell::awake`].
    pub fn about_to_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The owner: it looks into its queues anyway, nobody needs to ring. A sender that read `asleep` just before rings in
    /// vain, which costs one idle turn.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    fn write(&self) {
        let one: u64 = 1;
        // SAFETY: the kernel reads the eight bytes of `one`, which outlives the call.
        let done = unsafe { libc::write(self.fd(), (&raw const one).cast(), size_of_val(&one)) };
        // It can only fail when the counter is full, after 2^64 − 2 rings, and then the poll has fired.
        assert!(done == 8, "an eventfd takes every ring");
    }
}

/// A counter of the kernel that one side writes and another waits for.
pub(crate) fn eventfd(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
