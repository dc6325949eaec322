//! The store in Cassandra, or what speaks its protocol (Scylla): rows of one keyspace, for all routers of a cluster.
//!
//! One unit is one partition of one table, and goes there as one mutation, so it is atomic and its readers see all of it
//! or none; a batch is not. Every cell's write timestamp comes from the position its row reflects ([`timestamp`]), so a
//! replay or a second owner of a log partition writes what is there, and an older write never wins. A request that fails
//! is repeated for a bounded time, which by the same means is harmless.
//!
//! Calls block: they may come from any number of plain threads, never from inside an asynchronous runtime. Called by the
//! routers' threads and by the gateways' pools of page readers. Tables are made by [`schema::apply`], never by opening.
#![forbid(unsafe_code)]

mod cluster;
mod connection;
mod error;
mod metrics;
mod options;
mod read;
pub mod schema;
mod statement;
mod store;
pub mod timestamp;
mod write;

pub use error::OpenError;
pub use metrics::StoreMetrics;
pub use options::{Consistency, Credentials, Keyspace, KeyspaceError, Options, Replication};
pub use store::CassandraStore;
