//! What a look-up of routes costs: a million users with one device each, random batches of 256.
//!
//! `cargo run --release -p millpond-backplane --example routes_rate`
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use millpond_backplane::memory::MemoryRoutes;
use millpond_backplane::routes::{Route, Routes};
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_wire::{DeviceId, UserId};
use std::time::{Duration, Instant};

const USERS: u32 = 1_000_000;
const BATCH: usize = 256;
const BATCHES: u32 = 10_000;

fn main() {
    let routes = MemoryRoutes::new(Duration::from_secs(10));
    routes
        .renew(GatewayId(1), 1)
        .expect("routes in memory answer");
    let start = Instant::now();
    for slot in 0..USERS {
        routes
            .put_one(route(slot))
            .expect("routes in memory answer");
    }
    println!("put: {:?} each", start.elapsed() / USERS);
    let (mut random, mut found) = (1, Vec::with_capacity(BATCH));
    let mut took = Duration::ZERO;
    for _ in 0..BATCHES {
        let users: [UserId; BATCH] = std::array::from_fn(|_| user(draw(&mut random)));
        found.clear();
        let start = Instant::now();
        routes
            .find(&users, &mut found)
            .expect("routes in memory answer");
        took += start.elapsed();
        assert_eq!(found.len(), BATCH);
    }
    let users = BATCHES * u32::try_from(BATCH).expect("a small number");
    println!("find: {:?} a user", took / users);
}

fn user(slot: u32) -> UserId {
    let id = u64::from(slot + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1;
    UserId::new(id).expect("an odd factor keeps it from 0")
}

fn route(slot: u32) -> Route {
    let user = user(slot);
    let handle = Handle {
        shard: 0,
        slot,
        generation: 1,
    };
    let address = Address {
        gateway: GatewayId(1),
        gateway_epoch: 1,
        handle,
        user,
        device: DeviceId(user.value()),
    };
    Route {
        address,
        attempt: 1,
    }
}

/// A full-period generator of numbers below [`USERS`].
fn draw(random: &mut u64) -> u32 {
    *random = random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    let high = u32::try_from(*random >> 32).expect("32 bits are left");
    high % USERS
}
