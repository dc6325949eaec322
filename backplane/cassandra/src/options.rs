//! What can be chosen when a store is opened or its tables are made.

use millpond_backplane::store::Durability;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port` of the nodes that are asked first; the others are learned from them.
    pub contact_points: Vec<String>,
    pub keyspace: Keyspace,
    /// Taken when the keyspace is made; an existing one keeps what it has.
    pub replication: Replication,
    pub consistency: Consistency,
    /// Where the nodes are that requests go to. Needed where there are several datacenters: "local" in a consistency
    /// means the datacenter of the node that was asked.
    pub datacenter: Option<String>,
    pub credentials: Option<Credentials>,
    /// What an acknowledged write has, which the nodes' own configuration decides: `Sync` where `commitlog_sync` is
    /// `batch` or `group`; `Interval` where it is `periodic`, which is what Cassandra comes with (a node that is killed
    /// then loses its last writes, and they are lost for good where no other replica has them).
    pub durability: Durability,
    /// Until a connection to the cluster stands, and again until everything is prepared on it.
    pub connect_timeout: Duration,
    /// Of one try of one request.
    pub request_timeout: Duration,
    /// How long a request that fails is repeated before the call fails. A call blocks for at most this and one
    /// `request_timeout`, as often as it has pages or parts.
    pub retry_for: Duration,
    /// Requests under way at a time, all callers together. One holds a part of a unit (1 MiB of rows) or a page of
    /// history (50 messages), so this bounds what the driver holds beside its callers' batches and answers.
    pub in_flight_max: usize,
}

impl Options {
    /// Of a cluster with replicas; what differs is changed in the fields.
    pub fn new(contact_points: Vec<String>, keyspace: Keyspace) -> Self {
        Self {
            contact_points,
            keyspace,
            replication: Replication::Simple { copies: 3 },
            consistency: Consistency::LocalQuorum,
            datacenter: None,
            credentials: None,
            durability: Durability::Interval,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(30),
            in_flight_max: IN_FLIGHT_MAX,
        }
    }
}

/// Measured with a node on the same two cores: rates grow up to 256 requests at a time, and latencies with them.
const IN_FLIGHT_MAX: usize = 128;

/// How many replicas have answered when a write counts, or a read.
///
/// With a quorum both ways a read sees every acknowledged write. With one it does so only on a single node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consistency {
    LocalQuorum,
    Quorum,
    LocalOne,
    One,
}

/// Copies of each row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replication {
    /// Of one datacenter.
    Simple { copies: u8 },
    /// Name of each datacenter, with the copies it keeps.
    Datacenters(Vec<(String, u8)>),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The name of a keyspace: a lower-case letter, then at most 47 lower-case letters, digits or `_`; so it never needs quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyspace(String);

#[derive(Debug, thiserror::Error)]
#[error(
    "\"{0}\" is no keyspace: wanted a lower-case letter, then at most 47 lower-case letters, digits or _"
)]
pub struct KeyspaceError(String);

impl Keyspace {
    /// # Errors
    /// Another name than the server takes without quotes.
    pub fn parse(name: &str) -> Result<Self, KeyspaceError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase());
        if begins && name.len() <= 48 && name.bytes().all(fits) {
            Ok(Self(name.to_owned()))
        } else {
            Err(KeyspaceError(name.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Keyspace};

    #[test]
    fn only_names_without_quotes_are_keyspaces() {
        for name in ["m", "millpond", "millpond_2", &"m".repeat(48)] {
            assert_eq!(Keyspace::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "2m", "_m", "M", "m-1", "m;", "m m", &"m".repeat(49)] {
            let error = Keyspace::parse(name).unwrap_err().to_string();
            assert!(error.contains("wanted a lower-case letter"), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials {
            user: "mill".to_owned(),
            password: "secret".to_owned(),
        };
        let shown = format!("{credentials:?}");
        assert!(
            shown.contains("mill\"") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
