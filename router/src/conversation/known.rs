//! Which client message ids of a conversation are certainly new, without a read.
//!
//! Per device the cache holds a *bound*: no id above it has a dedup row. It must be a true upper bound, or a resend
//! after a restart would be sequenced twice; so it comes only from the store's highest id or from an empty
//! conversation, and then grows with what is accepted. A device that finds no room here is looked up id by id.

use millpond_backplane::Address;
use millpond_backplane::row::DEVICES_MAX;
use millpond_wire::{DeviceId, UserId};

#[derive(Clone, Debug, Default)]
pub(super) struct KnownDevices {
    devices: Vec<KnownDevice>,
    /// The conversation had no message when it was loaded: a device that is not listed has sent nothing.
    complete: bool,
}

#[derive(Clone, Copy, Debug)]
struct KnownDevice {
    user: UserId,
    device: DeviceId,
    /// No id above this one was ever accepted; `None`: no id at all.
    bound: Option<u64>,
    /// The id accepted last in this state.
    last: Option<u64>,
}

/// Devices remembered per conversation: all that two users can have.
const KNOWN_MAX: usize = 2 * DEVICES_MAX;

impl KnownDevices {
    pub(super) fn of_empty_conversation() -> Self {
        Self {
            devices: Vec::new(),
            complete: true,
        }
    }

    /// Whether nothing has to be learnt about this device, or could be kept.
    pub(super) fn has(&self, user: UserId, device: DeviceId) -> bool {
        self.complete || self.devices.len() == KNOWN_MAX || self.find(user, device).is_some()
    }

    pub(super) fn learn(&mut self, user: UserId, device: DeviceId, highest: Option<u64>) {
        if !self.has(user, device) {
            self.devices.push(KnownDevice {
                user,
                device,
                bound: highest,
                last: None,
            });
        }
    }

    /// Whether this id certainly has no dedup row.
    pub(super) fn is_new(&self, from: &Address, id: u64) -> bool {
        match self.find(from.user, from.device) {
            Some(known) => known.bound.is_none_or(|bound| id > bound),
            None => self.complete,
        }
    }

    /// Whether this id is the one that this state accepted last.
    pub(super) fn is_last(&self, from: &Address, id: u64) -> bool {
        self.find(from.user, from.device)
            .is_some_and(|known| known.last == Some(id))
    }

    pub(super) fn accept(&mut self, from: &Address, id: u64) {
        let place = self
            .devices
            .iter_mut()
            .find(|known| known.is(from.user, from.device));
        if let Some(known) = place {
            known.bound = known.bound.max(Some(id));
            known.last = Some(id);
        } else if self.complete {
            self.accept_first(from, id);
        }
    }

    fn accept_first(&mut self, from: &Address, id: u64) {
        if self.devices.len() == KNOWN_MAX {
            // From now on there are devices that have sent and are not listed.
            self.complete = false;
            return;
        }
        self.devices.push(KnownDevice {
            user: from.user,
            device: from.device,
            bound: Some(id),
            last: Some(id),
        });
    }

    fn find(&self, user: UserId, device: DeviceId) -> Option<&KnownDevice> {
        self.devices.iter().find(|known| known.is(user, device))
    }
}

impl KnownDevice {
    fn is(&self, user: UserId, device: DeviceId) -> bool {
        self.device == device && self.user == user
    }
}
