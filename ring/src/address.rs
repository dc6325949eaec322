//! Socket addresses between the standard library's form and the kernel's. Called by `socket` (bind, connect) and by the
//! ring's accepts. Never interprets an address; a family that is neither IPv4 nor IPv6 decodes to nothing.

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address as the kernel reads and writes it: the storage and how much of it counts.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Address {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) length: libc::socklen_t,
}

impl Address {
    /// Room for any address, for the kernel to fill.
    pub(crate) fn room() -> Self {
        // SAFETY: sockaddr_storage is integers and arrays of integers only; all zeroes is a value of it.
        let storage = unsafe { mem::zeroed() };
        Self {
            storage,
            length: length_of::<libc::sockaddr_storage>(),
        }
    }

    pub(crate) fn encode(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::encode_v4(address),
            SocketAddr::V6(address) => Self::encode_v6(address),
        }
    }

    fn encode_v4(address: SocketAddrV4) -> Self {
        let raw = libc::sockaddr_in {
            sin_family: family(libc::AF_INET),
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(address.ip().octets()),
            },
            sin_zero: [0; 8],
        };
        let mut room = Self::room();
        // SAFETY: `room` is ours, larger than and at least as aligned as sockaddr_in; the write ends with this line.
        unsafe {
            (&raw mut room.storage)
                .cast::<libc::sockaddr_in>()
                .write(raw)
        };
        room.length = length_of::<libc::sockaddr_in>();
        room
    }

    fn encode_v6(address: SocketAddrV6) -> Self {
        let raw = libc::sockaddr_in6 {
            sin6_family: family(libc::AF_INET6),
            sin6_port: address.port().to_be(),
            sin6_flowinfo: address.flowinfo(),
            sin6_addr: libc::in6_addr {
                s6_addr: address.ip().octets(),
            },
            sin6_scope_id: address.scope_id(),
        };
        let mut room = Self::room();
        // SAFETY: `room` is ours, larger than and at least as aligned as sockaddr_in6; the write ends with this line.
        unsafe {
            (&raw mut room.storage)
                .cast::<libc::sockaddr_in6>()
                .write(raw)
        };
        room.length = length_of::<libc::sockaddr_in6>();
        room
    }

    pub(crate) fn decode(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET if self.length >= length_of::<libc::sockaddr_in>() => {
                Some(self.decode_v4())
            }
            libc::AF_INET6 if self.length >= length_of::<libc::sockaddr_in6>() => {
                Some(self.decode_v6())
            }
            _ => None,
        }
    }

    fn decode_v4(&self) -> SocketAddr {
        // SAFETY: the storage is ours, initialised throughout, and large and aligned enough; the read copies.
        let raw = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
        let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
        SocketAddr::new(IpAddr::V4(ip), u16::from_be(raw.sin_port))
    }

    fn decode_v6(&self) -> SocketAddr {
        // SAFETY: the storage is ours, initialised throughout, and large and aligned enough; the read copies.
        let raw = unsafe {
            (&raw const self.storage)
                .cast::<libc::sockaddr_in6>()
                .read()
        };
        let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
        let port = u16::from_be(raw.sin6_port);
        SocketAddr::V6(SocketAddrV6::new(
            ip,
            port,
            raw.sin6_flowinfo,
            raw.sin6_scope_id,
        ))
    }
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("socket addresses are some bytes long")
}

fn family(family: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).expect("address families are small numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in [
            "127.0.0.1:7400",
            "0.0.0.0:0",
            "[::1]:65535",
            "[fe80::1%7]:80",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::encode(address).decode(), Some(address), "{text}");
        }
    }

    #[test]
    fn what_is_neither_v4_nor_v6_decodes_to_nothing() {
        assert_eq!(Address::room().decode(), None);
        let mut cut = Address::encode("127.0.0.1:1".parse().unwrap());
        cut.length = 4;
        assert_eq!(cut.decode(), None);
    }
}
