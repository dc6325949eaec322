//! Every operation of the real ring against the kernel it runs on, over loopback sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use millpond_ring::{
    BufferPlan, Completion, Doorbell, Events, Extra, Op, Refusal, Ring, Setup, Slot, Step, Token,
    Uring, Wait,
};

const SMALL: Setup = Setup {
    entries: 16,
    completions: 64,
    slots: 8,
    buffers: BufferPlan {
        count: 4,
        bytes: 64,
    },
};
const PATIENCE: Duration = Duration::from_secs(5);

fn open(setup: &Setup) -> Uring {
    Uring::open(setup).expect("io_uring works where these tests run")
}

/// Turns until one completion is there.
fn next(ring: &mut Uring) -> Completion {
    let start = Instant::now();
    loop {
        if let Some(completion) = ring.pop() {
            return completion;
        }
        assert!(start.elapsed() < PATIENCE, "nothing completes");
        ring.turn(Wait::Until(Duration::from_millis(100))).unwrap();
    }
}

fn quiet(ring: &mut Uring) {
    ring.turn(Wait::Until(Duration::from_millis(20))).unwrap();
    let completion = ring.pop();
    assert!(completion.is_none(), "{completion:?}");
}

fn run(ring: &mut Uring, token: u64, op: Op) -> Completion {
    ring.push(Token(token), op).unwrap();
    let completion = next(ring);
    assert_eq!(completion.token, Token(token));
    completion
}

fn listener(ring: &mut Uring) -> (Slot, SocketAddr) {
    let socket = millpond_ring::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    (ring.adopt(OwnedFd::from(listener)).unwrap(), address)
}

/// A connection whose one end is in the ring.
fn pair(ring: &mut Uring) -> (Slot, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let (socket, _) = listener.accept().unwrap();
    (ring.adopt(OwnedFd::from(socket)).unwrap(), peer)
}

fn bytes_of(ring: &mut Uring, completion: &Completion) -> Vec<u8> {
    let Extra::Buffer(id) = completion.extra else {
        panic!("{completion:?} has no buffer")
    };
    assert_eq!(i64::from(id.bytes), i64::from(completion.result));
    let bytes = ring.buffer(id).to_vec();
    ring.give_back(id);
    bytes
}

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
fn an_accept_gives_a_slot_and_the_peers_address() {
    let mut ring = open(&SMALL);
    let (listener, address) = listener(&mut ring);
    ring.push(Token(1), Op::Accept { listener }).unwrap();
    quiet(&mut ring);
    let mut peer = TcpStream::connect(address).unwrap();
    let accepted = next(&mut ring);
    assert_eq!(accepted.token, Token(1));
    assert!(!accepted.more);
    let Extra::Peer(from) = accepted.extra else {
        panic!("{accepted:?}")
    };
    assert_eq!(from, peer.local_addr().unwrap());
    let slot = Slot(accepted.result.try_into().unwrap());
    let sent = run(
        &mut ring,
        2,
        Op::Send {
            slot,
            bytes: b"..hello".to_vec(),
            from: 2,
        },
    );
    assert_eq!(sent.result, 5);
    assert!(matches!(sent.extra, Extra::Sent(bytes) if bytes == b"..hello"));
    let mut read = [0; 5];
    peer.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"hello");
}

#[test]
fn an_accept_over_ipv6_gives_the_peers_address() {
    let mut ring = open(&SMALL);
    let Ok(socket) = millpond_ring::listen("[::1]:0".parse().unwrap(), 64) else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let socket = TcpListener::from(socket);
    let address = socket.local_addr().unwrap();
    let listener = ring.adopt(OwnedFd::from(socket)).unwrap();
    let peer = TcpStream::connect(address).unwrap();
    let accepted = run(&mut ring, 1, Op::Accept { listener });
    let Extra::Peer(from) = accepted.extra else {
        panic!("{accepted:?}")
    };
    assert_eq!(from, peer.local_addr().unwrap());
}

