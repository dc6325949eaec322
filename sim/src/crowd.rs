//! The clients of a run: devices of the SDK and one that speaks by hand, what they wish to do, and the accidents that are
//! theirs. Called by the world, and by the driver of a real server.

use crate::chance::Chance;
use crate::device::{Around, Device, Patience};
use crate::fault::Fault;
use crate::notes::Notes;
use crate::operation::Operation;
use crate::plan::Plan;
use crate::prober::Prober;
use millpond_client::{From, Kind};
use std::collections::BTreeMap;

/// Devices of those who speak by hand have names from here on.
const PROBER_DEVICE: u64 = 1_000_000;
/// Connections of those who speak by hand.
const PROBERS_MAX: usize = 4;
/// Operations of one round are fewer.
const WISHES: u64 = 4;

#[derive(Debug)]
pub(crate) struct Crowd {
    users: u64,
    pub(crate) devices: Vec<Device>,
    /// Devices at a time, those that are gone for good included until somebody takes them out.
    devices_max: usize,
    patience: Patience,
    probers: Vec<Prober>,
    tokens: BTreeMap<u64, Vec<u8>>,
    next_device: u64,
    weights: Vec<(Operation, u64)>,
    /// What clients do.
    wishes: Chance,
}

impl Crowd {
    /// Nobody yet: `tokens` has one for each user.
    pub(crate) fn new(
        plan: &Plan,
        tokens: BTreeMap<u64, Vec<u8>>,
        devices_max: usize,
        patience: Patience,
        wishes: Chance,
    ) -> Self {
        Self {
            users: plan.users,
            devices: Vec::new(),
            devices_max,
            patience,
            probers: Vec::new(),
            tokens,
            next_device: 1,
            weights: plan.weights(),
            wishes,
        }
    }

    /// A device of each user, and one who speaks by hand.
    pub(crate) fn gather(&mut self, around: &mut Around<'_>) {
        for user in 1..=self.users {
            self.add_device(user, around);
        }
        let user = 1 + around.chance.below(self.users);
        let prober = Prober::new(user, PROBER_DEVICE, self.token(user));
        self.probers.push(prober);
    }

    fn token(&self, user: u64) -> Vec<u8> {
        self.tokens[&user].clone()
    }

    fn new_name(&mut self) -> u64 {
        self.next_device += 1;
        self.next_device - 1
    }

    /// Nothing where there are enough already.
    pub(crate) fn add_device(&mut self, user: u64, around: &mut Around<'_>) {
        if self.devices.len() < self.devices_max {
            self.admit(user, around);
        }
    }

    /// One more, however many there are.
    pub(crate) fn admit(&mut self, user: u64, around: &mut Around<'_>) {
        let name = self.new_name();
        let place = around.chance.index(around.doors.count());
        let token = self.token(user);
        let device = Device::new(user, name, token, place, self.patience);
        self.devices.push(device);
    }

    /// Lets everybody move who feels like it, in any order.
    pub(crate) fn pump(&mut self, around: &mut Around<'_>) {
        for device in &mut self.devices {
            if around.chance.one_in(4) {
                continue;
            }
            if !device.is_running() && around.chance.one_in(8) {
                device.start(around);
            }
            device.pump(around);
        }
        for prober in &mut self.probers {
            prober.pump(around.notes);
        }
    }

    /// Lets every device move as far as it can.
    pub(crate) fn pump_all(&mut self, around: &mut Around<'_>) {
        for device in &mut self.devices {
            device.start(around);
            device.pump(around);
        }
    }

    /// Accidents of one client.
    pub(crate) fn suffer(&mut self, dice: &mut Chance, around: &mut Around<'_>) {
        let place = dice.index(self.devices.len());
        let device = &mut self.devices[place];
        let faults = around.faults;
        let mut strikes = |fault, often, notes: &mut Notes| {
            let strikes = faults.has(fault) && dice.per_mille(often);
            if strikes {
                notes.fault(fault);
            }
            strikes
        };
        if strikes(Fault::CutConnection, 60, around.notes) {
            device.cut(around.notes);
        }
        if strikes(Fault::ClientCrash, 40, around.notes) {
            device.kill(around.notes);
        }
        if strikes(Fault::ClockJump, 20, around.notes) {
            let jump = i64::try_from(dice.below(10_000_000)).expect("small") - 5_000_000;
            device.set_clock(jump);
        }
        if faults.has(Fault::Ghost) && dice.per_mille(30) {
            around.notes.fault(Fault::Ghost);
            device.disconnect(true, around);
        }
    }

    /// The server has lost its power: whoever was connected hears what had come, and nothing more, and begins anew.
    pub(crate) fn hear_the_last(&mut self, notes: &mut Notes) {
        for device in &mut self.devices {
            device.hear_the_last(notes);
        }
    }

    /// Another history begins.
    pub(crate) fn forget(&mut self) {
        self.devices.iter_mut().for_each(Device::forget);
        self.probers.clear();
        self.add_prober();
    }

