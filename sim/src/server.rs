//! What stands behind the gateways: the embedded router or the cluster's, with the store, the log, the routes and the
//! hints on their way. Its steps and its accidents.

use crate::chance::Chance;
use crate::cluster::{self, Cluster};
use crate::embedded::{self, Embedded, Queue};
use crate::fault::{Fault, Faults};
use crate::gate::{self, Behind, Gate, UNIX_MS};
use crate::notes::Notes;
use crate::plan::{Bug, Driver, Plan};
use crate::shelf::Shelf;
use millpond_backplane::link::{Downlink, DownlinkBody};
use millpond_backplane::log::LogError;
use millpond_backplane::memory::{
    AppendFault, Atomicity, CommitFault, Crash, ManualClock, MemoryLog, MemoryRoutes, MemoryStore,
    RecordingLink,
};
use millpond_backplane::routes::{Route, Routes};
use millpond_backplane::store::{Durability, Store, StoreError};
use millpond_router::fused::Now;
use millpond_wire::UserId;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(10);
/// Real partitions of the log.
const REAL_PARTITIONS: u64 = 4;
/// Steps of one member in a row.
const STEPS_MAX: u64 = 8;

#[derive(Debug)]
pub(crate) struct Server {
    driver: Driver,
    bug: Option<Bug>,
    pub(crate) gates: Vec<Gate>,
    pub(crate) store: Arc<Shelf>,
    routes: Arc<MemoryRoutes>,
    route_clock: Arc<ManualClock>,
    log_clock: Arc<ManualClock>,
    link: RecordingLink,
    post: Vec<Posted>,
    /// `None` while the embedded server is down.
    embedded: Option<Embedded>,
    cluster: Option<Cluster>,
    /// The router's, or the log's, clock is off by so much.
    skew_ms: i64,
    /// The disk has room again from then on.
    full_until_us: u64,
}

/// A hint on its way.
#[derive(Debug)]
struct Posted {
    due_us: u64,
    hint: Downlink,
}

impl Server {
    pub(crate) fn new(plan: &Plan, chance: &mut Chance) -> Self {
        let atomicity = match plan.driver {
            Driver::Fused => Atomicity::Batch,
            Driver::TwoStage => Atomicity::Unit,
        };
        let syncs = plan.driver == Driver::TwoStage || !plan.faults.has(Fault::PowerCut);
        let durability = if syncs {
            Durability::Sync
        } else {
            Durability::Interval
        };
        let rows = MemoryStore::new(durability, atomicity);
        let store = Arc::new(Shelf::new(rows, plan.bug));
        let route_clock = Arc::new(ManualClock::at(0));
        let log_clock = Arc::new(ManualClock::at(UNIX_MS));
        let routes = routes(&route_clock);
        let link = RecordingLink::default();
        let gateways = match plan.driver {
            Driver::Fused => 1,
            Driver::TwoStage => 2,
        };
        let limits = gate::limits(chance);
        let gates = (1..=gateways).map(|id| Gate::new(id, limits)).collect();
        let mut server = Self {
            driver: plan.driver,
            bug: plan.bug,
            gates,
            store,
            routes,
            route_clock,
            log_clock,
            link,
            post: Vec::new(),
            embedded: None,
            cluster: None,
            skew_ms: 0,
            full_until_us: 0,
        };
        if plan.driver == Driver::TwoStage {
            server.cluster = Some(server.cluster(plan.users, chance));
        }
        server
    }

    fn cluster(&self, users: u64, chance: &mut Chance) -> Cluster {
        let real = u16::try_from(1 + chance.below(REAL_PARTITIONS)).expect("few");
        let parts = cluster::Parts {
            log: MemoryLog::new(real, self.log_clock.clone()),
            store: self.store.clone(),
            routes: self.routes.clone(),
            link: self.link.clone(),
            bug: self.bug,
        };
        Cluster::new(parts, users, chance)
    }