#[test]
fn a_recv_reads_what_is_there_and_says_what_is_not() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    assert_eq!(run(&mut ring, 1, Op::Recv { slot }).result, -libc::EAGAIN);
    assert_eq!(ring.buffers_free(), 4);
    peer.write_all(&[7; 100]).unwrap();
    let first = run(&mut ring, 2, Op::Recv { slot });
    assert_eq!((first.result, first.nonempty), (64, true));
    assert_eq!(ring.buffers_free(), 3);
    assert_eq!(bytes_of(&mut ring, &first), [7; 64]);
    let second = run(&mut ring, 3, Op::Recv { slot });
    assert_eq!((second.result, second.nonempty), (36, false));
    assert_eq!(bytes_of(&mut ring, &second), [7; 36]);
    peer.shutdown(Shutdown::Write).unwrap();
    let end = run(&mut ring, 4, Op::Recv { slot });
    assert_eq!(end.result, 0);
    assert!(matches!(end.extra, Extra::None));
    assert_eq!(ring.buffers_free(), 4);
}

#[test]
fn a_recv_without_buffers_says_so_until_one_comes_back() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    peer.write_all(&[1; 5 * 64]).unwrap();
    let held: Vec<_> = (0..4)
        .map(|n| run(&mut ring, n, Op::Recv { slot }))
        .collect();
    assert_eq!(ring.buffers_free(), 0);
    assert_eq!(run(&mut ring, 9, Op::Recv { slot }).result, -libc::ENOBUFS);
    assert_eq!(ring.counters().no_buffers, 1);
    bytes_of(&mut ring, &held[2]);
    let last = run(&mut ring, 10, Op::Recv { slot });
    assert_eq!(bytes_of(&mut ring, &last), [1; 64]);
}

#[test]
#[should_panic(expected = "a buffer comes back once")]
fn a_buffer_given_back_twice_is_our_own_error() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    peer.write_all(b"x").unwrap();
    let completion = run(&mut ring, 1, Op::Recv { slot });
    let Extra::Buffer(id) = completion.extra else {
        panic!("{completion:?}")
    };
    ring.give_back(id);
    ring.give_back(id);
}

#[test]
fn a_multishot_recv_goes_on_until_the_stream_ends() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    ring.push(Token(1), Op::RecvMulti { slot }).unwrap();
    for text in [&b"one"[..], b"two", b"three"] {
        peer.write_all(text).unwrap();
        let completion = next(&mut ring);
        assert!(completion.more);
        assert_eq!(bytes_of(&mut ring, &completion), text);
    }
    drop(peer);
    let end = next(&mut ring);
    assert_eq!((end.token, end.result, end.more), (Token(1), 0, false));
    assert_eq!(ring.buffers_free(), 4);
}

#[test]
fn a_multishot_recv_ends_when_the_buffers_do() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    peer.write_all(&[3; 5 * 64]).unwrap();
    ring.push(Token(1), Op::RecvMulti { slot }).unwrap();
    let filled: Vec<_> = (0..4).map(|_| next(&mut ring)).collect();
    assert!(filled.iter().all(|it| it.result == 64 && it.more));
    let end = next(&mut ring);
    assert_eq!((end.result, end.more), (-libc::ENOBUFS, false));
    for completion in &filled {
        bytes_of(&mut ring, completion);
    }
    let rest = run(&mut ring, 2, Op::Recv { slot });
    assert_eq!(bytes_of(&mut ring, &rest), [3; 64]);
}

#[test]
fn a_multishot_poll_fires_once_per_arrival_and_a_cancel_ends_it() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    ring.push(
        Token(1),
        Op::Poll {
            slot,
            events: Events::IN,
            multishot: true,
        },
    )
    .unwrap();
    quiet(&mut ring);
    for _ in 0..3 {
        peer.write_all(b"x").unwrap();
        let ready = next(&mut ring);
        assert_eq!((ready.token, ready.more), (Token(1), true));
        assert_ne!(ready.result & i32::from(libc::POLLIN), 0);
        quiet(&mut ring);
    }
    ring.push(Token(2), Op::Cancel { target: Token(1) })
        .unwrap();
    let mut ends = [next(&mut ring), next(&mut ring)].map(|it| (it.token.0, it.result, it.more));
    ends.sort_unstable();
    assert_eq!(ends, [(1, -libc::ECANCELED, false), (2, 0, false)]);
}

