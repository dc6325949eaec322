//! What gateways and routers of a cluster are told.

use millpond_backplane::VirtualPartition;
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Clone, Debug)]
pub struct Cluster {
    pub kafka: Vec<String>,
    pub kafka_partitions: u16,
    pub kafka_replicas: u8,
    pub redis: Vec<String>,
    pub redis_cluster: bool,
    pub route_buckets_log2: u8,
    pub cassandra: Vec<String>,
    pub keyspace: String,
    pub cassandra_replicas: u8,
    pub gateway: u16,
    pub link: SocketAddr,
    pub link_advertised: Advertised,
    pub share: Share,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            kafka: vec!["127.0.0.1:9092".to_owned()],
            kafka_partitions: 8,
            kafka_replicas: 3,
            redis: vec!["127.0.0.1:6379".to_owned()],
            redis_cluster: false,
            route_buckets_log2: 14,
            cassandra: vec!["127.0.0.1:9042".to_owned()],
            keyspace: "millpond".to_owned(),
            cassandra_replicas: 3,
            gateway: 1,
            link: SocketAddr::from((Ipv4Addr::LOCALHOST, 7402)),
            link_advertised: Advertised::Same,
            share: Share { part: 1, of: 1 },
        }
    }
}

/// Where routers find a gateway's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advertised {
    /// Where it listens.
    Same,
    At(SocketAddr),
}

/// One of several equal parts of the partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// From 1.
    part: u16,
    of: u16,
}

impl Share {
    /// Virtual partitions that follow each other lie in different partitions of Kafka, and each router takes whole ones.
    pub fn partitions(self, kafka_partitions: u16) -> Vec<VirtualPartition> {
        let all = (0..=u8::MAX).map(VirtualPartition);
        let mine = |partition: &VirtualPartition| {
            u16::from(partition.0) % kafka_partitions % self.of == self.part - 1
        };
        all.filter(mine).collect()
    }
}

impl std::str::FromStr for Share {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (part, of) = text.split_once('/').ok_or(())?;
        let (part, of) = (part.parse().map_err(drop)?, of.parse().map_err(drop)?);
        if (1..=256).contains(&of) && (1..=of).contains(&part) {
            Ok(Self { part, of })
        } else {
            Err(())
        }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn shares_are_disjoint_and_whole() {
        for of in [1, 2, 3, 8] {
            let shares = (1..=of).map(|part| Share { part, of }.partitions(8));
            let all: Vec<_> = shares.flatten().collect();
            assert_eq!(all.len(), 256);
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 256);
        }
    }

    #[test]
    fn a_share_is_a_part_of_what_there_is() {
        for wrong in [
            "", "1", "0/2", "3/2", "1/0", "1/257", "a/b", "1/2/3", "-1/2",
        ] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert_eq!("2/3".parse::<Share>().unwrap().to_string(), "2/3");
    }
}
