//! One run: everybody in one thread, in virtual time. Rounds with accidents first, in which a chance decides who moves;
//! then quiet, in which everything has to arrive; then the audit.

use crate::chance::Chance;
use crate::device::{Around, Device};
use crate::fault::{Fault, Faults};
use crate::gate::SECRET;
use crate::notes::{Finding, Line, Notes, Tally};
use crate::operation::Operation;
use crate::plan::{Bug, Driver, Plan};
use crate::prober::Prober;
use crate::server::Server;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use millpond_client::{From, Kind};
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Devices of a run, those that are gone included.
const DEVICES_MAX: usize = 10;
/// Devices of the client that speaks by hand have these names.
const PROBER_DEVICE: u64 = 1_000;

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    pub tally: Tally,
    pub findings: Vec<Finding>,
    pub timeline: Vec<Line>,
    /// Names of frames and records that were seen, when somebody asked.
    pub seen: BTreeSet<&'static str>,
}

impl Outcome {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What to look at while a run goes on; it changes nothing about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    pub timeline: bool,
    pub seen: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) faults: Faults,
    /// Who moves, and how far.
    pub(crate) chance: Chance,
    /// What clients do.
    wishes: Chance,
    /// What goes wrong.
    dice: Chance,
    pub(crate) notes: Notes,
    pub(crate) server: Server,
    pub(crate) devices: Vec<Device>,
    probers: Vec<Prober>,
    tokens: BTreeMap<u64, Vec<u8>>,
    next_device: u64,
    weights: Vec<(Operation, u64)>,
    /// When the server was seen to be down or useless.
    down_rounds: u32,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan, watch: Watch) -> Outcome {
    plant(plan.bug);
    let mut world = World::new(plan, watch);
    world.live();
    world.come_to_rest();
    let outcome = world.judge();
    plant(None);
    outcome
}

fn plant(bug: Option<Bug>) {
    use millpond_gateway::planted;
    planted::plant(match bug {
        Some(Bug::CatchUpRace) => Some(planted::Bug::CatchUpRace),
        Some(Bug::HandleWithoutUser) => Some(planted::Bug::HandleWithoutUser),
        _ => None,
    });
}

impl World {
    fn new(plan: &Plan, watch: Watch) -> Self {
        let mut seed = Chance::new(plan.seed ^ 0x5eed);
        let mut chance = seed.fork();
        let mut notes = Notes::new(watch.timeline, plan.faults.has(Fault::PowerCut));
        notes.seen = watch.seen.then(BTreeSet::new);
        let server = Server::new(plan, &mut chance);
        let mut world = Self {
            plan: *plan,
            faults: plan.faults,
            chance,
            wishes: seed.fork(),
            dice: seed.fork(),
            notes,
            server,
            devices: Vec::new(),
            probers: Vec::new(),
            tokens: BTreeMap::new(),
            next_device: 1,
            weights: plan.weights(),
            down_rounds: 0,
        };
        world
            .server
            .start(world.faults, &mut world.chance, &mut world.notes);
        for user in 1..=plan.users {
            world.add_device(user);
        }
        let user = 1 + world.chance.below(plan.users);
        let token = world.token(user);
        world.probers.push(Prober::new(user, PROBER_DEVICE, token));
        world
    }

    fn token(&mut self, user: u64) -> Vec<u8> {
        let make = || {
            let claims = serde_json::json!({ "sub": user.to_string(), "exp": 4_000_000_000_u64 });
            let key = EncodingKey::from_secret(&SECRET);
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
                .expect("claims are signed")
                .into_bytes()
        };
        self.tokens.entry(user).or_insert_with(make).clone()
    }

    fn new_name(&mut self) -> u64 {
        self.next_device += 1;
        self.next_device - 1
    }

    fn add_device(&mut self, user: u64) {
        if self.devices.len() >= DEVICES_MAX {
            return;
        }
        let name = self.new_name();
        let token = self.token(user);
        let gate = self.chance.index(self.server.gates.len());
        self.devices.push(Device::new(user, name, token, gate));
    }

    /// Rounds with accidents.
    fn live(&mut self) {
        for _ in 0..self.plan.rounds {
            self.advance();
            self.server
                .suffer(self.faults, &mut self.dice, &mut self.notes);
            self.suffer();
            self.wish();
            self.move_all();
        }
    }

    fn advance(&mut self) {
        let us = match self.chance.below(100) {
            0 => self.chance.below(40_000_000),
            1..5 => self.chance.below(2_000_000),
            _ => self.chance.below(20_000),
        };
        self.notes.now_us += us;
        self.server.tick(self.notes.now_us);
    }

