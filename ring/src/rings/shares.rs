//! Listeners of a thread with many rings: an accept puts its socket into the table of the ring that has the listener, so
//! each ring has a share of each. Callers know a listener by its slot in the first ring. Called by [`super::Rings`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::Ring;
use crate::op::Slot;
use crate::uring::Uring;

#[derive(Debug, Default)]
pub(super) struct Shares(Vec<Listener>);

#[derive(Debug)]
struct Listener {
    /// In the first ring.
    slot: Slot,
    /// For rings that open later.
    socket: OwnedFd,
    /// A further ring's number, and the slot there.
    shares: Vec<(usize, Slot)>,
}

/// Another descriptor of this socket, if it listens.
pub(super) fn listener(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut listens: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&listens)).expect("four");
    // SAFETY: the kernel writes at most `length` bytes to an integer of ours that outlives the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut listens).cast(),
            &raw mut length,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    if listens == 0 {
        return Ok(None);
    }
    socket.as_fd().try_clone_to_owned().map(Some)
}

impl Shares {
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).expect("a handful of listeners")
    }

    pub(super) fn has(&self, slot: Slot) -> bool {
        self.0.iter().any(|it| it.slot == slot)
    }

    /// A new listener, which the rings that are open get their share of.
    pub(super) fn add<'a>(
        &mut self,
        slot: Slot,
        socket: OwnedFd,
        rings: impl Iterator<Item = (usize, &'a mut Uring)>,
    ) -> io::Result<()> {
        let mut shares = Vec::new();
        for (number, ring) in rings {
            shares.push((number, ring.adopt(socket.try_clone()?)?));
        }
        self.0.push(Listener {
            slot,
            socket,
            shares,
        });
        Ok(())
    }

    /// A new ring, which gets its share of all listeners.
    pub(super) fn extend(&mut self, number: usize, ring: &mut Uring) -> io::Result<()> {
        self.forget(number);
        for listener in &mut self.0 {
            let share = ring.adopt(listener.socket.try_clone()?)?;
            listener.shares.push((number, share));
        }
        Ok(())
    }

    /// A ring is closed, and its shares with it.
    pub(super) fn forget(&mut self, number: usize) {
        for listener in &mut self.0 {
            listener.shares.retain(|(ring, _)| *ring != number);
        }
    }

    /// The slot of a listener in the ring with this number; of a socket that is none, itself.
    pub(super) fn of(&self, slot: Slot, number: usize) -> Slot {
        let listener = self.0.iter().find(|it| it.slot == slot);
        let share =
            listener.and_then(|listener| listener.shares.iter().find(|(ring, _)| *ring == number));
        share.map_or(slot, |(_, share)| *share)
    }

    /// The shares that go when the first ring's goes.
    pub(super) fn remove(&mut self, slot: Slot) -> Vec<(usize, Slot)> {
        let place = self.0.iter().position(|it| it.slot == slot);
        place.map_or_else(Vec::new, |place| self.0.swap_remove(place).shares)
    }
}
