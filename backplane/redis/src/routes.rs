//! The driver.

mod put;

use crate::health::Health;
use crate::key::{Keys, Place};
use crate::leases::{self, Leases};
use crate::options::Options;
use crate::seat;
use crate::server::Server;
use crate::trouble::Trouble;
use futures_util::future::try_join_all;
use millpond_background::Background;
use millpond_backplane::GatewayId;
use millpond_backplane::link::Directory;
use millpond_backplane::metrics::{Sample, Source};
use millpond_backplane::routes::{Put, Renewal, Route, Routes, RoutesError};
use millpond_wire::UserId;
use redis::Script;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const PUT: &str = include_str!("put.lua");
const REMOVE: &str = include_str!("remove.lua");
const RENEW: &str = include_str!("renew.lua");

/// Buckets asked at a time by one call: what a look-up for very many users holds in memory.
const BUCKETS_AT_A_TIME: usize = 256;

/// Routes in Redis.
#[derive(Debug)]
pub struct RedisRoutes {
    runtime: Background,
    server: Server,
    keys: Keys,
    leases: Leases,
    health: Health,
    lease_ms: u64,
    link: Option<SocketAddr>,
    /// Of this driver, and how many lives it has proposed: no two have the same name.
    name: String,
    proposals: AtomicU64,
    /// What stood under the format at the last renewal.
    life: Mutex<Option<String>>,
    scripts: Scripts,
}

#[derive(Debug)]
struct Scripts {
    put: Script,
    remove: Script,
    renew: Script,
}

impl RedisRoutes {
    /// Connects with the first call, so a server that is not there yet stops nobody from starting.
    ///
    /// # Errors
    /// Options that cannot be meant, or no thread for the runtime.
    pub fn new(options: &Options) -> Result<Self, RoutesError> {
        options.check()?;
        let runtime = Background::start("routes", 1)
            .map_err(|error| RoutesError(format!("no thread for them: {error}")))?;
        Ok(Self {
            runtime,
            server: Server::new(options.clone()),
            keys: Keys::new(options.prefix.clone(), options.buckets_log2),
            leases: Leases::new(options.lease_cache),
            health: Health::new(options.pause),
            lease_ms: u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX),
            link: options.link,
            name: name(),
            proposals: AtomicU64::default(),
            life: Mutex::default(),
            scripts: Scripts {
                put: Script::new(PUT),
                remove: Script::new(REMOVE),
                renew: Script::new(RENEW),
            },
        })
    }

    /// The next epoch of a gateway that starts: above all that it has had.
    ///
    /// # Errors
    /// Redis does not answer: a gateway does not start without it, since its epoch could be one that it has had.
    pub fn begin_epoch(&self, gateway: GatewayId) -> Result<u32, RoutesError> {
        self.call(async {
            let mut command = redis::cmd("INCR");
            command.arg(self.keys.epoch(gateway));
            Ok(self.server.ask(&command).await?)
        })
    }

    /// Whether the last call was answered.
    pub fn is_reachable(&self) -> bool {
        self.health.is_answering()
    }

    /// Runs one call to its end on the caller's thread.
    fn call<T>(&self, call: impl Future<Output = Result<T, Trouble>>) -> Result<T, RoutesError> {
        self.health.may_call()?;
        self.call_anyway(call)
    }

    /// The same, also while others pause.
    fn call_anyway<T>(
        &self,
        call: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, RoutesError> {
        self.health.judge(self.runtime.block_on(call))
    }

    /// Which life of the data this is: its name goes with them. Whoever puts routes under another number of buckets would
    /// be found by nobody.
    async fn read_life(&self) -> Result<String, Trouble> {
        let format = self.keys.format_value();
        let number = self.proposals.fetch_add(1, Ordering::Relaxed);
        let proposed = format!("{format} {}-{number}", self.name);
        let mut command = redis::cmd("SET");
        command
            .arg(self.keys.format())
            .arg(&proposed)
            .arg("NX")
            .arg("GET");
        let standing: Option<String> = self.server.ask(&command).await?;
        let standing = standing.unwrap_or(proposed);
        match standing.rsplit_once(' ') {
            Some((of, _)) if of == format => Ok(standing),
            Some(_) | None => Err(Trouble::Wrong(format!(
                "they stand there in format {standing:?}, and this program has {format:?} (version, log2 of buckets)"
            ))),
        }
    }

    /// Whether it is another life than the last time.
    fn note_life(&self, standing: &str) -> bool {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let last = life.replace(standing.to_owned());
        last.is_some_and(|last| last != standing)
    }

    async fn remove_all(&self, routes: &[Route]) -> Result<(), Trouble> {
        let mut buckets: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
        for route in routes {
            let place = self.keys.place(route.address.user);
            let arguments = buckets.entry(place.bucket).or_default();
            arguments.push(place.field());
            arguments.push(encoded(route)?);
        }
        let removed = buckets.iter().map(async |(bucket, arguments)| {
            let keys = [self.keys.bucket(*bucket)];
            let script = &self.scripts.remove;
            let count = self.server.run::<u64>(script, REMOVE, &keys, arguments);
            count.await.map(drop)
        });
        try_join_all(removed).await?;
        Ok(())
    }

    async fn find_all(&self, users: &[UserId]) -> Result<Vec<Route>, Trouble> {
        let mut buckets: BTreeMap<u32, Vec<(usize, Place)>> = BTreeMap::new();
        for (at, user) in users.iter().enumerate() {
            let place = self.keys.place(*user);
            buckets.entry(place.bucket).or_default().push((at, place));
        }
        let buckets: Vec<_> = buckets.into_iter().collect();
        let mut found: Vec<Vec<Route>> = vec![Vec::new(); users.len()];
        for some in buckets.chunks(BUCKETS_AT_A_TIME) {
            let read = some.iter().map(async |(bucket, places)| {
                let mut command = redis::cmd("HMGET");
                command.arg(self.keys.bucket(*bucket));
                for (_, place) in places {
                    command.arg(place.field());
                }
                self.server.ask::<Vec<Option<Vec<u8>>>>(&command).await
            });
            let answers = try_join_all(read).await?;
            for ((_, places), values) in some.iter().zip(answers) {
                for ((at, _), seats) in places.iter().zip(values) {
                    let seats = seats.unwrap_or_default();
                    match seat::decode(users[*at], &seats) {
                        Ok(seats) => found[*at] = seats,
                        // No reason to leave the others.
                        Err(_) => self.health.damaged.add(1),
                    }
                }
            }
        }
        let mut found: Vec<Route> = found.into_iter().flatten().collect();
        let leases = self.leases.of(&self.server, &self.keys, found.iter()).await;
        let leases = leases?;
        found.retain(|route| leases.live(route));
        Ok(found)
    }

    /// The lease first: it must not hang on another server of a cluster.
    async fn renew_lease(&self, gateway: GatewayId, epoch: u32) -> Result<Renewal, Trouble> {
        let keys = [self.keys.lease(gateway), self.keys.epoch(gateway)];
        let said = leases::said(epoch, self.link);
        let arguments = [epoch.to_string(), self.lease_ms.to_string(), said].map(Into::into);
        let script = &self.scripts.renew;
        let renewed = self.server.run::<u32>(script, RENEW, &keys, &arguments);
        let renewed = renewed.await?;
        self.leases.forget(gateway);
        match self.read_life().await {
            _ if renewed == 0 => Ok(Renewal::Ended),
            Ok(life) if self.note_life(&life) => Ok(Renewal::Lost),
            Ok(_) | Err(Trouble::Silent(_)) => Ok(Renewal::Standing),
            Err(wrong) => Err(wrong),
        }
    }
}