    /// Everybody gets a chance to move, in any order.
    fn move_all(&mut self) {
        for _ in 0..1 + self.chance.below(4) {
            match self.chance.below(4) {
                0 => self.pump_clients(),
                1 => self.turn_gates(),
                2 => self
                    .server
                    .step(self.faults, &mut self.dice, &mut self.notes),
                _ => {
                    self.pump_clients();
                    self.turn_gates();
                    self.server
                        .step(self.faults, &mut self.dice, &mut self.notes);
                    self.turn_gates();
                }
            }
        }
        self.look_after();
    }

    fn pump_clients(&mut self) {
        let mut around = Around {
            notes: &mut self.notes,
            gates: &mut self.server.gates,
            chance: &mut self.chance,
            faults: self.faults,
        };
        for device in &mut self.devices {
            if around.chance.one_in(4) {
                continue;
            }
            if !device.is_running() && around.chance.one_in(8) {
                device.start(&mut around);
            }
            device.pump(&mut around);
        }
        for prober in &mut self.probers {
            prober.pump(&self.server.gates, &mut self.notes);
        }
    }

    fn turn_gates(&mut self) {
        let late = self.faults.has(Fault::LatePages);
        for gate in &mut self.server.gates {
            for _ in 0..1 + self.chance.below(4) {
                gate.turn(self.notes.now_us);
            }
            if late && self.dice.one_in(2) {
                self.notes.fault(Fault::LatePages);
                if self.dice.one_in(2) {
                    gate.read_pages_late();
                }
            } else {
                gate.read_pages();
            }
            if gate.is_drained() {
                gate.crash();
            }
        }
    }

    /// What is down comes back some time later.
    fn look_after(&mut self) {
        if self.down_rounds > 0 {
            self.down_rounds -= 1;
            if self.down_rounds == 0 {
                self.server.mend(&mut self.dice, &mut self.notes);
                self.server
                    .start(self.faults, &mut self.chance, &mut self.notes);
            }
        } else {
            self.down_rounds = 1 + u32::try_from(self.dice.below(10)).expect("below 10");
        }
        for what in self.server.store.take_wrong() {
            self.notes.find("RowWentBack", what);
        }
    }

    /// Accidents of clients.
    fn suffer(&mut self) {
        let embedded = self.plan.driver == Driver::Fused;
        if embedded && self.faults.has(Fault::PowerCut) && self.dice.per_mille(12) {
            self.notes.fault(Fault::PowerCut);
            self.cut_power();
        }
        let place = self.dice.index(self.devices.len());
        let device = &mut self.devices[place];
        let faults = self.faults;
        let mut strikes = |fault, often, notes: &mut Notes| {
            let strikes = faults.has(fault) && self.dice.per_mille(often);
            if strikes {
                notes.fault(fault);
            }
            strikes
        };
        if strikes(Fault::CutConnection, 60, &mut self.notes) {
            device.cut(&mut self.notes);
        }
        if strikes(Fault::ClientCrash, 40, &mut self.notes) {
            device.kill(&mut self.notes);
        }
        if strikes(Fault::ClockJump, 20, &mut self.notes) {
            let jump = i64::try_from(self.dice.below(10_000_000)).expect("small") - 5_000_000;
            device.set_clock(jump);
        }
        let ghost = self.faults.has(Fault::Ghost) && self.dice.per_mille(30);
        if ghost {
            self.notes.fault(Fault::Ghost);
            self.disconnect(place, true);
        }
    }

    /// Whoever was connected hears what had come, and nothing more. What is judged from then on is another history, which
    /// begins with what is left.
    fn cut_power(&mut self) {
        for device in &mut self.devices {
            device.hear_the_last(&mut self.notes);
        }
        self.server.cut_power(&mut self.dice, &mut self.notes);
        self.notes.begin_again(&self.server.store.rows.dump());
        for device in &mut self.devices {
            device.forget();
        }
        self.probers.clear();
        self.restore_prober();
    }

    pub(crate) fn disconnect(&mut self, place: usize, ghost: bool) {
        let mut around = Around {
            notes: &mut self.notes,
            gates: &mut self.server.gates,
            chance: &mut self.chance,
            faults: self.faults,
        };
        self.devices[place].disconnect(ghost, &mut around);
    }

