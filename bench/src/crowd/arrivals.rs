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
    /// Who came first after `from_ns`.
    pub(super) first: usize,
    pub(super) next: usize,
    pub(super) until: usize,
    /// Turned away; from when on they may try again.
    pub(super) again: VecDeque<(u64, u32)>,
    pub(super) under_way: usize,
}

impl Arrivals {
    /// Lets everybody in up to `until`, from now on.
    pub(super) fn begin(&mut self, until: usize, ramp: Ramp, now_ns: u64) {
        self.ramp = ramp;
        self.from_ns = now_ns;
        self.first = self.next;
        self.until = until;
    }

    /// When the next one should come.
    pub(super) fn intended_ns(&self) -> u64 {
        let Some(rate) = self.ramp.rate else {
            return self.from_ns;
        };
        let before = (self.next - self.first) as u128;
        let offset = before * u128::from(SECOND_NS) / u128::from(rate);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_ramp_begins_at_once() {
        let ramp = Ramp {
            rate: Some(1_000),
            under_way_max: 1,
        };
        let mut arrivals = Arrivals {
            ramp,
            ..Arrivals::default()
        };
        arrivals.next = 500;
        assert_eq!(arrivals.intended_ns(), SECOND_NS / 2);
        arrivals.begin(700, ramp, 5 * SECOND_NS);
        assert_eq!(arrivals.intended_ns(), 5 * SECOND_NS);
        arrivals.next = 600;
        assert_eq!(arrivals.intended_ns(), 5 * SECOND_NS + SECOND_NS / 10);
    }

    #[test]
    fn every_client_has_a_source_of_its_own_kind() {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let far = SocketAddr::from(([192, 0, 2, 1], 1));
        assert_eq!(source(far, 0), None);
        assert_eq!(source(to, 12_999), source(to, 0));
        assert_ne!(source(to, 13_000), source(to, 0));
        assert!(source(to, 2_000_000).is_some());
        assert_eq!((sources(13_000), sources(13_001)), (1, 2));
    }
}