impl Routes for RedisRoutes {
    fn put(&self, routes: &[Route], puts: &mut Vec<Put>) -> Result<(), RoutesError> {
        puts.extend(self.call(self.put_all(routes))?);
        Ok(())
    }

    fn remove(&self, routes: &[Route]) -> Result<(), RoutesError> {
        self.call(self.remove_all(routes))
    }

    fn find(&self, users: &[UserId], found: &mut Vec<Route>) -> Result<(), RoutesError> {
        found.extend(self.call(self.find_all(users))?);
        Ok(())
    }

    fn renew(&self, gateway: GatewayId, epoch: u32) -> Result<Renewal, RoutesError> {
        self.call_anyway(self.renew_lease(gateway, epoch))
    }
}

impl Directory for RedisRoutes {
    fn address(&self, gateway: GatewayId, epoch: u32) -> Option<SocketAddr> {
        let lease = self.call(async {
            let lease = self.leases.one(&self.server, &self.keys, gateway, epoch);
            Ok(lease.await?)
        });
        lease.ok()?.link(epoch)
    }
}

impl Source for RedisRoutes {
    fn samples(&self, into: &mut Vec<Sample>) {
        self.health.samples(into);
    }
}

/// No two drivers have the same.
fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos());
    format!("{nanos:x}-{:x}", std::process::id())
}

fn encoded(route: &Route) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::with_capacity(seat::BYTES_MAX);
    match seat::encode(route, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(gateway) => Err(Trouble::Wrong(format!(
            "gateway {} has a number above 65,535",
            gateway.0
        ))),
    }
}
