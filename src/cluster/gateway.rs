//! `millpond gateway`: sockets, and nothing that decides about messages.

use super::parts;
use crate::config::Config;
use crate::role::{Clients, Role};
use crate::serve::{self, Arguments};
use crate::server::gateway_config;
use anyhow::{Context as _, Result};
use millpond_backplane::GatewayId;
use millpond_backplane::log::Appender;
use millpond_backplane::memory::{LinkDrops, MeshLink};
use millpond_backplane::mesh;
use millpond_backplane::metrics::Source;
use millpond_backplane::routes::Routes as _;
use millpond_cassandra::CassandraStore;
use millpond_gateway::{Budget, Gateway, Keys, Seams};
use millpond_kafka::Kafka;
use millpond_redis::RedisRoutes;
use millpond_stream::{Inlet, InletOptions, Streams};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// # Errors
/// A backend that does not answer at the start, or whatever ends a running gateway.
pub fn run(arguments: &Arguments) -> Result<()> {
    serve::run_role::<GatewayRole>(arguments)
}

/// A running gateway.
struct GatewayRole {
    gateway: Gateway,
    address: SocketAddr,
    budget: Budget,
    inlet: Inlet,
    link_drops: Arc<LinkDrops>,
    streams: Streams,
    routes: Arc<RedisRoutes>,
    store: Arc<CassandraStore>,
    kafka: Arc<Kafka>,
}

impl Role for GatewayRole {
    fn start(config: &Config) -> Result<Self> {
        let secret = parts::secret(config)?;
        let keys = Keys::hs256(secret.bytes(), None).context("the secret is too short")?;
        let kafka = Arc::new(parts::open_kafka(config)?);
        let store = Arc::new(parts::open_store(config)?);
        let id = GatewayId(config.cluster.gateway.into());
        let epoch = parts::routes(config, None)?.begin_epoch(id)?;
        let mut settings = gateway_config(config, keys);
        settings.gateway = id;
        settings.gateway_epoch = epoch;
        let prepared = millpond_gateway::prepare(settings)?;
        let (address, bells) = (prepared.local_addr(), prepared.bells());
        let budget = prepared.budget().with_queues(0, config.link_queue);
        let queues = bells
            .into_iter()
            .map(|bell| mesh::channel(config.link_queue, bell));
        let (senders, downlinks): (Vec<_>, Vec<_>) = queues.unzip();
        let link = MeshLink::new(senders);
        let link_drops = link.drops();
        let inlet = Inlet::listen(
            InletOptions {
                listen: config.cluster.link,
                secret: secret.bytes().to_vec(),
                gateway: id,
                epoch,
            },
            Box::new(link),
        )
        .with_context(|| format!("cannot take hints on {}", config.cluster.link))?;
        let routes = Arc::new(parts::routes(config, Some(inlet.local_addr()))?);
        routes.renew(id, epoch)?;
        let streams = Streams::new(secret.bytes(), routes.clone())?;
        let appender = |_| Box::new(kafka.appender()) as Box<dyn Appender>;
        let seams = Seams {
            appenders: downlinks.iter().map(appender).collect(),
            downlinks,
            store: store.clone(),
            routes: routes.clone(),
            link: Some(Box::new(streams.link())),
        };
        Ok(Self {
            gateway: prepared.start(seams)?,
            address,
            budget,
            inlet,
            link_drops,
            streams,
            routes,
            store,
            kafka,
        })
    }

    fn health(&self) -> Result<(), String> {
        if !self.gateway.is_whole() {
            return Err("a thread of the gateway has ended".to_owned());
        }
        if self.gateway.has_ended() {
            return Err(
                "another gateway has this one's number: give each its own cluster.gateway"
                    .to_owned(),
            );
        }
        self.kafka.health()
    }

    fn troubles(&self) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
        let (kafka, routes) = (self.kafka.clone(), self.routes.clone());
        Arc::new(move || {
            let mut troubles = Vec::new();
            if kafka.is_down() {
                troubles.push("no broker of Kafka answers: nothing can be sent".to_owned());
            }
            if !routes.is_reachable() {
                troubles.push("Redis does not answer: nothing is delivered live".to_owned());
            }
            troubles
        })
    }

    fn sources(&self) -> Vec<Arc<dyn Source>> {
        vec![
            Arc::new(self.gateway.metrics()),
            self.inlet.counts(),
            self.link_drops.clone(),
            self.streams.counts(),
            self.routes.clone(),
            self.store.clone(),
            self.kafka.counts(),
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
        format!(
            "driver io_uring, gateway {} of a cluster, hints on {}\nan acknowledged message is in Kafka with all replicas in sync, and in Cassandra",
            config.cluster.gateway,
            self.inlet.local_addr(),
        )
    }

    fn drain(&self, spread: Duration) {
        self.gateway.drain(spread);
    }

    fn stop(self, patience: Duration) -> Result<()> {
        self.gateway.join(patience)?;
        self.kafka.flush(patience);
        Ok(())
    }
}
