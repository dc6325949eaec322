//! What a device has from before: what its storage says after the application has ended, and backups.

use super::{Backup, Device, Held, content};
use crate::notes::Notes;
use millpond_checker as checker;
use millpond_client::{DeviceId, Saved};

impl Device {
    /// The application is gone: what it held beyond its storage's position will come again.
    pub(super) fn ended(&mut self, notes: &mut Notes) {
        self.wire = None;
        self.dialing = false;
        self.live_since_us = None;
        self.reading.clear();
        self.asked.clear();
        self.pages.clear();
        let (epoch, cursor) = match self.saved.position {
            Some(position) => (Some(position.epoch), position.cursor),
            None => (None, 0),
        };
        let same = |held: &Held| epoch.is_none_or(|epoch| held.epoch == epoch);
        let lost = self
            .held
            .iter()
            .any(|held| !same(held) || held.cursor > cursor);
        self.held.retain(|held| held.cursor <= cursor);
        if !lost && epoch.is_some() {
            return;
        }
        match epoch {
            Some(epoch) => notes.note(checker::Operation::Reset {
                user: self.user,
                device: self.name,
                epoch,
                // After a reset that was not saved, less is held than the storage says.
                head: self.held.last().map_or(0, |held| held.cursor.min(cursor)),
                at: notes.now_us,
            }),
            None => self.forgot_above = Some(0),
        }
    }

    /// Another history begins: whatever it holds is of an epoch that has ended, and it will be told so.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
        self.backup = None;
        self.forgot_above = None;
    }

    pub(crate) fn back_up(&mut self) {
        let saved = self.saved.clone();
        let held = match saved.position {
            Some(position) => {
                let kept = |held: &&Held| held.cursor <= position.cursor;
                self.held.iter().filter(kept).cloned().collect()
            }
            None => Vec::new(),
        };
        self.backup = Some(Backup { saved, held });
    }

    /// What this device had backed up, on a device with a new id.
    pub(crate) fn restored(&mut self, name: u64, notes: &mut Notes) -> Option<Self> {
        let backup = self.backup.take()?;
        let mut device = Self::new(
            self.user,
            name,
            self.token.clone(),
            self.gate,
            self.patience,
        );
        device.saved = Saved {
            device: DeviceId(name),
            ..backup.saved
        };
        for held in backup.held {
            device.hold_again(held, notes);
        }
        // After a reset that was not saved, less is held than the storage says.
        if let (Some(position), Some(last)) = (device.saved.position, device.held.last()) {
            notes.note(checker::Operation::Reset {
                user: device.user,
                device: name,
                epoch: position.epoch,
                head: last.cursor.min(position.cursor),
                at: notes.now_us,
            });
        }
        for stored in device.saved.outbox.clone() {
            let hash = content(stored.kind, &stored.payload);
            device.note_sent(stored.client_msg_id, stored.conversation, hash, notes);
        }
        device.tell(notes, || "is restored from a backup".to_owned());
        Some(device)
    }

    fn hold_again(&mut self, mut held: Held, notes: &mut Notes) {
        let checker::Operation::Delivered { device, .. } = &mut held.operation else {
            unreachable!("only deliveries are held")
        };
        *device = self.name;
        let before = self.held.last().map(|before| before.epoch);
        if before.is_some_and(|before| before != held.epoch) {
            notes.note(checker::Operation::Reset {
                user: self.user,
                device: self.name,
                epoch: held.epoch,
                head: held.cursor - 1,
                at: notes.now_us,
            });
        }
        notes.note(held.operation);
        self.held.push(held);
    }
}
