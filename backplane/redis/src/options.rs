//! What a driver is told.

use millpond_backplane::routes::RoutesError;
use std::net::SocketAddr;
use std::time::Duration;

/// Most users that a bucket may hold and stay packed: Redis' own default of `hash-max-listpack-entries`.
pub const USERS_PER_BUCKET_MAX: u32 = 512;

/// How to reach Redis, and how routes lie there. Prefix, buckets and lease have to be the same in a whole cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// `redis://HOST:PORT` of one server, or of some masters of a Redis Cluster.
    pub nodes: Vec<String>,
    /// Whether the nodes are a Redis Cluster.
    pub cluster: bool,
    /// What every key begins with.
    pub prefix: String,
    /// 2 to the power of this is the number of buckets, 0 to 24: one for 64 to 128 users costs least, and beyond
    /// [`USERS_PER_BUCKET_MAX`] a bucket takes three times the memory. It cannot be changed while there are routes.
    pub buckets_log2: u8,
    /// A lease lasts this long after each renewal, by the server's clock.
    pub lease: Duration,
    /// Where this gateway takes hints from routers: its lease names it.
    pub link: Option<SocketAddr>,
    /// How long a lease that was read is believed: a dead gateway's routes are found for as much longer.
    pub lease_cache: Duration,
    /// A call fails after this long.
    pub timeout: Duration,
    /// After a call that was not answered in time, further ones fail at once for this long: whoever calls has other work.
    pub pause: Duration,
}

impl Options {
    /// For two million users on one server.
    pub fn new(nodes: Vec<String>) -> Self {
        Self {
            nodes,
            cluster: false,
            prefix: "millpond".into(),
            buckets_log2: 14,
            lease: Duration::from_secs(10),
            link: None,
            lease_cache: Duration::from_millis(500),
            timeout: Duration::from_millis(500),
            pause: Duration::from_millis(500),
        }
    }

    /// # Errors
    /// What cannot be meant, in words.
    pub(crate) fn check(&self) -> Result<(), RoutesError> {
        let refuse = |what: String| Err(RoutesError(what));
        if self.nodes.is_empty() {
            return refuse("no node of Redis is named".into());
        }
        if self.buckets_log2 > 24 {
            return refuse(format!(
                "2^{} buckets are more than 2^24",
                self.buckets_log2
            ));
        }
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return refuse(format!(
                "the prefix {:?} is empty or has braces, by which a cluster places keys",
                self.prefix
            ));
        }
        if self.lease < Duration::from_millis(1) || self.timeout.is_zero() {
            return refuse("a lease and a timeout last a millisecond at least".into());
        }
        Ok(())
    }
}
