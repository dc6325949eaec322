//! The one system call of the data path: `io_uring_enter`, by the ring's registered index where the kernel gives one.
//! Called by the ring. Made by hand, since the library's submitter cannot keep a registered index and borrow the ring.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::types::Timespec;

use crate::op::Wait;

const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// How this thread enters the kernel for one ring.
#[derive(Debug)]
pub(super) struct Door {
    fd: RawFd,
    /// The index under which this thread knows the ring; spares the kernel a look into the shared table of files.
    index: Option<u32>,
    /// A thread that waits for messages is idle, not waiting for a disk.
    no_iowait: bool,
}

#[repr(C)]
struct RingFd {
    offset: u32,
    reserved: u32,
    data: u64,
}

#[repr(C)]
struct EnterArgument {
    signals: u64,
    signals_bytes: u32,
    min_wait_micros: u32,
    timeout: u64,
}

impl Door {
    pub(super) fn new(ring: &io_uring::IoUring, fd: RawFd) -> Self {
        Self {
            fd,
            index: None,
            no_iowait: ring.params().is_feature_no_iowait(),
        }
    }

    /// A thread has room for a few indices; behind them, a ring is known by its descriptor.
    pub(super) fn register(&mut self) -> io::Result<()> {
        match self.take_index() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
            done => done,
        }
    }

    fn take_index(&mut self) -> io::Result<()> {
        let any = u32::MAX;
        let fd = u64::try_from(self.fd).expect("an open descriptor is not negative");
        let mut wish = RingFd {
            offset: any,
            reserved: 0,
            data: fd,
        };
        self.registration(REGISTER_RING_FDS, &mut wish)?;
        self.index = Some(wish.offset);
        Ok(())
    }

    /// The index holds the ring open for as long as the thread lives, so it must go before the ring does.
    pub(super) fn unregister(&mut self) {
        let Some(index) = self.index.take() else {
            return;
        };
        let mut which = RingFd {
            offset: index,
            reserved: 0,
            data: 0,
        };
        self.registration(UNREGISTER_RING_FDS, &mut which)
            .expect("the thread that registered the ring takes it back");
    }

    fn registration(&self, what: libc::c_uint, ring: &mut RingFd) -> io::Result<()> {
        let ring: *mut RingFd = ring;
        // SAFETY: the kernel reads and writes one entry at `ring`, which outlives the call.
        let done = unsafe { libc::syscall(libc::SYS_io_uring_register, self.fd, what, ring, 1) };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Submits only: deferred completions stay where they are.
    pub(super) fn submit(&self, count: u32) -> io::Result<()> {
        self.enter(count, 0, 0, None)
    }

    /// Submits, runs deferred work, and waits for one completion as long as `wait` says.
    pub(super) fn turn(&self, count: u32, wait: Wait) -> io::Result<()> {
        match wait {
            Wait::Not => self.enter(count, 0, ENTER_GETEVENTS, None),
            Wait::Until(time) => {
                let flags = ENTER_GETEVENTS | if self.no_iowait { ENTER_NO_IOWAIT } else { 0 };
                self.enter(count, 1, flags, Some(time))
            }
        }
    }

    fn enter(&self, count: u32, least: u32, flags: u32, time: Option<Duration>) -> io::Result<()> {
        let timespec = time.map(Timespec::from);
        let timeout = timespec
            .as_ref()
            .map_or(0, |time| std::ptr::from_ref(time) as u64);
        let argument = EnterArgument {
            signals: 0,
            signals_bytes: 0,
            min_wait_micros: 0,
            timeout,
        };
        let (fd, registered) = match self.index {
            Some(index) => (i64::from(index), ENTER_REGISTERED_RING),
            None => (i64::from(self.fd), 0),
        };
        let flags = flags | registered | ENTER_EXT_ARG;
        let (argument, bytes) = (&raw const argument, size_of::<EnterArgument>());
        // SAFETY: the kernel reads the argument and the time it points to; both outlive the call. What submitted
        // entries point to is kept by the flights and the buffers.
        let done = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                fd,
                count,
                least,
                flags,
                argument,
                bytes,
            )
        };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}
