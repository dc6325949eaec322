//! What each device of a user has. Cursors only grow; the best one decides what counts as delivered.

use millpond_backplane::Position;
use millpond_backplane::row::{DEVICES_MAX, DeviceCursor, UserRow};
use millpond_wire::DeviceId;

#[derive(Clone, Debug)]
pub(super) struct Devices {
    row: UserRow,
    best: u64,
}

impl Devices {
    pub(super) fn from_row(row: Option<UserRow>) -> Self {
        let row = row.unwrap_or(UserRow {
            position: Position::ZERO,
            resets: 0,
            devices: Vec::new(),
        });
        let best = row.devices.iter().map(|device| device.cursor).max();
        Self {
            best: best.unwrap_or(0),
            row,
        }
    }

    pub(super) fn row(&self) -> &UserRow {
        &self.row
    }

    /// The highest cursor any device has acknowledged.
    pub(super) fn best(&self) -> u64 {
        self.best
    }

    /// Whether the device has more than before.
    pub(super) fn raise(&mut self, position: Position, device: DeviceId, cursor: u64) -> bool {
        let devices = &mut self.row.devices;
        match devices.binary_search_by_key(&device, |known| known.device) {
            Ok(index) if devices[index].cursor >= cursor => return false,
            Ok(index) => devices[index].cursor = cursor,
            Err(_) if cursor == 0 => return false,
            Err(_) => self.add(DeviceCursor { device, cursor }),
        }
        self.best = self.best.max(cursor);
        self.row.position = position;
        true
    }

    pub(super) fn reset(&mut self, position: Position) {
        self.row.resets += 1;
        self.row.position = position;
    }

    fn add(&mut self, new: DeviceCursor) {
        let devices = &mut self.row.devices;
        if devices.len() == DEVICES_MAX {
            let least = devices
                .iter()
                .enumerate()
                .min_by_key(|(_, known)| (known.cursor, known.device));
            let index = least
                .map(|(index, _)| index)
                .expect("a full list is not empty");
            devices.remove(index);
        }
        let place = devices.partition_point(|known| known.device < new.device);
        devices.insert(place, new);
    }
}
