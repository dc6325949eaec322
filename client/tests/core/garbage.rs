//! Whatever a server sends, the client neither panics nor believes what makes no sense.

use crate::table::{STATES, core_in, frames};
use crate::world::at;
use millpond_client::{Phase, Wish};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

const SEEDS: u64 = 4000;

#[test]
fn any_bytes_in_any_state_end_in_a_state_that_is_still_sound() {
    let frames = frames();
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut core, mut now) = core_in(STATES[rng.random_range(0..STATES.len())]);
        for _ in 0..rng.random_range(1..12) {
            let (_, frame) = &frames[rng.random_range(0..frames.len())];
            core.received(&damaged(frame, &mut rng), now);
            now = at(now.mono + Duration::from_millis(rng.random_range(0..3000)));
            core.tick(now);
            take(&mut core);
            assert!(core.deadline().is_none_or(|due| due >= Duration::ZERO));
        }
    }
}

#[test]
fn numbers_at_their_ends_are_only_numbers() {
    use millpond_wire::{Frame, Reset, SyncDone, encode};
    let (mut core, now) = core_in("live");
    let mut bytes = Vec::new();
    let (epoch, reason, head) = (u64::MAX, 0, u64::MAX);
    encode(
        &Frame::Reset(Reset {
            epoch,
            reason,
            head,
        }),
        &mut bytes,
    );
    bytes.extend(crate::table::deliver(u64::MAX));
    bytes.extend(crate::table::deliver(1));
    core.received(&bytes, now);
    bytes.clear();
    let (more, rid, cursor) = (false, 1, u64::MAX);
    encode(&Frame::SyncDone(SyncDone { more, rid, cursor }), &mut bytes);
    core.received(&bytes, now);
    assert_eq!(core.phase(), Phase::Live);
}

fn damaged(frame: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    match rng.random_range(0..4) {
        0 => {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        1 => bytes.truncate(rng.random_range(0..bytes.len())),
        2 => bytes = (0..rng.random_range(1..60)).map(|_| rng.random()).collect(),
        _ => {}
    }
    bytes
}

/// As a transport would.
fn take(core: &mut millpond_client::Core) {
    while let Some(wish) = core.poll_wish() {
        if let Wish::Close { last_words } = wish {
            let words = millpond_wire::decode(&last_words, 4096);
            assert!(words.is_ok(), "last words are frames");
        }
    }
    core.take_output();
    core.take_changes();
    while core.poll_event().is_some() {}
}
