//! Routes in Redis or Valkey, one server or a cluster: many users to a hash, so that a route costs some 40 bytes.
//!
//! Who wins a device is decided in a script beside the data, so that two gateways never undo each other's writes. A
//! script sees one bucket, and leases lie elsewhere in a cluster: where they matter — a higher attempt stands there, or a
//! user has too many devices — it answers "contested", and the driver looks at the leases and says which seats may go.
//! Everything else is one call for each bucket of a batch, all under way at a time.
//!
//! Callers are threads that may wait: the driver has a runtime of its own. What Redis has lost comes back with the
//! heartbeats of the gateways.
#![forbid(unsafe_code)]

mod health;
mod key;
mod leases;
mod options;
mod routes;
mod seat;
mod server;
mod trouble;

pub use options::{Options, USERS_PER_BUCKET_MAX};
pub use routes::RedisRoutes;
