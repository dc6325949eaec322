//! Routes in one table: the embedded driver, and the model of the Redis one.
//!
//! One lock, held for a batch: a look-up costs a hash and a compare, so even a large batch keeps others waiting for
//! microseconds. A user's single device, the common case, lies in the table itself: a million routes are a million
//! entries and a small index. A route counts only while its gateway's lease of the same epoch lives, and comes back with
//! a late renewal. It stands in nobody's way meanwhile: whoever connects takes its device, or its place when the user
//! has too many. The routes of an earlier epoch go all at once, when their gateway starts the next one.

mod packed;

use super::clock::{Clock, MonotonicClock};
use crate::routes::{Put, Renewal, Route, Routes, RoutesError};
use crate::{Address, GatewayId, Handle};
use millpond_wire::{DeviceId, UserId};
use packed::Packed;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connected devices of one user; one more displaces the one with the oldest attempt.
pub const ROUTES_PER_USER_MAX: usize = 32;

#[derive(Debug)]
pub struct MemoryRoutes {
    table: Mutex<Table>,
    lease: Duration,
    clock: Arc<dyn Clock>,
}

impl MemoryRoutes {
    /// A lease lasts this long after each renewal.
    pub fn new(lease: Duration) -> Self {
        Self::with_clock(lease, Arc::new(MonotonicClock::default()))
    }

    pub fn with_clock(lease: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            table: Mutex::default(),
            lease,
            clock,
        }
    }

    /// Users with a route, dead ones included.
    pub fn users(&self) -> usize {
        self.lock().seats.len()
    }

    /// Loses everything, leases too, as a flushed server does.
    pub fn forget(&self) {
        let mut table = self.lock();
        *table = Table {
            losses: table.losses + 1,
            renewed: std::mem::take(&mut table.renewed),
            ..Table::default()
        };
    }

    /// Every change leaves the table whole, so a panic elsewhere under the lock does no harm.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routes for MemoryRoutes {
    fn put(&self, routes: &[Route], puts: &mut Vec<Put>) -> Result<(), RoutesError> {
        let now_ms = self.clock.now_ms();
        let mut table = self.lock();
        puts.extend(routes.iter().map(|route| table.put(*route, now_ms)));
        Ok(())
    }

    fn remove(&self, routes: &[Route]) -> Result<(), RoutesError> {
        let mut table = self.lock();
        routes.iter().for_each(|route| table.remove(route));
        Ok(())
    }

    /// Appends to `found`; the devices of one user ascend.
    fn find(&self, users: &[UserId], found: &mut Vec<Route>) -> Result<(), RoutesError> {
        let now_ms = self.clock.now_ms();
        let table = self.lock();
        for &user in users {
            if let Some(seats) = table.seats.get(user) {
                let live = seats.as_slice().iter();
                let live = live.filter(|seat| table.leases.live(seat, now_ms));
                found.extend(live.map(|seat| seat.route(user)));
            }
        }
        Ok(())
    }

    fn renew(&self, gateway: GatewayId, epoch: u32) -> Result<Renewal, RoutesError> {
        let lease_ms = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        let ends_ms = self.clock.now_ms().saturating_add(lease_ms);
        let mut table = self.lock();
        if !table.renew(gateway, Lease { epoch, ends_ms }) {
            return Ok(Renewal::Ended);
        }
        let seen = (epoch, table.losses);
        let last = table.renewed.insert(gateway, seen);
        let lost = last.is_some_and(|(of, losses)| of == epoch && losses < table.losses);
        Ok(if lost {
            Renewal::Lost
        } else {
            Renewal::Standing
        })
    }
}

#[derive(Default, Debug)]
struct Table {
    seats: Packed<UserId, Seats>,
    leases: Leases,
    /// How often everything was lost.
    losses: u64,
    /// Epoch and losses of each gateway's last renewal, which no loss forgets.
    renewed: FxHashMap<GatewayId, (u32, u64)>,
}

impl Table {
    fn put(&mut self, route: Route, now_ms: u64) -> Put {
        let user = route.address.user;
        let seat = Seat::of(&route);
        let Some(seats) = self.seats.get_mut(user) else {
            self.seats.insert(user, Seats::One(seat));
            return Put::Taken { displaced: None };
        };
        let leases = &self.leases;
        let mut all = seats.as_slice().to_vec();
        all.retain(|other| !leases.ended(other));
        let old = all.iter().position(|other| other.device == seat.device);
        if old.is_some_and(|at| leases.live(&all[at], now_ms) && all[at].rank() > seat.rank()) {
            return Put::Older;
        }
        let displaced = match old {
            Some(at) => Some(all.swap_remove(at)).filter(|old| !old.same_connection(&seat)),
            None if all.len() == ROUTES_PER_USER_MAX => Some(take_least(&mut all, leases, now_ms)),
            None => None,
        };
        all.push(seat);
        *seats = Seats::from(all);
        // A dead one of this very run of a gateway is told too: its connection has only slept, with all the others.
        let told = |old: &Seat| leases.live(old, now_ms) || old.same_run(&seat);
        Put::Taken {
            displaced: displaced.filter(told).map(|old| old.route(user)),
        }
    }

