//! `millpond router`: works through a share of the partitions. It holds no client, and nothing that another one could not
//! go on with.

use super::parts;
use crate::config::Config;
use crate::role::{Clients, Role};
use crate::serve::{self, Arguments};
use anyhow::Result;
use millpond_backplane::VirtualPartition;
use millpond_backplane::log::LogError;
use millpond_backplane::metrics::Source;
use millpond_cassandra::CassandraStore;
use millpond_kafka::Kafka;
use millpond_redis::RedisRoutes;
use millpond_router::Releaser;
use millpond_router::two_stage::{Config as OwnerConfig, Half, Keeper, Owner, OwnerError};
use millpond_stream::Streams;
use std::sync::Arc;
use std::time::Duration;

/// # Errors
/// A backend that does not answer at the start, or whatever ends a running router.
pub fn run(arguments: &Arguments) -> Result<()> {
    serve::run_role::<RouterRole>(arguments)
}

/// A running router.
struct RouterRole {
    keepers: Arc<Vec<Keeper>>,
    streams: Streams,
    routes: Arc<RedisRoutes>,
    store: Arc<CassandraStore>,
    kafka: Arc<Kafka>,
}

/// What owners are opened with.
#[derive(Clone)]
struct Seat {
    half: Half,
    partitions: Vec<VirtualPartition>,
    routes: Arc<RedisRoutes>,
    store: Arc<CassandraStore>,
    kafka: Arc<Kafka>,
}

impl Seat {
    fn open(&self, link: &Streams) -> Result<Owner, OwnerError> {
        let log = self.kafka.log();
        let log = log.map_err(|error| LogError::Unreadable(error.to_string()))?;
        let releaser = Releaser::new(self.routes.clone(), Box::new(link.link()));
        Owner::open(
            self.half,
            OwnerConfig::default(),
            &self.partitions,
            Box::new(log),
            self.store.clone(),
            releaser,
        )
    }
}

impl Role for RouterRole {
    fn start(config: &Config) -> Result<Self> {
        let secret = parts::secret(config)?;
        let kafka = Arc::new(parts::open_kafka(config)?);
        let store = Arc::new(parts::open_store(config)?);
        let routes = Arc::new(parts::routes(config, None)?);
        let streams = Streams::new(secret.bytes(), routes.clone())?;
        let partitions = config
            .cluster
            .share
            .partitions(config.cluster.kafka_partitions);
        let mut keepers = Vec::new();
        for (half, name) in [
            (Half::Conversations, "conversations"),
            (Half::Inboxes, "inboxes"),
        ] {
            let seat = Seat {
                half,
                partitions: partitions.clone(),
                routes: routes.clone(),
                store: store.clone(),
                kafka: kafka.clone(),
            };
            let link = streams.clone();
            keepers.push(Keeper::start(name.to_owned(), move || seat.open(&link))?);
        }
        Ok(Self {
            keepers: Arc::new(keepers),
            streams,
            routes,
            store,
            kafka,
        })
    }

    fn health(&self) -> Result<(), String> {
        self.kafka.health()
    }

    fn troubles(&self) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
        let keepers = self.keepers.clone();
        let (kafka, routes) = (self.kafka.clone(), self.routes.clone());
        Arc::new(move || {
            let mut troubles: Vec<String> =
                keepers.iter().filter_map(|it| it.health().err()).collect();
            if kafka.is_down() {
                troubles.push("no broker of Kafka answers".to_owned());
            }
            if !routes.is_reachable() {
                troubles.push("Redis does not answer: nothing is delivered live".to_owned());
            }
            troubles
        })
    }

    fn sources(&self) -> Vec<Arc<dyn Source>> {
        let mut sources: Vec<Arc<dyn Source>> = self.keepers.iter().map(Keeper::counts).collect();
        sources.extend([self.streams.counts(), self.kafka.counts()]);
        sources.push(self.routes.clone());
        sources.push(self.store.clone());
        sources
    }

    fn gateway(&self) -> Option<Clients<'_>> {
        None
    }

    fn describe(&self, config: &Config) -> String {
        let share = config.cluster.share;
        let partitions = share.partitions(config.cluster.kafka_partitions).len();
        format!("router of a cluster, share {share}: {partitions} partitions of each stage")
    }

    fn drain(&self, _spread: Duration) {
        self.keepers.iter().for_each(Keeper::stop);
    }

    /// Each owner ends after the piece of work at hand; the next one goes on behind it.
    fn stop(self, _patience: Duration) -> Result<()> {
        self.keepers.iter().for_each(Keeper::stop);
        Ok(())
    }
}
