//! Who the users of a run are: nobody has used their ids before, so that a run can meet a server with a past.

use crate::talk::unix_ms;
use millpond_wire::{DeviceId, UserId};

/// Users by the index of their connection; the partner of `at` is `at ^ 1`.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    base: u64,
    /// Of each user's inbox.
    epochs: Vec<u64>,
    first_message: u64,
}

/// Ids that one run may use.
const RUN_BITS: u32 = 16;

impl Identity {
    pub(super) fn new() -> Self {
        Self {
            base: unix_ms() << RUN_BITS,
            epochs: Vec::new(),
            first_message: unix_ms() << 20,
        }
    }

    /// One more user; its epoch is not known before its WELCOME.
    pub(super) fn add(&mut self, epoch: u64) {
        self.epochs.push(epoch);
    }

    pub(super) fn users(&self) -> usize {
        self.epochs.len()
    }

    pub(super) fn user(&self, at: usize) -> UserId {
        let user = UserId::new(self.base + at as u64);
        user.expect("milliseconds are not 0, nor 2^47")
    }

    /// Everybody has one device.
    pub(super) fn device(&self) -> DeviceId {
        DeviceId(self.base)
    }

    pub(super) fn epoch(&self, at: usize) -> u64 {
        self.epochs[at]
    }

    pub(super) fn set_epoch(&mut self, at: usize, epoch: u64) {
        self.epochs[at] = epoch;
    }

    /// The client message id of a device's message with this number.
    pub(super) fn message(&self, number: u64) -> u64 {
        self.first_message + number
    }

    /// The number of a message; nonsense for ids that are not of this run, which no number then is.
    pub(super) fn number(&self, id: u64) -> u64 {
        id.wrapping_sub(self.first_message)
    }
}