    /// Clients do something.
    fn wish(&mut self) {
        let total: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return;
        }
        for _ in 0..self.wishes.below(4) {
            let mut drawn = self.wishes.below(total);
            let chosen = self.weights.iter().find(|(_, weight)| {
                let here = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                here
            });
            let operation = chosen.expect("less than the total").0;
            *self.notes.tally.operations.entry(operation).or_default() += 1;
            if operation.is_raw() {
                self.probe(operation);
            } else {
                self.do_at_device(operation);
            }
        }
    }

    fn probe(&mut self, operation: Operation) {
        let prober = &mut self.probers[0];
        if !prober.is_open() {
            let gate = self.wishes.index(self.server.gates.len());
            prober.connect(&self.server.gates, gate, &mut self.notes);
        }
        prober.act(
            operation,
            self.plan.users,
            &mut self.wishes,
            &mut self.notes,
        );
    }

    fn do_at_device(&mut self, operation: Operation) {
        let place = self.wishes.index(self.devices.len());
        match operation {
            Operation::SecondDevice => {
                let user = 1 + self.wishes.below(self.plan.users);
                self.add_device(user);
            }
            Operation::Reinstall => {
                if self.devices.len() < DEVICES_MAX {
                    let user = self.devices[place].user;
                    self.retire(place);
                    self.add_device(user);
                }
            }
            Operation::Restore => self.restore(place),
            Operation::DuplicateLogin => {
                let device = &self.devices[place];
                let (user, name) = (device.user, device.name);
                let token = self.token(user);
                let gate = self.wishes.index(self.server.gates.len());
                let prober = &mut self.probers[0];
                prober.impersonate(user, name, token);
                prober.connect(&self.server.gates, gate, &mut self.notes);
                // It never acts under that name: its next connection is its own again.
                self.restore_prober();
            }
            _ => self.act(place, operation),
        }
    }

    /// The stranger keeps standing beside the prober until the server or a crash ends it.
    fn restore_prober(&mut self) {
        let user = 1 + self.wishes.below(self.plan.users);
        let token = self.token(user);
        let name = PROBER_DEVICE + self.new_name();
        self.probers.insert(0, Prober::new(user, name, token));
        self.probers.truncate(4);
    }

    fn retire(&mut self, place: usize) {
        let device = &mut self.devices[place];
        device.kill(&mut self.notes);
        device.retired = true;
    }

    fn restore(&mut self, place: usize) {
        if self.devices.len() >= DEVICES_MAX {
            return;
        }
        let name = self.new_name();
        if let Some(restored) = self.devices[place].restored(name, &mut self.notes) {
            self.retire(place);
            self.devices.push(restored);
        }
    }

    fn act(&mut self, place: usize, operation: Operation) {
        let users = self.plan.users;
        let user = self.devices[place].user;
        let to = 1 + self.wishes.below(users);
        match operation {
            Operation::Send => self.send(place, to, 16),
            Operation::SendMany => {
                for _ in 0..2 + self.wishes.below(12) {
                    self.send(place, to, 24);
                }
            }
            Operation::SendLarge => {
                let bytes = 1_000 + self.wishes.index(6_000);
                self.send(place, to, bytes);
            }
            Operation::NoteToSelf => self.send(place, user, 8),
            Operation::MarkRead => {
                let device = &mut self.devices[place];
                let shown: Vec<_> = device.shown.iter().map(|(key, seq)| (*key, *seq)).collect();
                if !shown.is_empty() {
                    let (conversation, seq) = *self.wishes.of(&shown);
                    device.mark_read(conversation, seq, self.notes.now_us);
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
                device.ask_history(conversation, from, self.notes.now_us);
            }
            Operation::Probe => self.devices[place].probe(self.notes.now_us),
            Operation::Disconnect => self.disconnect(place, false),
            Operation::Close => {
                let mut around = Around {
                    notes: &mut self.notes,
                    gates: &mut self.server.gates,
                    chance: &mut self.chance,
                    faults: self.faults,
                };
                self.devices[place].close(&mut around);
            }
            Operation::Backup => self.devices[place].back_up(),
            other => unreachable!("{other:?} is done elsewhere"),
        }
    }

    pub(crate) fn send(&mut self, place: usize, to: u64, bytes: usize) {
        let mut payload = self.wishes.next().to_le_bytes().to_vec();
        payload.resize(bytes.max(8), b'.');
        let kind = if self.wishes.one_in(10) {
            Kind(7)
        } else {
            Kind::TEXT
        };
        let mut around = Around {
            notes: &mut self.notes,
            gates: &mut self.server.gates,
            chance: &mut self.chance,
            faults: self.faults,
        };
        self.devices[place].send(to, kind, payload, &mut around);
    }

    pub(crate) fn drop_probers(&mut self) {
        self.probers.clear();
    }
}
