//! What only some connections have, and only while they need it: bytes to write, an unfinished frame, an end under way.

use crate::outbox::Outbox;
use crate::partial::Partial;
use crate::slab::NIL;

#[derive(Default, Debug)]
pub(crate) struct Extras {
    pub(crate) outbox: Outbox,
    pub(crate) partial: Option<Partial>,
    pub(crate) closing: Option<Closing>,
}

/// How far the end of a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    /// What was said leaves first. `linger`: the client is to read why, so what it still sends is read away.
    Flushing { linger: bool },
    /// Reading away what has arrived: unread bytes would make the close a reset, which can outrun the last frame.
    Lingering { bytes: usize },
    /// The kernel holds nothing of it but the close itself.
    Shutting,
}

/// Unused extras that stay for the next who need some.
const KEPT_MAX: usize = 1_024;

/// Extras by index, used again.
#[derive(Default, Debug)]
pub(crate) struct Pool {
    all: Vec<Extras>,
    free: Vec<u32>,
}

impl Pool {
    pub(crate) fn find(&mut self, index: u32) -> Option<&mut Extras> {
        // `NIL` lies beyond every index.
        self.all.get_mut(index as usize)
    }

    pub(crate) fn see(&self, index: u32) -> Option<&Extras> {
        self.all.get(index as usize)
    }

    /// Those of a connection; made when it has none.
    pub(crate) fn of(&mut self, index: &mut u32) -> &mut Extras {
        if *index == NIL {
            *index = self.free.pop().unwrap_or_else(|| {
                self.all.push(Extras::default());
                u32::try_from(self.all.len() - 1).expect("no more extras than connections")
            });
        }
        &mut self.all[*index as usize]
    }

    /// Gives back extras that hold nothing any more.
    pub(crate) fn release(&mut self, index: &mut u32) {
        let Some(extras) = self.find(*index) else {
            return;
        };
        let needed = !extras.outbox.is_idle()
            || extras.outbox.listed
            || extras.partial.is_some()
            || extras.closing.is_some();
        if !needed {
            self.free.push(*index);
            *index = NIL;
            self.shrink();
        }
    }

    /// When nobody is left of many, their memory goes.
    fn shrink(&mut self) {
        if self.free.len() == self.all.len() && self.all.len() > KEPT_MAX {
            *self = Self::default();
        }
    }

    /// How many are in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.all.len() - self.free.len()
    }
}