    /// Starts whatever is down.
    pub(crate) fn start(&mut self, faults: Faults, chance: &mut Chance, notes: &mut Notes) {
        let entries_max = if faults.has(Fault::FullLog) {
            4 + chance.index(12)
        } else {
            usize::MAX
        };
        if self.driver == Driver::Fused && self.embedded.is_none() {
            notes.tell(|| ("server".to_owned(), "starts".to_owned()));
            self.store.rows.reopen();
            self.routes = routes(&self.route_clock);
            let parts = embedded::Parts {
                store: self.store.clone(),
                routes: self.routes.clone(),
                link: self.link.clone(),
                queue: Queue::new(entries_max),
                bug: self.bug,
            };
            self.embedded = Embedded::start(parts, chance);
        }
        for place in 0..self.gates.len() {
            if self.gates[place].is_up() {
                continue;
            }
            let appender: Box<dyn millpond_backplane::log::Appender> =
                match (&self.embedded, &self.cluster) {
                    (Some(embedded), _) => Box::new(embedded.queue.clone()),
                    (None, Some(cluster)) => cluster.appender(entries_max),
                    (None, None) => continue,
                };
            for fault in [Fault::FullLog, Fault::Kernel] {
                if faults.has(fault) {
                    notes.fault(fault);
                }
            }
            let behind = Behind {
                appender,
                store: self.store.clone(),
                routes: self.routes.clone(),
                link: Box::new(self.link.clone()),
            };
            self.gates[place].start(behind, notes.now_us, faults, chance);
        }
    }

    /// The clocks go on.
    pub(crate) fn tick(&mut self, now_us: u64) {
        self.route_clock.set(now_us / 1_000);
        if now_us >= self.full_until_us {
            self.store.rows.set_full(false);
        }
        let unix_ms = self.unix_ms(now_us);
        self.log_clock.set(unix_ms);
        for gate in &mut self.gates {
            gate.renew(&*self.routes, now_us);
        }
    }

    fn unix_ms(&self, now_us: u64) -> u64 {
        (UNIX_MS + now_us / 1_000).saturating_add_signed(self.skew_ms)
    }

    fn now(&self, now_us: u64) -> Now {
        Now {
            wall_ms: self.unix_ms(now_us),
            steady_ms: now_us / 1_000,
        }
    }

    /// Some steps of the router, some of them left out.
    pub(crate) fn step(&mut self, faults: Faults, chance: &mut Chance, notes: &mut Notes) {
        let now = self.now(notes.now_us);
        let late = faults.has(Fault::LateCommit) && chance.one_in(2);
        if let Some(embedded) = &mut self.embedded {
            if late {
                notes.fault(Fault::LateCommit);
            }
            embedded.run(now, 1 + chance.index(64));
            if !late {
                embedded.commit();
            }
            if !late || chance.one_in(2) {
                embedded.release();
            }
            if !self.syncs() && chance.one_in(6) {
                self.store.rows.sync();
            }
        }
        if let Some(cluster) = &mut self.cluster {
            for member in 0..cluster.members() {
                for _ in 0..chance.below(STEPS_MAX) {
                    cluster.step(member);
                }
            }
            if faults.has(Fault::Zombie) && chance.one_in(4) {
                for _ in 0..chance.below(STEPS_MAX) {
                    cluster.stir(chance);
                }
            }
        }
        self.collect(faults, chance, notes);
    }

    /// Everything that can be done now; true when nothing is left to do.
    pub(crate) fn settle(
        &mut self,
        faults: Faults,
        chance: &mut Chance,
        notes: &mut Notes,
    ) -> bool {
        let now = self.now(notes.now_us);
        let mut idle = true;
        if let Some(embedded) = &mut self.embedded {
            embedded.run(now, usize::MAX);
            embedded.commit();
            embedded.commit();
            embedded.release();
            embedded.release();
            idle = embedded.is_idle();
        }
        if let Some(cluster) = &mut self.cluster {
            for member in 0..cluster.members() {
                let mut done = false;
                for _ in 0..200 {
                    done = cluster.step(member);
                    if done {
                        break;
                    }
                }
                idle &= done;
            }
        }
        self.collect(faults, chance, notes);
        idle && self.post.is_empty()
    }

    /// Zombies go on once more, and end.
    pub(crate) fn stir_and_bury(&mut self, chance: &mut Chance) {
        if let Some(cluster) = &mut self.cluster {
            for _ in 0..100 {
                cluster.stir(chance);
            }
            cluster.bury();
        }
        // Nobody listens to what they say at the end.
        self.link.take();
    }