#[test]
fn a_one_shot_poll_fires_once() {
    let mut ring = open(&SMALL);
    let (slot, peer) = pair(&mut ring);
    let out = run(
        &mut ring,
        1,
        Op::Poll {
            slot,
            events: Events::OUT,
            multishot: false,
        },
    );
    assert_eq!((out.result, out.more), (i32::from(libc::POLLOUT), false));
    ring.push(
        Token(2),
        Op::Poll {
            slot,
            events: Events::IN,
            multishot: false,
        },
    )
    .unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let hung_up = next(&mut ring);
    let both = i32::from(libc::POLLIN) | i32::from(libc::POLLRDHUP);
    assert_eq!((hung_up.result, hung_up.more), (both, false));
}

#[test]
fn a_send_into_a_full_socket_is_short_and_then_refused() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    let bytes = vec![5; 64 << 20];
    let short = run(
        &mut ring,
        1,
        Op::Send {
            slot,
            bytes,
            from: 0,
        },
    );
    assert!(
        short.result > 0 && short.result < 64 << 20,
        "{}",
        short.result
    );
    let Extra::Sent(bytes) = short.extra else {
        panic!("{:?}", short.extra)
    };
    let from = usize::try_from(short.result).unwrap();
    let mut taken = from;
    // The kernel may move some of it on before it is full for good.
    let mut full = run(&mut ring, 2, Op::Send { slot, bytes, from });
    while full.result > 0 {
        taken += usize::try_from(full.result).unwrap();
        let Extra::Sent(bytes) = full.extra else {
            panic!("{:?}", full.extra)
        };
        full = run(
            &mut ring,
            2,
            Op::Send {
                slot,
                bytes,
                from: taken,
            },
        );
    }
    assert_eq!(full.result, -libc::EAGAIN);
    ring.push(
        Token(3),
        Op::Poll {
            slot,
            events: Events::OUT,
            multishot: false,
        },
    )
    .unwrap();
    quiet(&mut ring);
    let mut read = vec![0; taken];
    peer.read_exact(&mut read).unwrap();
    assert!(read.iter().all(|&byte| byte == 5));
    assert_eq!(next(&mut ring).result, i32::from(libc::POLLOUT));
}

#[test]
fn a_send_to_a_peer_that_has_gone_is_an_error_and_no_signal() {
    let mut ring = open(&SMALL);
    let (slot, peer) = pair(&mut ring);
    drop(peer);
    let mut result = 1;
    for token in 0..10 {
        result = run(
            &mut ring,
            token,
            Op::Send {
                slot,
                bytes: vec![1],
                from: 0,
            },
        )
        .result;
    }
    assert!(
        [-libc::EPIPE, -libc::ECONNRESET].contains(&result),
        "{result}"
    );
}

#[test]
fn a_close_frees_the_slot_and_a_second_one_finds_nothing() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    assert_eq!(run(&mut ring, 1, Op::Close { slot }).result, 0);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    for op in [
        Op::Close { slot },
        Op::Recv { slot },
        Op::RecvMulti { slot },
    ] {
        assert_eq!(run(&mut ring, 2, op).result, -libc::EBADF);
    }
    let (again, _peer) = pair(&mut ring);
    assert!(again.0 < SMALL.slots);
}

