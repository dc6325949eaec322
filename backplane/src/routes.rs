//! The seam to routes: which connection a device has just now.
//!
//! Built for Redis: a route counts only while its gateway's lease with the same epoch lives, so a crashed gateway's
//! million routes end by one expiry. A put wins by (attempt, gateway epoch) and returns whom it displaced, which becomes
//! a kick; a remove deletes only its own route. Routers never remember that somebody is absent. Calls take batches and
//! may block, for a bounded time: shards reach them through the gateway's pool.

use crate::{Address, GatewayId};
use millpond_wire::UserId;

pub trait Routes: Send + Sync + std::fmt::Debug {
    /// Makes each connection the route of its device, unless a newer attempt holds it; as if one was written after the
    /// other. Appends an answer for each to `puts`; none of them after an error.
    fn put(&self, routes: &[Route], puts: &mut Vec<Put>) -> Result<(), RoutesError>;

    /// Removes exactly these routes; others of the same devices stay.
    fn remove(&self, routes: &[Route]) -> Result<(), RoutesError>;

    /// Appends the live routes of these users, in the order of the users; none of them after an error.
    fn find(&self, users: &[UserId], found: &mut Vec<Route>) -> Result<(), RoutesError>;

    /// Starts or renews the lease of a gateway's epoch. One that a later epoch has ended stays ended.
    fn renew(&self, gateway: GatewayId, epoch: u32) -> Result<Renewal, RoutesError>;

    /// [`Routes::put`] of one alone.
    fn put_one(&self, route: Route) -> Result<Put, RoutesError> {
        let mut puts = Vec::with_capacity(1);
        self.put(&[route], &mut puts)?;
        Ok(puts.pop().expect("each route has an answer"))
    }
}

/// What became of the routes since the last renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// They stand, as far as anybody can tell.
    Standing,
    /// They were lost, as far as anybody can tell all of them: the gateway puts its own again, at its own pace.
    Lost,
    /// A later epoch of this gateway has begun: nobody finds this one any more.
    Ended,
}

/// The routes did not answer, and any part of a write may have been done. Whoever calls goes on without them, since the
/// next heartbeat of a connection asserts its route again and asks for what it has missed; the driver counts failures,
/// and says in the log when they begin and end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("routes cannot be reached: {0}")]
pub struct RoutesError(pub String);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    pub address: Address,
    /// Grows with every connection of the device.
    pub attempt: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// Taken; the route that was there before, if it was another connection.
    Taken { displaced: Option<Route> },
    /// A newer attempt of the same device is connected: this one is the old one.
    Older,
}