    /// Takes what routers have said on its way, or drops it.
    fn collect(&mut self, faults: Faults, chance: &mut Chance, notes: &mut Notes) {
        for hint in self.link.take() {
            if faults.has(Fault::DropHint) && chance.one_in(10) && is_repeated(&hint, faults) {
                notes.fault(Fault::DropHint);
                continue;
            }
            let mut due_us = notes.now_us;
            if faults.has(Fault::DelayHint) && chance.one_in(4) {
                notes.fault(Fault::DelayHint);
                due_us += chance.below(2_000_000);
            }
            if faults.has(Fault::DuplicateHint) && chance.one_in(10) {
                notes.fault(Fault::DuplicateHint);
                self.post.push(Posted {
                    due_us: due_us + chance.below(3_000_000),
                    hint: hint.clone(),
                });
            }
            self.post.push(Posted { due_us, hint });
        }
        self.deliver(notes.now_us);
    }

    fn deliver(&mut self, now_us: u64) {
        let gates = &mut self.gates;
        self.post.retain(|posted| {
            let due = posted.due_us <= now_us;
            if due {
                let to = posted.hint.to.gateway.0;
                if let Some(gate) = gates.iter_mut().find(|gate| gate.id == to) {
                    gate.hint(posted.hint.clone());
                }
            }
            !due
        });
    }

    pub(crate) fn next_hint_us(&self) -> Option<u64> {
        self.post.iter().map(|posted| posted.due_us).min()
    }

    /// Accidents that may happen at any time.
    pub(crate) fn suffer(&mut self, faults: Faults, chance: &mut Chance, notes: &mut Notes) {
        let mut strikes = |fault, often| {
            let strikes = faults.has(fault) && chance.per_mille(often);
            if strikes {
                notes.fault(fault);
                notes.tell(|| ("fault".to_owned(), format!("{fault:?}")));
            }
            strikes
        };
        let struck = [
            (strikes(Fault::Crash, 25), Fault::Crash),
            (strikes(Fault::Drain, 10), Fault::Drain),
            (strikes(Fault::FailedCommit, 20), Fault::FailedCommit),
            (strikes(Fault::FailedRead, 30), Fault::FailedRead),
            (strikes(Fault::ClockJump, 20), Fault::ClockJump),
            (strikes(Fault::OwnerCrash, 60), Fault::OwnerCrash),
            (strikes(Fault::Zombie, 40), Fault::Zombie),
            (strikes(Fault::Rebalance, 30), Fault::Rebalance),
            (strikes(Fault::FailedAppend, 30), Fault::FailedAppend),
            (strikes(Fault::LeaseEnds, 15), Fault::LeaseEnds),
            (strikes(Fault::RoutesLost, 10), Fault::RoutesLost),
            (strikes(Fault::DiskFull, 10), Fault::DiskFull),
            (strikes(Fault::TornCommit, 30), Fault::TornCommit),
        ];
        for (_, fault) in struck.into_iter().filter(|(struck, _)| *struck) {
            self.strike(fault, chance, notes);
        }
    }

    fn strike(&mut self, fault: Fault, chance: &mut Chance, notes: &mut Notes) {
        let now_us = notes.now_us;
        match fault {
            Fault::Crash => self.crash(chance, notes),
            Fault::Drain => {
                let gate = chance.index(self.gates.len());
                let spread = Duration::from_millis(chance.below(5_000));
                self.gates[gate].drain(spread);
            }
            Fault::FailedCommit => self.store.rows.fail_commit(CommitFault {
                units_written: match self.driver {
                    Driver::Fused => 0,
                    Driver::TwoStage => chance.index(6),
                },
            }),
            Fault::FailedRead => {
                // An embedded router that cannot read ends; readers of pages answer that they cannot.
                let error = StoreError::Failed("ordered by the simulation".to_owned());
                self.store.rows.fail_read(error);
            }
            Fault::ClockJump => {
                let jump = i64::try_from(chance.below(600_000)).expect("small") - 300_000;
                let gate = chance.index(self.gates.len());
                self.gates[gate].skew_ms = jump;
                self.skew_ms = jump / 2;
            }
            Fault::LeaseEnds => {
                let gate = chance.index(self.gates.len());
                self.gates[gate].hold_lease(now_us + 12_000_000);
            }
            Fault::RoutesLost => self.routes.forget(),
            Fault::DiskFull => {
                self.store.rows.set_full(true);
                self.full_until_us = now_us + chance.below(3_000_000);
            }
            Fault::TornCommit if self.driver == Driver::TwoStage => {
                self.store.rows.tear_commit(chance.next());
            }
            _ => self.strike_cluster(fault, chance),
        }
    }

