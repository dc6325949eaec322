//! Turns, timeouts, cancels, messages, the doorbell, and queues that are full.

use super::*;

#[test]
fn the_flags_of_a_ring_can_be_printed() {
    let ring = open(&SMALL);
    println!("ring: {} ({} bytes)", ring.flags(), SMALL.bytes());
    assert!(
        ring.flags()
            .to_string()
            .starts_with("submit-all coop-taskrun")
    );
}

#[test]
fn cancels_find_operations_that_own_memory_too() {
    let mut ring = open(&SMALL);
    let (listener, _address) = listener(&mut ring);
    let after = Duration::from_secs(1_000);
    ring.push(Token(1), Op::Accept { listener }).unwrap();
    ring.push(Token(2), Op::Timeout { after }).unwrap();
    quiet(&mut ring);
    for target in [1, 2] {
        ring.push(
            Token(3),
            Op::Cancel {
                target: Token(target),
                slot: None,
            },
        )
        .unwrap();
        let mut ends = [next(&mut ring), next(&mut ring)].map(|it| (it.token.0, it.result));
        ends.sort_unstable();
        assert_eq!(ends, [(target, -libc::ECANCELED), (3, 0)]);
    }
    assert_eq!(
        run(
            &mut ring,
            4,
            Op::Cancel {
                target: Token(2),
                slot: None
            }
        )
        .result,
        -libc::ENOENT
    );
}

#[test]
fn a_timeout_takes_its_time() {
    let mut ring = open(&SMALL);
    let start = Instant::now();
    let after = Duration::from_millis(30);
    assert_eq!(
        run(&mut ring, 1, Op::Timeout { after }).result,
        -libc::ETIME
    );
    assert!(start.elapsed() >= after);
}

#[test]
fn a_turn_without_anything_comes_back_after_its_time() {
    let mut ring = open(&SMALL);
    let start = Instant::now();
    ring.turn(Wait::Until(Duration::from_millis(20))).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    ring.turn(Wait::Not).unwrap();
    assert!(ring.pop().is_none());
}

#[test]
fn more_completions_than_the_queue_holds_all_arrive() {
    let mut ring = open(&SMALL);
    let (slot, _peer) = pair(&mut ring);
    let count = 10 * SMALL.completions;
    let mut pushed = 0;
    let mut seen = vec![false; count as usize];
    while pushed < count {
        let op = Op::Poll {
            slot,
            events: Events::OUT,
            multishot: false,
        };
        match ring.push(Token(u64::from(pushed)), op) {
            Ok(()) => pushed += 1,
            // Held back until completions are taken.
            Err(full) => {
                assert!(matches!(full.0, Op::Poll { .. }));
                break;
            }
        }
    }
    assert!(
        pushed > SMALL.completions,
        "the completion queue was never full"
    );
    for _ in 0..pushed {
        let completion = next(&mut ring);
        let seen = &mut seen[usize::try_from(completion.token.0).unwrap()];
        assert!(!*seen);
        *seen = true;
    }
    assert!(ring.counters().overflows > 0);
    quiet(&mut ring);
}

#[test]
fn operations_that_own_memory_are_bounded_and_come_back_when_refused() {
    let mut ring = open(&SMALL);
    let after = Duration::from_secs(1_000);
    let full = (0..1_000).find_map(|n| ring.push(Token(n), Op::Timeout { after }).err());
    assert!(matches!(full.unwrap().0, Op::Timeout { after: same } if same == after));
}

#[test]
fn a_message_arrives_on_another_threads_ring() {
    let mut ring = open(&SMALL);
    let (tell, told) = mpsc::channel();
    let here = ring.peer_ring();
    let other = thread::spawn(move || {
        let mut ring = open(&SMALL);
        tell.send(ring.peer_ring()).unwrap();
        let message = next(&mut ring);
        assert_eq!((message.token, message.result), (Token(77), -5));
        let answer = Op::Message {
            ring: here,
            token: Token(78),
            result: 6,
        };
        assert_eq!(run(&mut ring, 1, answer).result, 0);
    });
    let there = told.recv().unwrap();
    ring.push(
        Token(1),
        Op::Message {
            ring: there,
            token: Token(77),
            result: -5,
        },
    )
    .unwrap();
    let mut both = [next(&mut ring), next(&mut ring)].map(|it| (it.token.0, it.result));
    both.sort_unstable();
    assert_eq!(both, [(1, 0), (78, 6)]);
    other.join().unwrap();
}

#[test]
fn a_doorbell_wakes_a_sleeper_and_nobody_else() {
    let mut ring = open(&SMALL);
    let bell = Doorbell::new().unwrap();
    ring.push(
        Token(1),
        Op::PollFd {
            fd: bell.fd(),
            events: Events::IN,
        },
    )
    .unwrap();
    quiet(&mut ring);
    assert!(!bell.ring(), "nobody sleeps");
    quiet(&mut ring);
    for _ in 0..3 {
        bell.about_to_sleep();
        assert!(bell.ring());
        assert!(!bell.ring(), "one wake-up is on its way");
        let woken = next(&mut ring);
        assert_eq!((woken.token, woken.more), (Token(1), true));
        bell.awake();
        quiet(&mut ring);
    }
}

#[test]
fn idle_turns_and_batches_cost_one_system_call_each() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    peer.write_all(b"x").unwrap();
    let before = ring.counters();
    for token in 0..8 {
        ring.push(
            Token(token),
            Op::Poll {
                slot,
                events: Events::OUT,
                multishot: false,
            },
        )
        .unwrap();
    }
    ring.turn(Wait::Until(PATIENCE)).unwrap();
    let taken = std::iter::from_fn(|| ring.pop()).count();
    let after = ring.counters();
    assert_eq!(taken, 8);
    assert_eq!(after.enters - before.enters, 1);
    assert_eq!((after.sqes - before.sqes, after.cqes - before.cqes), (8, 8));
}
