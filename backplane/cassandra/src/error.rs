//! Why a store does not open.

use crate::KeyspaceError;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("no Cassandra node answers ({}): start one, or name others as contact points", tried.join("; "))]
    Unreachable {
        /// Each contact point, with what became of it.
        tried: Vec<String>,
    },
    #[error("there is no store in the keyspace {keyspace}: create its tables first")]
    NoStore { keyspace: String },
    #[error(
        "the keyspace {keyspace} holds tables but no store of ours (found {found}): wanted a keyspace of its own, or none \
         of that name"
    )]
    NotAStore { keyspace: String, found: String },
    #[error(
        "the tables in the keyspace {keyspace} have version {found}, this program knows version {wanted}; use the program \
         that made them"
    )]
    Version {
        keyspace: String,
        found: i64,
        wanted: i64,
    },
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
    #[error("{what}: {error}")]
    Request { what: String, error: String },
    #[error("threads for the driver: {0}")]
    Threads(std::io::Error),
}

impl OpenError {
    pub(crate) fn request(what: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self::Request {
            what: what.into(),
            error: error.to_string(),
        }
    }
}