    fn strike_cluster(&mut self, fault: Fault, chance: &mut Chance) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let member = chance.index(cluster.members());
        match fault {
            Fault::OwnerCrash => cluster.crash(member),
            Fault::Zombie => cluster.replace(member),
            Fault::Rebalance => cluster.rebalance(chance),
            Fault::FailedAppend => cluster.log.fail_append(AppendFault {
                written: *chance.of(&[0, 1, 2, usize::MAX]),
            }),
            _ => {}
        }
        if chance.one_in(20) {
            let error = LogError::Append("ordered by the simulation".to_owned());
            cluster.log.fail_read(error);
        }
    }

    fn crash(&mut self, chance: &mut Chance, notes: &mut Notes) {
        match self.driver {
            Driver::Fused => {
                notes.tell(|| ("server".to_owned(), "is killed".to_owned()));
                self.end_embedded(notes);
                self.store.rows.crash(Crash::Kill);
            }
            Driver::TwoStage => {
                let gate = chance.index(self.gates.len());
                self.gates[gate].crash();
            }
        }
    }

    /// Everything ends, and what was not synced is gone, but for what happens to be on the disk.
    pub(crate) fn cut_power(&mut self, chance: &mut Chance, notes: &mut Notes) {
        notes.tell(|| ("server".to_owned(), "loses its power".to_owned()));
        self.end_embedded(notes);
        let kept = chance.index(6);
        self.store.rows.crash(Crash::PowerCut { kept });
    }

    fn end_embedded(&mut self, notes: &mut Notes) {
        self.drain_seen(notes);
        self.embedded = None;
        self.link.take();
        self.post.clear();
        self.gates.iter_mut().for_each(Gate::crash);
    }

    /// Whether every commit is synced before it shows.
    fn syncs(&self) -> bool {
        self.store.durability() == Durability::Sync
    }

    /// What an operator does about a server that can go no further.
    pub(crate) fn mend(&mut self, chance: &mut Chance, notes: &mut Notes) {
        match self.driver {
            Driver::Fused => {
                let failed = |embedded: &Embedded| embedded.failed;
                if self.embedded.as_ref().is_some_and(failed) {
                    self.crash(chance, notes);
                }
            }
            Driver::TwoStage => self.store.rows.reopen(),
        }
    }

    pub(crate) fn drain_seen(&mut self, notes: &mut Notes) {
        if notes.seen.is_none() {
            return;
        }
        let embedded = self.embedded.iter().map(|embedded| &embedded.queue.seen);
        let cluster = self.cluster.iter().map(|cluster| &cluster.seen);
        for seen in embedded.chain(cluster) {
            let bits = *seen.lock().unwrap_or_else(PoisonError::into_inner);
            for (place, name) in crate::operation::RECORDS.into_iter().enumerate() {
                if bits & (1 << place) != 0 {
                    notes.saw(name);
                }
            }
        }
    }

    pub(crate) fn routes_of(&self, user: u64) -> Vec<Route> {
        let mut found = Vec::new();
        let user = UserId::new(user).expect("users are small numbers");
        self.routes
            .find(&[user], &mut found)
            .expect("routes in memory answer");
        found
    }

    pub(crate) fn zombies(&self) -> usize {
        self.cluster.as_ref().map_or(0, Cluster::zombies)
    }
}

/// Whether something brings it again; after quiet begins, a heartbeat.
fn is_repeated(hint: &Downlink, faults: Faults) -> bool {
    let quiet = faults == Faults::default().with(Fault::DropHint);
    match hint.body {
        DownlinkBody::Deliver { .. } | DownlinkBody::Mark(_) | DownlinkBody::Kick(_) => true,
        DownlinkBody::Ack(_) | DownlinkBody::Refused { .. } => !quiet,
    }
}

fn routes(clock: &Arc<ManualClock>) -> Arc<MemoryRoutes> {
    Arc::new(MemoryRoutes::with_clock(LEASE, clock.clone()))
}
