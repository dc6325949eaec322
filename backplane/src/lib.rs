//! The seams of the house: what gateways, routers and stores say to each other, and nothing of how they do it.
//!
//! Five seams: [`log`] (ordered, durable input), [`store`] (rows), [`routes`] (who is where), [`link`] (router → gateway
//! hints); `signals` comes with presence. Beside them the [`mesh`] (bounded queues between threads), the record
//! codec, and in-memory drivers. A real driver is a crate of its own below this folder, so that its dependencies are
//! unreachable from `gateway` and `router`.
#![forbid(unsafe_code)]

pub mod audit;
pub mod codec;
pub mod conformance;
pub mod id;
pub mod link;
pub mod log;
pub mod memory;
pub mod mesh;
pub mod metrics;
pub mod position;
pub mod record;
pub mod routes;
pub mod row;
pub mod store;

pub use id::{Address, ConversationKey, GatewayId, Handle, VirtualPartition};
pub use position::Position;
pub use record::{Command, CommandBody, Entry, InboxBody, InboxEntry, Message, Source};
