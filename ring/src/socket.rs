//! The sockets that a ring adopts: listeners of shards, and outgoing connections of load generators. Called at start-up
//! and by `bench`; never on the data path (accepted sockets come through the ring).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::address::Address;

/// A listening socket. Several may listen on one address, one per shard: the kernel spreads connections over them.
/// Accepted sockets inherit that small writes leave at once.
pub fn listen(address: SocketAddr, backlog: u16) -> io::Result<OwnedFd> {
    let socket = stream(address, 0)?;
    enable(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    enable(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT)?;
    enable(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    bind(&socket, address)?;
    // SAFETY: takes two integers; the descriptor is open as long as `socket` lives.
    check(unsafe { libc::listen(socket.as_raw_fd(), i32::from(backlog)) })?;
    Ok(socket)
}

/// Starts connecting and comes back at once: adopt the socket and poll it for [`crate::Events::OUT`]. `from` chooses the
/// source address (a port of 0 is chosen by the kernel when the connection is made), for more connections than one
/// address has ports.
pub fn connect(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<OwnedFd> {
    let socket = stream(to, libc::SOCK_NONBLOCK)?;
    enable(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    if let Some(from) = from {
        enable(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)?;
        bind(&socket, from)?;
    }
    match connect_now(&socket, to) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
        Ok(()) => Ok(socket),
    }
}

/// Closing this socket resets the connection at once: no side keeps anything of it. For load generators, whose million
/// closed connections would otherwise keep their ports for a minute.
pub fn abort_on_close(socket: &OwnedFd) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set(socket, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

fn stream(address: SocketAddr, flags: libc::c_int) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags;
    // SAFETY: takes three integers.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn enable(socket: &OwnedFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let one: libc::c_int = 1;
    set(socket, level, option, &one)
}

fn set<T: Copy>(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).expect("an option is a few bytes");
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `length` bytes of the value, which outlives the call.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    check(done).map(drop)
}

fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let raw = Address::encode(address);
    let storage = (&raw const raw.storage).cast();
    // SAFETY: the kernel reads `length` bytes of the storage, which outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), storage, raw.length) }).map(drop)
}

fn connect_now(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let raw = Address::encode(address);
    let storage = (&raw const raw.storage).cast();
    // SAFETY: the kernel reads `length` bytes of the storage, which outlives the call.
    check(unsafe { libc::connect(socket.as_raw_fd(), storage, raw.length) }).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn several_listen_on_one_address_and_accepted_sockets_do_not_delay() {
        let first = TcpListener::from(listen("127.0.0.1:0".parse().unwrap(), 16).unwrap());
        let address = first.local_addr().unwrap();
        let _second = listen(address, 16).unwrap();
        let _third = listen("[::1]:0".parse().unwrap(), 16).unwrap();
        // Either of the two may get it, so close one and connect again until ours does.
        drop(_second);
        let _client = TcpStream::connect(address).unwrap();
        assert!(first.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn a_connection_leaves_from_the_address_it_was_given() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = "127.0.0.9:0".parse().unwrap();
        let _socket = connect(listener.local_addr().unwrap(), Some(from)).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), from.ip());
    }
}