#[test]
fn a_socket_lingers_while_an_operation_is_armed_on_it() {
    let mut ring = open(&SMALL);
    let (slot, mut peer) = pair(&mut ring);
    ring.push(
        Token(1),
        Op::Poll {
            slot,
            events: Events::IN,
            multishot: true,
        },
    )
    .unwrap();
    assert_eq!(run(&mut ring, 2, Op::Close { slot }).result, 0);
    peer.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    assert!(peer.read(&mut [0; 1]).is_err(), "no end of stream yet");
    ring.push(Token(3), Op::Cancel { target: Token(1) })
        .unwrap();
    next(&mut ring);
    next(&mut ring);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
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
            },
        )
        .unwrap();
        let mut ends = [next(&mut ring), next(&mut ring)].map(|it| (it.token.0, it.result));
        ends.sort_unstable();
        assert_eq!(ends, [(target, -libc::ECANCELED), (3, 0)]);
    }
    assert_eq!(
        run(&mut ring, 4, Op::Cancel { target: Token(2) }).result,
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
fn a_full_table_refuses_and_counts() {
    let mut ring = open(&SMALL);
    let (listener, address) = listener(&mut ring);
    let mut peers: Vec<_> = (1..SMALL.slots).map(|_| pair(&mut ring)).collect();
    let mut refused = TcpStream::connect(address).unwrap();
    assert_eq!(
        run(&mut ring, 1, Op::Accept { listener }).result,
        -libc::ENFILE
    );
    assert_eq!(ring.counters().no_slots, 1);
    assert_eq!(
        refused.read(&mut [0; 1]).unwrap(),
        0,
        "the kernel has closed it"
    );
    let extra = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = ring.adopt(OwnedFd::from(extra)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENFILE));
    let (slot, _peer) = peers.pop().unwrap();
    assert_eq!(run(&mut ring, 2, Op::Close { slot }).result, 0);
    let _peer = TcpStream::connect(address).unwrap();
    assert_eq!(
        run(&mut ring, 3, Op::Accept { listener }).result,
        i32::try_from(slot.0).unwrap()
    );
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
fn dropping_a_ring_with_operations_in_flight_lets_the_peers_go() {
    for _ in 0..20 {
        let mut ring = open(&SMALL);
        let (listener, address) = listener(&mut ring);
        let (multi, mut first) = pair(&mut ring);
        let (polled, mut second) = pair(&mut ring);
        let after = Duration::from_secs(1_000);
        let poll = Op::Poll {
            slot: polled,
            events: Events::IN,
            multishot: true,
        };
        for op in [
            Op::Accept { listener },
            Op::RecvMulti { slot: multi },
            poll,
            Op::Timeout { after },
        ] {
            ring.push(Token(1), op).unwrap();
        }
        ring.turn(Wait::Not).unwrap();
        // Bytes on their way into a provided buffer, and one send that was never submitted.
        first.write_all(&[1; 1_000]).unwrap();
        let send = Op::Send {
            slot: polled,
            bytes: b"bye".to_vec(),
            from: 0,
        };
        ring.push(Token(2), send).unwrap();
        drop(ring);
        let mut rest = Vec::new();
        second.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"bye");
        // What nobody read makes it a reset; either way the end.
        let _end = first.read(&mut [0; 1]);
        assert!(gone(address), "the listener is closed");
    }
}

/// Whether nobody listens there any more; the kernel closes a ring's sockets soon after the ring.
fn gone(address: SocketAddr) -> bool {
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn threads_may_open_and_drop_many_rings() {
    // The kernel knows sixteen registered rings per thread: a leaked registration shows here.
    for _ in 0..100 {
        drop(open(&SMALL));
    }
}

#[test]
fn a_table_beyond_the_limit_of_open_files_says_what_to_type() {
    let error = Uring::open(&Setup {
        slots: 3_000_000,
        ..SMALL
    })
    .unwrap_err();
    assert_eq!(error.step, Step::Slots);
    assert_eq!(error.refusal, Refusal::SlotsOverMax { slots: 3_000_000 });
    let error = Uring::open(&Setup {
        slots: 1 << 20,
        ..SMALL
    });
    if let Err(error) = error {
        assert!(error.to_string().contains("ulimit -n 1048576"), "{error}");
    }
    let none = Uring::open(&Setup { slots: 0, ..SMALL }).unwrap_err();
    assert_eq!(none.step, Step::Settings);
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
