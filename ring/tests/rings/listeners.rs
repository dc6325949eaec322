//! A listener has a share in every ring, and ends in all of them.

use std::net::TcpStream;

use millpond_ring::{Op, Ring, Token, Wait};

use crate::{PER_RING, World};

#[test]
fn an_accept_that_waits_in_a_further_ring_is_cancelled_by_its_listener() {
    let mut world = World::open();
    let _open: Vec<_> = (0..PER_RING * 3).map(|_| world.accept()).collect();
    let listener = world.listener;
    world.push(8, Op::Accept { listener });
    world.rings.turn(Wait::Not).unwrap();
    let cancel = Op::Cancel {
        target: Token(8),
        slot: Some(listener),
    };
    assert_eq!(world.run(9, cancel), 0);
    assert_eq!(world.completed(8).result, -libc::ECANCELED);
    // The room it had waited for is free again.
    let (slot, _peer) = world.accept();
    assert!(slot.0 >= 3 * 4, "{slot:?} is in the fourth ring");
}

#[test]
fn a_closed_listener_listens_in_no_ring() {
    let mut world = World::open();
    let mut open: Vec<_> = (0..PER_RING * 3).map(|_| world.accept()).collect();
    let slot = world.listener;
    assert_eq!(world.run(5, Op::Close { slot }), 0);
    assert!(TcpStream::connect(world.address).is_err());
    let (slot, peer) = open.last_mut().unwrap();
    world.exchange(*slot, peer, b"those inside stay");
}

#[test]
fn a_ring_that_opens_later_shares_the_listeners_of_before() {
    let mut world = World::open();
    let first = world.listener;
    let socket = millpond_ring::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap();
    let second = std::net::TcpListener::from(socket);
    let (a, b) = (world.address, second.local_addr().unwrap());
    let second = world.rings.adopt(second.into()).unwrap();
    // Two listeners leave room for two connections in each ring.
    let mut open = Vec::new();
    for (listener, address) in [(first, a), (second, b)].into_iter().cycle().take(8) {
        world.listener = listener;
        world.address = address;
        open.push(world.accept());
    }
    assert_eq!(world.rings.count(), 4);
}