    /// Clients do something.
    pub(crate) fn wish(&mut self, around: &mut Around<'_>) {
        let total: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return;
        }
        for _ in 0..self.wishes.below(WISHES) {
            let mut drawn = self.wishes.below(total);
            let chosen = self.weights.iter().find(|(_, weight)| {
                let here = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                here
            });
            let operation = chosen.expect("less than the total").0;
            *around.notes.tally.operations.entry(operation).or_default() += 1;
            if operation.is_raw() {
                self.probe(operation, around);
            } else {
                self.do_at_device(operation, around);
            }
        }
    }

    fn probe(&mut self, operation: Operation, around: &mut Around<'_>) {
        let prober = &mut self.probers[0];
        if !prober.is_open() {
            let place = self.wishes.index(around.doors.count());
            prober.connect(around.doors, place, around.notes);
        }
        prober.act(operation, self.users, &mut self.wishes, around.notes);
    }

    fn do_at_device(&mut self, operation: Operation, around: &mut Around<'_>) {
        let place = self.wishes.index(self.devices.len());
        match operation {
            Operation::SecondDevice => {
                let user = 1 + self.wishes.below(self.users);
                self.add_device(user, around);
            }
            Operation::Reinstall => {
                if self.devices.len() < self.devices_max {
                    let user = self.devices[place].user;
                    self.retire(place, around.notes);
                    self.add_device(user, around);
                }
            }
            Operation::Restore => self.restore(place, around.notes),
            Operation::DuplicateLogin => {
                let device = &self.devices[place];
                let (user, name) = (device.user, device.name);
                let token = self.token(user);
                let door = self.wishes.index(around.doors.count());
                let prober = &mut self.probers[0];
                prober.impersonate(user, name, token);
                prober.connect(around.doors, door, around.notes);
                // It never acts under that name: its next connection is its own again.
                self.add_prober();
            }
            _ => self.act(place, operation, around),
        }
    }

    /// Another one who speaks by hand. The one before stays connected until the server or a crash ends that.
    fn add_prober(&mut self) {
        let user = 1 + self.wishes.below(self.users);
        let name = PROBER_DEVICE + self.new_name();
        let prober = Prober::new(user, name, self.token(user));
        self.probers.insert(0, prober);
        self.probers.truncate(PROBERS_MAX);
    }

    fn retire(&mut self, place: usize, notes: &mut Notes) {
        let device = &mut self.devices[place];
        device.kill(notes);
        device.retired = true;
    }

    fn restore(&mut self, place: usize, notes: &mut Notes) {
        if self.devices.len() >= self.devices_max {
            return;
        }
        let name = self.new_name();
        if let Some(restored) = self.devices[place].restored(name, notes) {
            self.retire(place, notes);
            self.devices.push(restored);
        }
    }

    fn act(&mut self, place: usize, operation: Operation, around: &mut Around<'_>) {
        let user = self.devices[place].user;
        let to = 1 + self.wishes.below(self.users);
        match operation {
            Operation::Send => self.send(place, to, 16, around),
            Operation::SendMany => {
                for _ in 0..2 + self.wishes.below(12) {
                    self.send(place, to, 24, around);
                }
            }
            Operation::SendLarge => {
                let bytes = 1_000 + self.wishes.index(6_000);
                self.send(place, to, bytes, around);
            }
            Operation::NoteToSelf => self.send(place, user, 8, around),
            Operation::MarkRead => {
                let device = &mut self.devices[place];
                let shown: Vec<_> = device.shown.iter().map(|(key, seq)| (*key, *seq)).collect();
                if !shown.is_empty() {
                    let (conversation, seq) = *self.wishes.of(&shown);
                    device.mark_read(conversation, seq, around.notes.now_us);
                }
            }
            Operation::ReadHistory => {
                let device = &mut self.devices[place];
                let Some(conversation) = device.shown.keys().next().copied() else {
                    return;
                };
                let seq = self.wishes.below(40);
                let from =
                    *self
                        .wishes
                        .of(&[From::After(seq), From::Before(seq), From::Before(u64::MAX)]);
                device.ask_history(conversation, from, around.notes.now_us);
            }
            Operation::Probe => self.devices[place].probe(around.notes.now_us),
            Operation::Disconnect => self.devices[place].disconnect(false, around),
            Operation::Close => self.devices[place].close(around),
            Operation::Backup => self.devices[place].back_up(),
            other => unreachable!("{other:?} is done elsewhere"),
        }
    }

    fn send(&mut self, place: usize, to: u64, bytes: usize, around: &mut Around<'_>) {
        let mut payload = self.wishes.next().to_le_bytes().to_vec();
        payload.resize(bytes.max(8), b'.');
        let kind = if self.wishes.one_in(10) {
            Kind(7)
        } else {
            Kind::TEXT
        };
        self.devices[place].send(to, kind, payload, around);
    }

    pub(crate) fn drop_probers(&mut self) {
        self.probers.clear();
    }

    /// Devices that are still in use.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| !device.retired)
    }
}
