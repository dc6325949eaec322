//! Leases as the server has them, remembered for a moment.

use crate::key::Keys;
use crate::server::Server;
use millpond_backplane::GatewayId;
use millpond_backplane::routes::Route;
use redis::RedisResult;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Leases {
    cache: Duration,
    known: Mutex<BTreeMap<GatewayId, Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    lease: Lease,
    read: Instant,
}

/// What is known of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    /// The epoch whose lease lives, and where its gateway takes hints.
    live: Option<(u32, Option<SocketAddr>)>,
    /// The newest epoch that it has had; 0 for none.
    newest: u32,
}

impl Lease {
    /// Whether it says that this epoch lives, or that it has ended for good.
    fn tells_of(&self, epoch: u32) -> bool {
        self.live.is_some_and(|(live, _)| live == epoch) || self.newest > epoch
    }

    pub(crate) fn link(&self, epoch: u32) -> Option<SocketAddr> {
        let (of, link) = self.live?;
        link.filter(|_| of == epoch)
    }
}

/// What a lease says: its epoch, then the address of the link, if there is one.
pub(crate) fn said(epoch: u32, link: Option<SocketAddr>) -> String {
    link.map_or_else(|| epoch.to_string(), |link| format!("{epoch} {link}"))
}

/// One that nobody of ours wrote is no lease.
fn parse(said: &str) -> Option<(u32, Option<SocketAddr>)> {
    match said.split_once(' ') {
        Some((epoch, link)) => Some((epoch.parse().ok()?, Some(link.parse().ok()?))),
        None => Some((said.parse().ok()?, None)),
    }
}

/// The leases that one call needs.
#[derive(Default, Debug)]
pub(crate) struct View(BTreeMap<GatewayId, Lease>);

impl View {
    pub(crate) fn live(&self, route: &Route) -> bool {
        let lease = self.0.get(&route.address.gateway);
        let live = lease.and_then(|lease| lease.live);
        live.is_some_and(|(epoch, _)| epoch == route.address.gateway_epoch)
    }

    /// Whether its gateway has gone on to a later epoch, so that no renewal brings it back.
    pub(crate) fn ended(&self, route: &Route) -> bool {
        let lease = self.0.get(&route.address.gateway);
        lease.is_some_and(|lease| lease.newest > route.address.gateway_epoch)
    }
}

impl Leases {
    pub(crate) fn new(cache: Duration) -> Self {
        Self {
            cache,
            known: Mutex::default(),
        }
    }

    /// The leases of these routes' gateways, read where what is remembered does not say enough.
    pub(crate) async fn of(
        &self,
        server: &Server,
        keys: &Keys,
        routes: impl Iterator<Item = &Route>,
    ) -> RedisResult<View> {
        let mut view = View::default();
        let mut read = BTreeSet::new();
        for route in routes {
            let (gateway, epoch) = (route.address.gateway, route.address.gateway_epoch);
            let known = view.0.get(&gateway);
            if read.contains(&gateway) || known.is_some_and(|lease| lease.tells_of(epoch)) {
                continue;
            }
            let lease = match self.remembered(gateway, epoch) {
                Some(lease) => lease,
                None => {
                    read.insert(gateway);
                    self.read(server, keys, gateway).await?
                }
            };
            view.0.insert(gateway, lease);
        }
        Ok(view)
    }

    /// The lease of one gateway, for one of its epochs.
    pub(crate) async fn one(
        &self,
        server: &Server,
        keys: &Keys,
        gateway: GatewayId,
        epoch: u32,
    ) -> RedisResult<Lease> {
        match self.remembered(gateway, epoch) {
            Some(lease) => Ok(lease),
            None => self.read(server, keys, gateway).await,
        }
    }

    /// What is known no more after a renewal.
    pub(crate) fn forget(&self, gateway: GatewayId) {
        self.lock().remove(&gateway);
    }

    /// That a gateway is not there is never remembered: it may have just started.
    fn remembered(&self, gateway: GatewayId, epoch: u32) -> Option<Lease> {
        let known = self.lock().get(&gateway).copied()?;
        let lease = Some(known.lease).filter(|lease| lease.tells_of(epoch));
        lease.filter(|_| known.read.elapsed() < self.cache)
    }

    async fn read(&self, server: &Server, keys: &Keys, gateway: GatewayId) -> RedisResult<Lease> {
        let read = Instant::now();
        let mut command = redis::cmd("MGET");
        command.arg(keys.lease(gateway)).arg(keys.epoch(gateway));
        let (said, newest): (Option<String>, Option<u32>) = server.ask(&command).await?;
        let lease = Lease {
            live: said.and_then(|said| parse(&said)),
            newest: newest.unwrap_or(0),
        };
        self.lock().insert(gateway, Known { lease, read });
        Ok(lease)
    }

    /// Every change leaves the table whole, so a panic elsewhere under the lock does no harm.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<GatewayId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
