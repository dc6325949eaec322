//! Drivers, as the configuration wants them.

use crate::config::{Advertised, Config};
use crate::secret::Secret;
use crate::server::lease;
use anyhow::{Context as _, Result, ensure};
use millpond_cassandra::{CassandraStore, Keyspace, Replication};
use millpond_kafka::Kafka;
use millpond_redis::RedisRoutes;
use std::net::SocketAddr;

/// The cluster's secret: the same file for all of its processes, and made by nobody.
pub(super) fn secret(config: &Config) -> Result<Secret> {
    Secret::open(&config.secret_path()).context(
        "the processes of a cluster share one secret: copy it to each, and name it by `secret`",
    )
}

pub(super) fn kafka(config: &Config) -> millpond_kafka::Options {
    let cluster = &config.cluster;
    millpond_kafka::Options {
        partitions: cluster.kafka_partitions,
        replicas: cluster.kafka_replicas,
        ..millpond_kafka::Options::new(cluster.kafka.clone())
    }
}

pub(super) fn open_kafka(config: &Config) -> Result<Kafka> {
    Kafka::open(kafka(config)).context("the log (`millpond schema` makes its topics)")
}

pub(super) fn cassandra(config: &Config) -> Result<millpond_cassandra::Options> {
    let cluster = &config.cluster;
    let keyspace = Keyspace::parse(&cluster.keyspace)?;
    let mut options = millpond_cassandra::Options::new(cluster.cassandra.clone(), keyspace);
    options.replication = Replication::Simple {
        copies: cluster.cassandra_replicas,
    };
    options.durability = config.store.durability;
    Ok(options)
}

pub(super) fn open_store(config: &Config) -> Result<CassandraStore> {
    CassandraStore::open(&cassandra(config)?)
        .context("the store (`millpond schema` makes its tables)")
}

/// `link` is where a gateway listens; a router has none.
pub(super) fn routes(config: &Config, link: Option<SocketAddr>) -> Result<RedisRoutes> {
    let cluster = &config.cluster;
    let nodes = cluster.redis.iter().map(|node| format!("redis://{node}"));
    let advertised = |listening| match cluster.link_advertised {
        Advertised::Same => listening,
        Advertised::At(address) => address,
    };
    let link = link.map(advertised);
    ensure!(
        link.is_none_or(|link: SocketAddr| !link.ip().is_unspecified()),
        "routers cannot reach {}: say where they find this gateway with cluster.link_advertised",
        cluster.link,
    );
    let options = millpond_redis::Options {
        cluster: cluster.redis_cluster,
        buckets_log2: cluster.route_buckets_log2,
        lease: lease(config),
        link,
        ..millpond_redis::Options::new(nodes.collect())
    };
    RedisRoutes::new(&options).context("the routes")
}
