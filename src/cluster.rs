//! The processes of a cluster: a gateway, a router, and what makes their tables and topics.
//!
//! The same rooms as in `server.rs`, over other drivers: the log in Kafka, routes in Redis, rows in Cassandra, hints over
//! streams. A gateway and a router meet nowhere but there.

pub mod gateway;
mod parts;
pub mod router;
pub mod schema;
