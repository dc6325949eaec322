//! One run: everybody in one thread, in virtual time. Rounds with accidents first, in which a chance decides who moves;
//! then quiet, in which everything has to arrive; then the audit.

use crate::chance::Chance;
use crate::crowd::Crowd;
use crate::device::{Around, Patience};
use crate::fault::{Fault, Faults};
use crate::gate::SECRET;
use crate::notes::{Finding, Line, Notes, Tally};
use crate::plan::{Bug, Driver, Plan};
use crate::server::Server;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Devices of a run, those that are gone included.
const DEVICES_MAX: usize = 10;

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
    /// What goes wrong.
    dice: Chance,
    pub(crate) notes: Notes,
    pub(crate) server: Server,
    pub(crate) crowd: Crowd,
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
        let wishes = seed.fork();
        let dice = seed.fork();
        let crowd = Crowd::new(
            plan,
            tokens(plan.users),
            DEVICES_MAX,
            Patience::USUAL,
            wishes,
        );
        let mut world = Self {
            plan: *plan,
            faults: plan.faults,
            chance,
            dice,
            notes,
            server,
            crowd,
            down_rounds: 0,
        };
        world
            .server
            .start(world.faults, &mut world.chance, &mut world.notes);
        let mut around = Around {
            notes: &mut world.notes,
            doors: &mut world.server.gates,
            chance: &mut world.chance,
            faults: world.faults,
        };
        world.crowd.gather(&mut around);
        world
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
            doors: &mut self.server.gates,
            chance: &mut self.chance,
            faults: self.faults,
        };
        self.crowd.pump(&mut around);
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

    /// The power goes, or a client has an accident.
    fn suffer(&mut self) {
        let embedded = self.plan.driver == Driver::Fused;
        if embedded && self.faults.has(Fault::PowerCut) && self.dice.per_mille(12) {
            self.notes.fault(Fault::PowerCut);
            self.cut_power();
        }
        let mut around = Around {
            notes: &mut self.notes,
            doors: &mut self.server.gates,
            chance: &mut self.chance,
            faults: self.faults,
        };
        self.crowd.suffer(&mut self.dice, &mut around);
    }

    /// What is judged from then on is another history, which begins with what is left.
    fn cut_power(&mut self) {
        self.crowd.hear_the_last(&mut self.notes);
        self.server.cut_power(&mut self.dice, &mut self.notes);
        self.notes.begin_again(&self.server.store.rows.dump());
        self.crowd.forget();
    }

    fn wish(&mut self) {
        let mut around = Around {
            notes: &mut self.notes,
            doors: &mut self.server.gates,
            chance: &mut self.chance,
            faults: self.faults,
        };
        self.crowd.wish(&mut around);
    }
}

/// One for each user.
fn tokens(users: u64) -> BTreeMap<u64, Vec<u8>> {
    let key = EncodingKey::from_secret(&SECRET);
    let make = |user: u64| {
        let claims = serde_json::json!({ "sub": user.to_string(), "exp": 4_000_000_000_u64 });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        token.expect("claims are signed").into_bytes()
    };
    (1..=users).map(|user| (user, make(user))).collect()
}
