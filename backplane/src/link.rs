//! The seam from routers to gateways. Everything on it is a hint: a lost one is made good by the client's repeat (acks),
//! by the inbox cursor (deliveries) or by the next one (marks). So it never waits and never grows: full means dropped
//! and counted.

use crate::{Address, GatewayId};
use millpond_wire::{Ack, Code, Mark};
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes of records that may wait for one shard; a record counts once for each of its connections.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

pub trait Link: Send + std::fmt::Debug {
    fn send(&mut self, downlink: Downlink);

    /// End of a batch: wakes the shards that sleep.
    fn flush(&mut self);
}

/// Where gateways take hints from other processes, as their leases say. It may block, for a bounded time.
pub trait Directory: Send + Sync + std::fmt::Debug {
    /// `None` when the lease of this epoch has ended, names no address, or cannot be read just now.
    fn address(&self, gateway: GatewayId, epoch: u32) -> Option<SocketAddr>;
}

/// One hint for one connection. The gateway compares the whole address with its slab before a byte leaves.
#[derive(Clone, PartialEq, Debug)]
pub struct Downlink {
    pub to: Address,
    pub body: DownlinkBody,
}

#[derive(Clone, PartialEq, Debug)]
pub enum DownlinkBody {
    /// A SEND is durable.
    Ack(Ack),
    /// A SEND is refused.
    Refused {
        client_msg_id: u64,
        code: Code,
        retry_after_ms: u64,
    },
    /// The inbox has grown: this is the record at `cursor`, encoded as `wire::encode_record` does.
    Deliver { cursor: u64, record: Arc<[u8]> },
    /// A member's mark moved; the conversation is named from the receiver's side.
    Mark(Mark),
    /// End this connection with this code.
    Kick(Code),
}

impl DownlinkBody {
    /// What it holds elsewhere in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Deliver { record, .. } => record.len(),
            Self::Ack(_) | Self::Refused { .. } | Self::Mark(_) | Self::Kick(_) => 0,
        }
    }
}
