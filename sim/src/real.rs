//! The same clients and the same checker, against a real server: a child process over loopback, in real time. Connections
//! are cut, frames are half sent, the server is killed and loses its power, and what was acknowledged has to be there.
//!
//! The one room of the simulation that opens sockets, sleeps and reads a clock. A seed varies what is done, and does not
//! replay a run. Called by the program and by the end-to-end tests.

mod loopback;
mod rest;
mod rows;
mod standing;

use crate::chance::Chance;
use crate::crowd::Crowd;
use crate::device::{Around, Device, Patience};
use crate::fault::{Fault, Faults};
use crate::notes::{Finding, Notes, Tally};
use crate::plan::Plan;
use loopback::Loopback;
use millpond_checker::{Conversation, Counts};
use standing::Standing;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is to be driven, and for how long.
#[derive(Clone, Debug)]
pub struct Real {
    /// A built `millpond`.
    pub program: PathBuf,
    pub seed: u64,
    /// Of the part with accidents; quiet and the audit come on top.
    pub lasts: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct RealOutcome {
    pub tally: Tally,
    pub counts: Counts,
    pub findings: Vec<Finding>,
}

impl RealOutcome {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

const USERS: u64 = 8;
/// Devices at a time.
const DEVICES_MAX: usize = 24;
/// From one round of wishes to the next.
const ROUND: Duration = Duration::from_millis(4);
/// Moves of everybody in a round.
const MOVES: usize = 2;
/// From one chance for an accident of a client to the next.
const ACCIDENT: Duration = Duration::from_millis(25);
/// From one end of the server to the next is between this and twice this.
const END: Duration = Duration::from_millis(1_500);
/// How long it stays away is below this.
const AWAY: Duration = Duration::from_millis(300);

/// What clients of a real system suffer.
const ACCIDENTS: [Fault; 6] = [
    Fault::CutConnection,
    Fault::SplitBytes,
    Fault::SlowReader,
    Fault::ClockJump,
    Fault::ClientCrash,
    Fault::Ghost,
];

/// Nobody has all day.
const HURRIED: Patience = Patience {
    stable_after: Duration::from_secs(1),
    backoff_base: Duration::from_millis(50),
    backoff_cap: Duration::from_millis(500),
};

/// Drives a real server, and judges it. Where no disk's power can be cut, that is said on standard error, and the server
/// is only killed.
///
/// # Errors
/// When there is no server to drive.
pub fn drive(real: &Real) -> Result<RealOutcome, String> {
    let mut run = Run::start(real)?;
    run.live(real.lasts);
    run.come_to_rest();
    run.read_everything();
    let counts = run.judge();
    run.crowd.devices.clear();
    match run.standing.stop() {
        Ok(rows) => rows.audit(&run.heads, &mut run.notes),
        Err(why) => run.notes.find("NotStopped", why),
    }
    Ok(RealOutcome {
        tally: run.notes.tally,
        counts,
        findings: run.notes.findings,
    })
}

#[derive(Debug)]
struct Run {
    began: Instant,
    standing: Standing,
    doors: Loopback,
    crowd: Crowd,
    chance: Chance,
    dice: Chance,
    faults: Faults,
    notes: Notes,
    /// The last sequence of each conversation, as read at the end.
    heads: BTreeMap<Conversation, u64>,
}

impl Run {
    fn start(real: &Real) -> Result<Self, String> {
        let mut seed = Chance::new(real.seed ^ 0x4ea1);
        let standing = Standing::start(&real.program)?;
        let plan = Plan {
            users: USERS,
            ..Plan::of(real.seed)
        };
        let tokens = (1..=USERS).map(|user| (user, standing.token(user)));
        let crowd = Crowd::new(&plan, tokens.collect(), DEVICES_MAX, HURRIED, seed.fork());
        let doors = Loopback::at(standing.address());
        let mut run = Self {
            began: Instant::now(),
            standing,
            doors,
            crowd,
            chance: seed.fork(),
            dice: seed.fork(),
            faults: ACCIDENTS.into_iter().fold(Faults::default(), Faults::with),
            notes: Notes::new(false, false),
            heads: BTreeMap::new(),
        };
        run.with_crowd(Crowd::gather);
        Ok(run)
    }

    /// Lets the crowd do something, now.
    fn with_crowd(&mut self, act: impl FnOnce(&mut Crowd, &mut Around<'_>)) {
        let passed = self.began.elapsed().as_micros();
        self.notes.now_us = u64::try_from(passed).expect("a short life");
        let mut around = Around {
            notes: &mut self.notes,
            doors: &mut self.doors,
            chance: &mut self.chance,
            faults: self.faults,
        };
        act(&mut self.crowd, &mut around);
    }

    /// Rounds with accidents, until the time is over or the server is lost.
    fn live(&mut self, lasts: Duration) {
        let mut accident = ACCIDENT;
        let mut end = END;
        let mut back = None;
        let mut round = Duration::ZERO;
        while self.began.elapsed() < lasts {
            round = self.wait_until(round + ROUND);
            if round >= accident {
                accident = round + ACCIDENT;
                let mut dice = self.dice.fork();
                self.with_crowd(|crowd, around| crowd.suffer(&mut dice, around));
            }
            if round >= end && back.is_none() {
                self.end_server();
                back = Some(self.began.elapsed() + part(AWAY, &mut self.dice));
            }
            if back.is_some_and(|back| round >= back) {
                back = None;
                end = round + END + part(END, &mut self.dice);
                self.begin_server();
            }
            if back.is_none() && !self.standing.lives() {
                self.notes
                    .find("Died", "the server ended by itself".to_owned());
            }
            if !self.notes.findings.is_empty() {
                return;
            }
            self.with_crowd(Crowd::wish);
            for _ in 0..MOVES {
                self.with_crowd(Crowd::pump);
            }
            self.crowd.devices.retain(|device| !device.retired);
        }
    }

    /// The next moment of work, in the time of the run.
    fn wait_until(&self, due: Duration) -> Duration {
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        self.began.elapsed()
    }

    fn end_server(&mut self) {
        let power = self.standing.has_disk() && self.dice.one_in(2);
        let fault = if power { Fault::PowerCut } else { Fault::Crash };
        self.notes.fault(fault);
        self.standing.end(power);
    }

    fn begin_server(&mut self) {
        if let Err(why) = self.standing.begin() {
            self.notes.find("NotStarted", why);
        }
    }

    /// The checker's word.
    fn judge(&mut self) -> Counts {
        if self.notes.findings.is_empty() {
            for device in self.crowd.in_use() {
                self.notes.note(caught_up(device, self.notes.now_us));
            }
        }
        self.notes.tally.runs = 1;
        self.notes.tally.virtual_us = self.notes.now_us;
        self.notes.judge()
    }
}

fn caught_up(device: &Device, at: u64) -> millpond_checker::Operation {
    millpond_checker::Operation::CaughtUp {
        user: device.user,
        device: device.name,
        at,
    }
}

/// Something below `whole`.
fn part(whole: Duration, dice: &mut Chance) -> Duration {
    let us = u64::try_from(whole.as_micros()).expect("a short time");
    Duration::from_micros(dice.below(us))
}
