//! Real descriptors that a double watches ([`crate::Op::PollFd`], the doorbell) and is given (listeners of a test that
//! opens real ones). Called by the double alone.
//!
//! The kernel's poll fires on each write of an eventfd. Seen from outside that is an edge, which `poll(2)` cannot show: so
//! the double reads the eventfd after each firing, and a new write makes it readable again.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// What is to be seen of a watched descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Nothing,
    Rung,
    /// It is closed.
    Invalid,
}

pub(super) fn look(fd: RawFd) -> Seen {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the kernel reads and writes one pollfd, which outlives the call; it does not wait.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    if ready <= 0 {
        return Seen::Nothing;
    }
    if poll.revents & libc::POLLNVAL != 0 {
        return Seen::Invalid;
    }
    empty(fd);
    Seen::Rung
}

fn empty(fd: RawFd) {
    let mut count = 0_u64;
    let bytes = size_of_val(&count);
    // SAFETY: the kernel writes at most the eight bytes of `count`, which outlives the call.
    let done = unsafe { libc::read(fd, (&raw mut count).cast(), bytes) };
    assert_eq!(done, 8, "a watched descriptor is an eventfd");
}

/// Whether a real socket listens.
pub(super) fn is_listener(socket: &OwnedFd) -> bool {
    let mut listens: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&listens)).expect("an int");
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
    let value = (&raw mut listens).cast();
    // SAFETY: the kernel writes at most `length` bytes of `listens` and the length; both outlive the call.
    let done =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, value, &raw mut length) };
    done == 0 && listens != 0
}
