//! One whole server: the store, the router above it, the gateway before it, and the mesh between them.
//!
//! The only place that knows both gateway and router. Used by `millpond serve`.

use crate::config::{Config, Shards};
use crate::role::{Clients, Role};
use crate::secret::Secret;
use anyhow::{Context as _, Result};
use millpond_backplane::memory::{
    Clock as _, LinkDrops, MemoryRoutes, MeshLink, MonotonicClock, WallClock,
};
use millpond_backplane::mesh;
use millpond_backplane::metrics::Source;
use millpond_backplane::routes::Routes;
use millpond_backplane::store::{Durability, Store};
use millpond_embedded::FjallStore;
use millpond_gateway::{Budget, Gateway, Keys, Prepared, Seams};
use millpond_router::fused::{Fused, Now, intake};
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A running server.
#[derive(Debug)]
pub struct Server {
    gateway: Gateway,
    router: Fused,
    store: Arc<FjallStore>,
    address: SocketAddr,
    budget: Budget,
    link_drops: Arc<LinkDrops>,
}

impl Role for Server {
    fn start(config: &Config) -> Result<Self> {
        make_private(&config.data)?;
        let store = Arc::new(FjallStore::open(&config.data, &config.store)?);
        let secret = Secret::open_or_create(&config.secret_path())?;
        let previous = config.secret_previous.as_deref();
        let previous = previous.map(Secret::open).transpose()?;
        let keys = Keys::hs256(secret.bytes(), previous.as_ref().map(Secret::bytes));
        let keys = keys.context("a secret is too short")?;
        let prepared = millpond_gateway::prepare(gateway_config(config, keys))?;
        let address = prepared.local_addr();
        let budget = prepared
            .budget()
            .with_queues(config.router_queue, config.link_queue);
        let seat = Seat {
            config,
            store: store.clone(),
            prepared,
        };
        let (gateway, router, link_drops) = seat.start()?;
        Ok(Self {
            gateway,
            router,
            store,
            address,
            budget,
            link_drops,
        })
    }

    fn health(&self) -> Result<(), String> {
        if !self.gateway.is_whole() {
            return Err("a thread of the gateway has ended".to_owned());
        }
        self.router
            .health()
            .map_err(|failure| failure.to_string())?;
        // A sync at an interval has nobody who waits for it.
        self.store.health().map_err(|error| error.to_string())
    }

    fn troubles(&self) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
        Arc::new(Vec::new)
    }

    fn sources(&self) -> Vec<Arc<dyn Source>> {
        vec![
            Arc::new(self.gateway.metrics()),
            self.router.counters(),
            self.store.clone(),
            self.link_drops.clone(),
        ]
    }

    fn gateway(&self) -> Option<Clients<'_>> {
        Some(Clients {
            address: self.address,
            budget: &self.budget,
            numbers: Arc::new(self.gateway.metrics()),
        })
    }

    fn describe(&self, config: &Config) -> String {
        let data = config.data.display();
        format!("driver io_uring, data in {data}\n{}", promise(config))
    }

    fn drain(&self, spread: Duration) {
        self.gateway.drain(spread);
    }

    /// The gateway first, then the router, then the store.
    fn stop(self, patience: Duration) -> Result<()> {
        let gateway = self.gateway.join(patience);
        let router = self.router.stop();
        drop(self.store);
        gateway?;
        router.map_err(anyhow::Error::from)
    }
}

fn promise(config: &Config) -> String {
    match config.store.durability {
        Durability::Sync => {
            "durability sync: an acknowledged message is on the disk and survives a power cut".to_owned()
        }
        Durability::Interval => format!(
            "durability interval: an acknowledged message survives a killed process; a power cut may lose the last {:?}",
            config.store.sync_interval
        ),
        Durability::Os => "durability os: an acknowledged message survives a killed process; a power cut may lose it".to_owned(),
    }
}

/// What everything is plugged into.
struct Seat<'a> {
    config: &'a Config,
    store: Arc<FjallStore>,
    prepared: Prepared,
}

impl Seat<'_> {
    fn start(self) -> Result<(Gateway, Fused, Arc<LinkDrops>)> {
        let bells = self.prepared.bells();
        let routes: Arc<dyn Routes> = Arc::new(MemoryRoutes::new(lease(self.config)));
        let (appenders, intake) = intake(bells.len(), self.config.router_queue);
        let queues = bells
            .into_iter()
            .map(|bell| mesh::channel(self.config.link_queue, bell));
        let (senders, downlinks) = queues.unzip();
        let link = MeshLink::new(senders);
        let link_drops = link.drops();
        let store: Arc<dyn Store> = self.store;
        let steady = MonotonicClock::default();
        let now = move || Now {
            wall_ms: WallClock.now_ms(),
            steady_ms: steady.now_ms(),
        };
        let router = Fused::start(
            self.config.router,
            store.clone(),
            routes.clone(),
            Box::new(link),
            intake,
            now,
        )?;
        let seams = Seams {
            appenders,
            downlinks,
            store,
            routes,
            link: None,
        };
        Ok((self.prepared.start(seams)?, router, link_drops))
    }
}

const LEASE_MIN: Duration = Duration::from_secs(10);

/// Of a gateway's routes: long enough that a renewal may fail a few times.
pub(crate) fn lease(config: &Config) -> Duration {
    LEASE_MIN.max(5 * config.gateway.lease_renewal)
}

pub(crate) fn gateway_config(config: &Config, keys: Keys) -> millpond_gateway::Config {
    let mut gateway = millpond_gateway::Config::new(config.listen, keys);
    gateway.limits = config.gateway;
    gateway.shards = match config.shards {
        Shards::Count(count) => count.get(),
        Shards::PerCore => cores(),
    };
    gateway
}

/// Cores this process may use.
fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

/// A folder of messages is nobody else's to read. One that exists keeps the mode its owner gave it.
fn make_private(data: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.with_context(|| {
        let data = data.display();
        format!("the data directory {data} cannot be made; choose another with --data")
    })
}