    fn remove(&mut self, route: &Route) {
        let (user, seat) = (route.address.user, Seat::of(route));
        let Some(seats) = self.seats.get_mut(user) else {
            return;
        };
        match seats {
            Seats::One(one) if *one == seat => {
                self.seats.remove(user);
            }
            Seats::One(_) => {}
            Seats::Many(many) => {
                let left = many.iter().filter(|other| **other != seat);
                *seats = Seats::from(left.copied().collect::<Vec<_>>());
            }
        }
    }

    /// False for an epoch that has ended.
    fn renew(&mut self, gateway: GatewayId, lease: Lease) -> bool {
        let known = self.leases.0.get(&gateway).map(|lease| lease.epoch);
        if known.is_some_and(|known| known > lease.epoch) {
            return false;
        }
        self.leases.0.insert(gateway, lease);
        if known.is_some_and(|known| known < lease.epoch) {
            self.forget_before(gateway, lease.epoch);
        }
        true
    }

    /// Drops the routes of a gateway's earlier epochs.
    fn forget_before(&mut self, gateway: GatewayId, epoch: u32) {
        self.seats.retain(|seats| {
            let left = seats.as_slice().iter();
            let left = left.filter(|seat| seat.gateway != gateway || seat.gateway_epoch >= epoch);
            let left: Vec<Seat> = left.copied().collect();
            let any = !left.is_empty();
            if any && left.len() < seats.as_slice().len() {
                *seats = Seats::from(left);
            }
            any
        });
    }
}

/// Takes out a dead seat, or else the one with the oldest attempt.
fn take_least(seats: &mut Vec<Seat>, leases: &Leases, now_ms: u64) -> Seat {
    let ranked = seats.iter().enumerate();
    let least = ranked.min_by_key(|(_, seat)| (leases.live(seat, now_ms), seat.rank()));
    let at = least.map(|(at, _)| at).expect("a full list is not empty");
    seats.swap_remove(at)
}

#[derive(Default, Debug)]
struct Leases(FxHashMap<GatewayId, Lease>);

impl Leases {
    fn live(&self, seat: &Seat, now_ms: u64) -> bool {
        self.0
            .get(&seat.gateway)
            .is_some_and(|lease| lease.epoch == seat.gateway_epoch && now_ms < lease.ends_ms)
    }

    /// Whether its gateway has gone on to a later epoch, so that no renewal brings it back.
    fn ended(&self, seat: &Seat) -> bool {
        self.0
            .get(&seat.gateway)
            .is_some_and(|lease| lease.epoch > seat.gateway_epoch)
    }
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    epoch: u32,
    ends_ms: u64,
}

/// The routes of one user, by device, ascending.
#[derive(Debug)]
enum Seats {
    One(Seat),
    /// Anything but one.
    Many(Box<[Seat]>),
}

impl Seats {
    fn from(mut seats: Vec<Seat>) -> Self {
        seats.sort_unstable_by_key(|seat| seat.device);
        match *seats {
            [one] => Self::One(one),
            _ => Self::Many(seats.into_boxed_slice()),
        }
    }

    fn as_slice(&self) -> &[Seat] {
        match self {
            Self::One(seat) => std::slice::from_ref(seat),
            Self::Many(seats) => seats,
        }
    }
}

/// A route without its user, which is its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seat {
    device: DeviceId,
    gateway: GatewayId,
    gateway_epoch: u32,
    handle: Handle,
    attempt: u32,
}

const _: () = assert!(size_of::<(UserId, Seats)>() <= 48);

impl Seat {
    fn of(route: &Route) -> Self {
        Self {
            device: route.address.device,
            gateway: route.address.gateway,
            gateway_epoch: route.address.gateway_epoch,
            handle: route.address.handle,
            attempt: route.attempt,
        }
    }

    fn route(self, user: UserId) -> Route {
        let address = Address {
            gateway: self.gateway,
            gateway_epoch: self.gateway_epoch,
            handle: self.handle,
            user,
            device: self.device,
        };
        Route {
            address,
            attempt: self.attempt,
        }
    }

    /// Who wins a device: the higher; of equals the later put.
    fn rank(&self) -> (u32, u32) {
        (self.attempt, self.gateway_epoch)
    }

    fn same_run(&self, other: &Self) -> bool {
        (self.gateway, self.gateway_epoch) == (other.gateway, other.gateway_epoch)
    }

    fn same_connection(&self, other: &Self) -> bool {
        self.same_run(other) && self.handle == other.handle
    }
}
