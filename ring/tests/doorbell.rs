//! No wake-up is lost: a hundred thousand rounds of two threads, the sleeper in a real ring.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use millpond_ring::{Doorbell, Events, Op, Ring, Setup, Token, Uring, Wait};

const ROUNDS: u64 = 100_000;
/// A turn that sleeps this long although an item lies in the queue has lost its wake-up.
const LOST: Duration = Duration::from_secs(5);

#[test]
fn no_wake_up_is_lost_between_two_threads() {
    let bell = Arc::new(Doorbell::new().unwrap());
    // The queue of one: the sender waits for the receiver, so each round is one chance to sleep at the wrong moment.
    let (sent, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let sender = {
        let (bell, sent, seen) = (Arc::clone(&bell), Arc::clone(&sent), Arc::clone(&seen));
        thread::spawn(move || send(&bell, &sent, &seen))
    };
    let sleeps = receive(&bell, &sent, &seen);
    let rings = sender.join().unwrap();
    println!("{ROUNDS} rounds, {rings} rings, {sleeps} sleeps");
    assert!(rings > 0 && rings <= ROUNDS);
}

fn send(bell: &Doorbell, sent: &AtomicU64, seen: &AtomicU64) -> u64 {
    let mut rings = 0;
    for round in 1..=ROUNDS {
        // Relaxed on purpose: the bell's fences must order it.
        sent.store(round, Ordering::Relaxed);
        rings += u64::from(bell.ring());
        let mut spins = 0_u32;
        while seen.load(Ordering::Acquire) < round {
            spins += 1;
            if spins.is_multiple_of(64) {
                thread::yield_now();
            }
        }
        dawdle(round % 97);
    }
    rings
}

/// Gaps of different lengths on both sides, so that the item comes before, while and after the other goes to sleep.
fn dawdle(steps: u64) {
    for _ in 0..steps {
        std::hint::spin_loop();
    }
}

fn receive(bell: &Doorbell, sent: &AtomicU64, seen: &AtomicU64) -> u64 {
    let mut ring = Uring::open(&Setup::default()).unwrap();
    ring.push(
        Token(1),
        Op::PollFd {
            fd: bell.fd(),
            events: Events::IN,
        },
    )
    .unwrap();
    let (mut last, mut sleeps) = (0, 0);
    while last < ROUNDS {
        dawdle(last % 89);
        bell.about_to_sleep();
        if sent.load(Ordering::Relaxed) == last {
            let start = Instant::now();
            ring.turn(Wait::Until(LOST)).unwrap();
            assert!(start.elapsed() < LOST, "a lost wake-up after round {last}");
            sleeps += 1;
        }
        bell.awake();
        while let Some(completion) = ring.pop() {
            assert!(
                completion.more,
                "the poll of the bell stays armed: {completion:?}"
            );
        }
        last = sent.load(Ordering::Relaxed);
        seen.store(last, Ordering::Release);
    }
    sleeps
}
