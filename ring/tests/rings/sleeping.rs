//! The thread sleeps in the first ring; what arrives in another wakes it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use millpond_ring::{Events, Op, Ring, Slot, Token, Wait};

use crate::{PER_RING, World};

/// Longer than any of the tests may wait; a turn that sleeps through shows as this long.
const LONG: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(3);
const ROUNDS: u64 = 2_000;

fn arm(world: &mut World, token: u64, slot: Slot) {
    let op = Op::Poll {
        slot,
        events: Events::IN,
        multishot: false,
    };
    world.push(token, op);
}

fn sleep_for(world: &mut World, token: u64) {
    let start = Instant::now();
    loop {
        if let Some(completion) = world.rings.pop() {
            assert_eq!(completion.token, Token(token));
            assert!(completion.result > 0);
            return;
        }
        assert!(start.elapsed() < SOON, "slept through {token}");
        world.rings.turn(Wait::Until(LONG)).unwrap();
    }
}

#[test]
fn a_socket_of_any_ring_wakes_the_thread() {
    let mut world = World::open();
    let mut open: Vec<_> = (0..PER_RING * 8).map(|_| world.accept()).collect();
    for (index, (slot, peer)) in open.iter_mut().enumerate() {
        let token = 100 + index as u64;
        arm(&mut world, token, *slot);
        world.rings.turn(Wait::Not).unwrap();
        let mut peer = peer.try_clone().unwrap();
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            peer.write_all(b"x").unwrap();
        });
        sleep_for(&mut world, token);
        writer.join().unwrap();
    }
}

/// Bytes arrive at every moment of going to sleep.
#[test]
fn no_wake_up_is_lost() {
    let mut world = World::open();
    let mut open: Vec<_> = (0..PER_RING * 4).map(|_| world.accept()).collect();
    let last = open.len() - 1;
    let (slot, peer) = &mut open[last];
    let (slot, mut peer): (Slot, TcpStream) = (*slot, peer.try_clone().unwrap());
    let (go, going) = mpsc::channel::<u64>();
    let writer = thread::spawn(move || {
        for round in going {
            for _ in 0..(round * 37) % 500 {
                std::hint::spin_loop();
            }
            peer.write_all(b"x").unwrap();
        }
    });
    for round in 0..ROUNDS {
        arm(&mut world, 100 + round, slot);
        go.send(round).unwrap();
        sleep_for(&mut world, 100 + round);
        world.push(7, Op::Recv { slot });
        let read = world.completed(7);
        let millpond_ring::Extra::Buffer(id) = read.extra else {
            panic!("{read:?} has no buffer")
        };
        world.rings.give_back(id);
    }
    drop(go);
    writer.join().unwrap();
}

/// With nothing to do in any ring, a turn sleeps as long as it may, and enters the kernel about once.
#[test]
fn quiet_rings_sleep() {
    let mut world = World::open();
    let mut open: Vec<_> = (0..PER_RING * 8).map(|_| world.accept()).collect();
    for (index, (slot, _)) in open.iter().enumerate() {
        arm(&mut world, 100 + index as u64, *slot);
    }
    // One wake-up before, so that a used signal is among what must be quiet.
    open[20].1.write_all(b"x").unwrap();
    sleep_for(&mut world, 120);
    world.rings.turn(Wait::Not).unwrap();
    assert!(world.rings.pop().is_none());
    let (before, start) = (world.rings.counters().enters, Instant::now());
    for _ in 0..5 {
        world
            .rings
            .turn(Wait::Until(Duration::from_millis(40)))
            .unwrap();
        assert!(world.rings.pop().is_none());
    }
    let enters = world.rings.counters().enters - before;
    assert!(enters <= 7, "{enters} system calls for five sleeps");
    assert!(
        start.elapsed() >= Duration::from_millis(160),
        "{:?}",
        start.elapsed()
    );
}
