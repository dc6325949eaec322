//! The core against a server in memory: no socket, no clock, one seed per run.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what it expects, and panics at anything else"
)]

mod garbage;
mod server;
mod sockets;
mod table;
mod timing;
mod world;

use world::World;

/// Runs of the random tests; each prints its seed when it fails.
const SEEDS: u64 = 300;

#[test]
fn every_message_comes_once_in_order_and_every_send_is_acknowledged_once() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.live(1500, false);
        world.come_to_rest();
        world.check_exact();
    }
}

#[test]
fn a_reset_is_told_and_what_follows_it_is_whole() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.live(1500, true);
        world.come_to_rest();
        world.check_after_resets();
    }
}

#[test]
fn a_refused_message_is_told_once_and_does_not_stop_those_behind_it() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for number in 0..20 {
            let payload: &[u8] = if number % 5 == 2 {
                b"forbidden"
            } else {
                b"good"
            };
            world.enqueue(2, payload);
        }
        world.live(300, false);
        world.come_to_rest();
        world.check_exact();
        assert_eq!(
            world
                .failed
                .iter()
                .filter(|id| world.forbidden.contains(id))
                .count(),
            4
        );
    }
}

#[test]
fn an_application_that_takes_nothing_acknowledges_nothing_and_loses_nothing() {
    let mut world = World::new(7);
    world.lazy = true;
    for _ in 0..200 {
        world.server.peer_sends(2);
    }
    world.live(3000, false);
    assert_eq!(world.server.rows.acked, 0);
    world.lazy = false;
    world.come_to_rest();
    world.check_exact();
}
