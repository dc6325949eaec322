//! The keys of `millpond gateway` and `millpond router`: the servers they meet over, and who they are. `serve` needs none.

use super::{Key, ranged};
use crate::config::given::{Given, Mismatch};
use crate::config::text::quoted;
use crate::config::{Advertised, Share};

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "cluster.kafka",
        words: "Brokers of Kafka, which orders and keeps what gateways and routers say: HOST:PORT, several with commas.",
        set: |config, given| nodes(given).map(|it| config.cluster.kafka = it),
        show: |config| quoted(config.cluster.kafka.join(",")),
    },
    ranged!(count cluster.kafka_partitions, 1..=256,
        "Partitions of each topic of Kafka, for the 256 of Millpond: few, since each costs in every tick. The same in a\n\
         whole cluster, and never changed."),
    ranged!(count cluster.kafka_replicas, 1..=9, "Brokers that keep each partition. Taken when the topics are made."),
    Key {
        name: "cluster.redis",
        words: "Redis or Valkey, which knows where devices are: HOST:PORT, of a Redis Cluster some of its masters.",
        set: |config, given| nodes(given).map(|it| config.cluster.redis = it),
        show: |config| quoted(config.cluster.redis.join(",")),
    },
    Key {
        name: "cluster.redis_cluster",
        words: "Whether that is a Redis Cluster: \"yes\" or \"no\".",
        set: |config, given| {
            let choice = given.choice(&[("yes", true), ("no", false)])?;
            config.cluster.redis_cluster = choice;
            Ok(())
        },
        show: |config| {
            quoted(if config.cluster.redis_cluster {
                "yes"
            } else {
                "no"
            })
        },
    },
    ranged!(count cluster.route_buckets_log2, 0..=24,
        "2 to the power of this is the number of hashes that routes lie in: 64 to 128 users to each cost least. The same in\n\
         a whole cluster."),
    Key {
        name: "cluster.cassandra",
        words: "Nodes of Cassandra or Scylla, which stores: HOST:PORT, several with commas.",
        set: |config, given| nodes(given).map(|it| config.cluster.cassandra = it),
        show: |config| quoted(config.cluster.cassandra.join(",")),
    },
    Key {
        name: "cluster.keyspace",
        words: "The keyspace there; `millpond schema` makes it.",
        set: |config, given| {
            let text = given.text("lower-case letters, digits and _", is_keyspace)?;
            config.cluster.keyspace = text;
            Ok(())
        },
        show: |config| quoted(&config.cluster.keyspace),
    },
    ranged!(count cluster.cassandra_replicas, 1..=9, "Nodes that keep each row. Taken when the keyspace is made."),
    ranged!(count cluster.gateway, 1..=65_535, "This gateway's number: no two gateways of a cluster have the same."),
    Key {
        name: "cluster.link",
        words: "Where this gateway takes hints from routers.",
        set: |config, given| given.address().map(|it| config.cluster.link = it),
        show: |config| quoted(config.cluster.link),
    },
    Key {
        name: "cluster.link_advertised",
        words: "Where routers reach that: an address and a port; \"same\": where it listens.",
        set: |config, given| advertised(given).map(|it| config.cluster.link_advertised = it),
        show: |config| match config.cluster.link_advertised {
            Advertised::Same => quoted("same"),
            Advertised::At(address) => quoted(address),
        },
    },
    Key {
        name: "cluster.share",
        words: "Which part of all partitions this router works through: \"2/3\" is the second of three routers.",
        set: |config, given| share(given).map(|it| config.cluster.share = it),
        show: |config| quoted(config.cluster.share),
    },
];

fn nodes(given: &Given<'_>) -> Result<Vec<String>, Mismatch> {
    let text = given.text("HOST:PORT, several with commas between them", are_nodes)?;
    Ok(text.split(',').map(str::to_owned).collect())
}

fn are_nodes(text: &str) -> bool {
    text.split(',').all(|node| {
        let split = node.rsplit_once(':');
        split.is_some_and(|(host, port)| {
            !host.is_empty()
                && host.chars().all(|it| it.is_ascii_graphic() && it != '/')
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
    })
}

fn is_keyspace(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= 48
        && text.bytes().all(fits)
}

fn advertised(given: &Given<'_>) -> Result<Advertised, Mismatch> {
    if given.choice(&[("same", ())]).is_ok() {
        return Ok(Advertised::Same);
    }
    let wanted = "an IP address and a port, or \"same\"".to_owned();
    let address = given.address().map_err(|_| Mismatch { wanted })?;
    Ok(Advertised::At(address))
}

fn share(given: &Given<'_>) -> Result<Share, Mismatch> {
    let text = given.text("a part and how many there are, such as 2/3", |text| {
        text.parse::<Share>().is_ok()
    })?;
    Ok(text.parse().expect("it has just been tried"))
}
