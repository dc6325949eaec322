//! The link between processes: streams from routers to gateways.
//!
//! A router keeps one stream to each gateway that it has hints for, found by the gateway's lease, and writes what a turn
//! brings as one frame: the body of a delivery once, then the connections that want it. Both ends prove that they know the
//! cluster's secret, and every frame is sealed (`greeting.rs`).
//!
//! Everything on it is a hint. So nobody waits: a gateway that reads too slowly, is gone, or cannot be found loses its
//! hints, which are counted, and the clients' cursors and repeats make it good.
#![forbid(unsafe_code)]

mod counts;
mod greeting;
mod inlet;
mod outbox;
mod peer;
mod streams;

pub use inlet::{Inlet, InletOptions};
pub use streams::{StreamLink, Streams};

/// Bytes of hints after which a frame is closed.
pub const FRAME_BYTES: usize = 64 * 1024;
/// A frame that is longer ends its stream: the longest hint, a record, is far shorter.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of frames that may wait for one gateway.
pub const OUTBOX_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Gateways that a router may have streams to.
pub const PEERS_MAX: usize = 4096;
