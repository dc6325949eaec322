//! Who of a crowd connects when, and from which address.

use crate::clock::SECOND_NS;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Connections per source address: `connect` slows down tenfold once half of the ports of an address pair are taken.
const CONNECTIONS_PER_SOURCE: usize = 13_000;

/// How clients arrive.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Ramp {
    /// Connections per second; `None`: all at once.
    pub(crate) rate: Option<u32>,
    /// Connections that may be under way at a time.
    pub(crate) under_way_max: usize,
}

/// Who is still to connect.
#[derive(Default)]
pub(super) struct Arrivals {
    pub(super) ramp: Ramp,
    pub(super) from_ns: u64,
    pub(super) next: usize,
    pub(super) until: usize,
    /// Turned away; from when on they may try again.
    pub(super) again: VecDeque<(u64, u32)>,
    pub(super) under_way: usize,
}

impl Arrivals {
    /// When the next one should come.
    pub(super) fn intended_ns(&self) -> u64 {
        let Some(rate) = self.ramp.rate else {
            return self.from_ns;
        };
        let offset = self.next as u128 * u128::from(SECOND_NS) / u128::from(rate);
        self.from_ns + u64::try_from(offset).unwrap_or(u64::MAX)
    }
}

/// Clients of one machine leave from many addresses.
pub(crate) fn source(to: SocketAddr, at: usize) -> Option<SocketAddr> {
    let IpAddr::V4(address) = to.ip() else {
        return None;
    };
    if !address.is_loopback() {
        return None;
    }
    let nth = at / CONNECTIONS_PER_SOURCE;
    let (high, low) = (u8::try_from(1 + nth / 250), u8::try_from(1 + nth % 250));
    let from = Ipv4Addr::new(127, 0, high.ok()?, low.ok()?);
    Some(SocketAddr::new(from.into(), 0))
}

/// Source addresses that so many clients leave from.
pub(crate) fn sources(connections: u32) -> usize {
    (connections as usize).div_ceil(CONNECTIONS_PER_SOURCE)
}
