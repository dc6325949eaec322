//! The double keeps the promises of a ring under every fault, breaks no others, and sees what a caller must not do.
//!
//! To replay a seed that failed: `DOUBLE_SEED=… cargo test -p millpond-ring --test double`; `DOUBLE_SEEDS=…` runs more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod echo;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use echo::Echo;
use millpond_ring::{
    BufferPlan, Completion, Doorbell, Double, Events, Extra, Faults, Gone, Leaks, Net, Op, Peer,
    PeerRing, Ring, Setup, Slot, Token, Violation, Wait,
};

const SEEDS: u64 = 300;
const SETUP: Setup = Setup {
    entries: 8,
    completions: 64,
    slots: 8,
    buffers: BufferPlan {
        count: 4,
        bytes: 64,
    },
};

fn seeds() -> std::ops::Range<u64> {
    let number = |variable| Some(std::env::var(variable).ok()?.parse::<u64>().unwrap());
    match number("DOUBLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DOUBLE_SEEDS").unwrap_or(SEEDS),
    }
}

fn here() -> SocketAddr {
    "10.0.0.1:7400".parse().unwrap()
}

fn there() -> SocketAddr {
    "10.0.0.2:50000".parse().unwrap()
}

fn quiet() -> (Net, Double) {
    let net = Net::default();
    let ring = Double::open(&net, &SETUP, Faults::NONE, 1);
    (net, ring)
}

fn pair(ring: &mut Double) -> (Slot, Peer) {
    ring.connected(here(), there()).unwrap()
}

fn run(ring: &mut Double, token: u64, op: Op) -> Completion {
    ring.push(Token(token), op).unwrap();
    ring.turn(Wait::Not).unwrap();
    let completion = ring.pop().unwrap();
    assert_eq!(completion.token, Token(token));
    completion
}

/// One client of the echo: what it still has to write, and what it has read.
struct Client {
    peer: Option<Peer>,
    sends: Vec<u8>,
    written: usize,
    read: Vec<u8>,
}

impl Client {
    fn new(net: &Net, number: u64, bytes: usize) -> Self {
        let sends = (0..bytes as u64).map(|n| u8::try_from((n * 7 + number * 31) % 251).unwrap());
        let peer = Some(net.connect(here(), there()).unwrap());
        Self {
            peer,
            sends: sends.collect(),
            written: 0,
            read: Vec::new(),
        }
    }

    /// Writes and reads a little; whether it goes on.
    fn step(&mut self) -> bool {
        let Some(peer) = &mut self.peer else {
            return false;
        };
        let end = self.sends.len().min(self.written + 50);
        let wrote = peer.write(&self.sends[self.written..end]);
        let read = peer.read_at_most(40);
        if let (Ok(count), Ok(bytes)) = (wrote, read) {
            self.written += count;
            self.read.extend(bytes);
            assert!(self.sends.starts_with(&self.read), "bytes lost or mixed");
            if self.read.len() < self.sends.len() {
                return true;
            }
        }
        self.peer.take().unwrap().close();
        false
    }
}

struct Run {
    clients: Vec<Client>,
    trace: Vec<(u64, i32)>,
    violations: Vec<Violation>,
    leaks: Leaks,
}

fn echo_run(seed: u64, faults: Faults) -> Run {
    // Little room, so that sends are refused too.
    let net = Net::new(100);
    let mut ring = Double::open(&net, &SETUP, faults, seed);
    let listener = ring.listen(here()).unwrap();
    let mut echo = Echo::new(ring, listener);
    let mut clients: Vec<_> = (0..5).map(|n| Client::new(&net, seed + n, 1_500)).collect();
    echo.start();
    let mut turns = 0;
    while clients
        .iter_mut()
        .fold(false, |any, client| client.step() | any)
    {
        echo.turn();
        turns += 1;
        assert!(turns < 100_000, "seed {seed} does not come to an end");
    }
    echo.ring.set_faults(Faults::NONE);
    echo.stop();
    (0..200).for_each(|_| echo.turn());
    let (violations, leaks) = (echo.ring.violations().to_vec(), echo.ring.leaks());
    Run {
        clients,
        trace: echo.trace,
        violations,
        leaks,
    }
}

#[test]
fn an_echo_loses_nothing_under_rough_faults_and_leaks_nothing() {
    for seed in seeds() {
        let run = echo_run(seed, Faults::ROUGH);
        assert!(
            run.clients.iter().all(|client| client.read == client.sends),
            "seed {seed}"
        );
        assert_eq!(
            (run.violations, run.leaks),
            (vec![], Leaks::default()),
            "seed {seed}"
        );
    }
}

#[test]
fn an_echo_survives_everything_and_leaks_nothing() {
    let mut broken = 0;
    for seed in seeds() {
        let run = echo_run(seed, Faults::WILD);
        let whole = run
            .clients
            .iter()
            .filter(|client| client.read == client.sends)
            .count();
        broken += run.clients.len() - whole;
        assert_eq!(
            (run.violations, run.leaks),
            (vec![], Leaks::default()),
            "seed {seed}"
        );
    }
    assert!(
        broken > 0 || seeds().count() == 1,
        "no connection ever broke"
    );
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..20 {
        let first = echo_run(seed, Faults::WILD).trace;
        assert_eq!(first, echo_run(seed, Faults::WILD).trace);
        assert_ne!(first, echo_run(seed + 1_000, Faults::WILD).trace);
    }
}

#[test]
fn a_short_read_leaves_the_rest_and_a_short_send_says_how_much() {
    let (_net, mut ring) = quiet();
    ring.set_faults(Faults {
        short_recv: 1_000,
        short_send: 1_000,
        ..Faults::NONE
    });
    let (slot, mut peer) = pair(&mut ring);
    peer.write(&[1; 60]).unwrap();
    let read = run(&mut ring, 1, Op::Recv { slot });
    assert!(read.result > 0 && read.result < 60 && read.nonempty);
    let sent = run(
        &mut ring,
        2,
        Op::Send {
            slot,
            bytes: vec![2; 60],
            from: 10,
        },
    );
    assert!(sent.result > 0 && sent.result < 50);
    assert_eq!(
        peer.read().unwrap().len(),
        usize::try_from(sent.result).unwrap()
    );
}

#[test]
fn an_injected_reset_reaches_both_ends() {
    let (_net, mut ring) = quiet();
    let (slot, mut peer) = pair(&mut ring);
    ring.set_faults(Faults {
        errno: 1_000,
        ..Faults::NONE
    });
    let sent = run(
        &mut ring,
        1,
        Op::Send {
            slot,
            bytes: vec![1],
            from: 0,
        },
    );
    assert_eq!(sent.result, -libc::ECONNRESET);
    assert!(matches!(sent.extra, Extra::Sent(bytes) if bytes == [1]));
    assert_eq!(peer.read(), Err(Gone::Reset));
    assert_eq!(peer.write(b"x"), Err(Gone::Reset));
    ring.set_faults(Faults::NONE);
    assert_eq!(
        run(
            &mut ring,
            2,
            Op::Send {
                slot,
                bytes: vec![1],
                from: 0
            }
        )
        .result,
        -libc::EPIPE
    );
}

#[test]
fn injected_errors_of_the_other_operations() {
    let (net, mut ring) = quiet();
    let listener = ring.listen(here()).unwrap();
    let (slot, _peer) = pair(&mut ring);
    let after = Duration::from_secs(1);
    ring.push(Token(9), Op::Timeout { after }).unwrap();
    ring.turn(Wait::Not).unwrap();
    ring.set_faults(Faults {
        errno: 1_000,
        ..Faults::NONE
    });
    let poll = Op::Poll {
        slot,
        events: Events::IN,
        multishot: true,
    };
    assert_eq!(run(&mut ring, 1, poll).result, -libc::ENOMEM);
    assert_eq!(
        run(&mut ring, 2, Op::Timeout { after }).result,
        -libc::ENOMEM
    );
    let _client = net.connect(here(), there()).unwrap();
    assert_eq!(
        run(&mut ring, 3, Op::Accept { listener }).result,
        -libc::ENOMEM
    );
    assert_eq!(
        run(
            &mut ring,
            4,
            Op::Cancel {
                target: Token(9),
                slot: None
            }
        )
        .result,
        -libc::EALREADY
    );
    assert_eq!(ring.pop().unwrap().result, -libc::ECANCELED);
    assert_eq!(
        run(&mut ring, 5, Op::Close { slot }).result,
        0,
        "a close does not fail"
    );
}

#[test]
fn no_buffers_and_cut_multishots_and_a_full_queue() {
    let (_net, mut ring) = quiet();
    let (slot, mut peer) = pair(&mut ring);
    peer.write(b"x").unwrap();
    ring.set_faults(Faults {
        no_buffers: 1_000,
        ..Faults::NONE
    });
    assert_eq!(run(&mut ring, 1, Op::Recv { slot }).result, -libc::ENOBUFS);
    ring.set_faults(Faults {
        cut_multishot: 1_000,
        ..Faults::NONE
    });
    let poll = Op::Poll {
        slot,
        events: Events::IN,
        multishot: true,
    };
    let polled = run(&mut ring, 2, poll);
    assert!(polled.result > 0 && !polled.more);
    let read = run(&mut ring, 3, Op::RecvMulti { slot });
    assert_eq!((read.result, read.more), (1, false));
    ring.set_faults(Faults {
        full: 1_000,
        ..Faults::NONE
    });
    assert!(matches!(
        ring.push(Token(4), Op::Close { slot }).unwrap_err().0,
        Op::Close { .. }
    ));
}

#[test]
fn late_completions_come_in_time_and_in_order_within_a_socket() {
    let (net, mut ring) = quiet();
    ring.set_faults(Faults {
        late: 500,
        reorder: 1_000,
        ..Faults::NONE
    });
    let (mut mixed, mut later) = (false, false);
    for _ in 0..50 {
        let pairs = [pair(&mut ring), pair(&mut ring)];
        for step in 0..4 {
            for (at, (slot, _)) in (0..).zip(&pairs) {
                let op = Op::Poll {
                    slot: *slot,
                    events: Events::OUT,
                    multishot: false,
                };
                ring.push(Token(step * 2 + at), op).unwrap();
            }
        }
        let mut order = Vec::new();
        while order.len() < 8 {
            let before = net.now();
            ring.turn(Wait::Until(Duration::from_secs(1))).unwrap();
            let took = net.now() - before;
            assert!(took < Duration::from_millis(1));
            later |= took > Duration::from_micros(1);
            order.extend(std::iter::from_fn(|| ring.pop()).map(|it| it.token.0));
        }
        for at in 0..2 {
            let own = order.iter().copied().filter(|token| token % 2 == at);
            assert!(own.is_sorted(), "{order:?}");
        }
        mixed |= !order.is_sorted();
        for (slot, _) in &pairs {
            ring.push(Token(9), Op::Close { slot: *slot }).unwrap();
        }
        while !ring.leaks().is_none() {
            ring.turn(Wait::Until(Duration::from_secs(1))).unwrap();
            while ring.pop().is_some() {}
        }
    }
    assert!(mixed && later);
}

#[test]
fn a_turn_may_come_back_early() {
    let (net, mut ring) = quiet();
    ring.set_faults(Faults {
        early_return: 1_000,
        ..Faults::NONE
    });
    ring.turn(Wait::Until(Duration::from_secs(1))).unwrap();
    assert!(net.now() < Duration::from_millis(1));
}

#[test]
fn waiting_takes_virtual_time_only() {
    let (net, mut ring) = quiet();
    let after = Duration::from_secs(3_600);
    ring.push(Token(1), Op::Timeout { after }).unwrap();
    ring.turn(Wait::Until(Duration::from_secs(60))).unwrap();
    assert!(ring.pop().is_none());
    ring.turn(Wait::Until(Duration::from_secs(86_400))).unwrap();
    assert_eq!(ring.pop().unwrap().result, -libc::ETIME);
    assert!(net.now() >= after && net.now() < after + Duration::from_secs(1));
}

#[test]
fn what_a_caller_must_not_do_is_seen() {
    let (_net, mut ring) = quiet();
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
    for token in [2, 3] {
        ring.push(
            Token(token),
            Op::Send {
                slot,
                bytes: vec![0],
                from: 0,
            },
        )
        .unwrap();
    }
    ring.push(Token(4), Op::Close { slot }).unwrap();
    ring.push(Token(5), Op::Recv { slot }).unwrap();
    ring.turn(Wait::Not).unwrap();
    let seen = [
        Violation::TwoSends {
            slot,
            token: Token(3),
        },
        Violation::Lingering {
            slot,
            token: Token(1),
        },
        Violation::ClosedSlot {
            slot,
            token: Token(5),
        },
    ];
    assert_eq!(ring.violations(), seen);
    let results: Vec<_> = std::iter::from_fn(|| ring.pop())
        .map(|it| it.result)
        .collect();
    assert_eq!(results, [1, 1, 0, -libc::EBADF]);
    assert_eq!(peer.read(), Ok(vec![0, 0]));
    assert_eq!(peer.read(), Ok(vec![]), "the socket lingers");
    assert_eq!(ring.leaks().armed, [Token(1)]);
    run(
        &mut ring,
        6,
        Op::Cancel {
            target: Token(1),
            slot: None,
        },
    );
    assert_eq!(peer.read(), Err(Gone::Closed));
}

#[test]
fn leaks_name_what_is_not_back() {
    let (_net, mut ring) = quiet();
    let (slot, mut peer) = pair(&mut ring);
    peer.write(b"x").unwrap();
    let read = run(&mut ring, 1, Op::Recv { slot });
    ring.push(Token(2), Op::Recv { slot }).unwrap();
    let leaks = Leaks {
        buffers: 1,
        armed: vec![],
        in_flight: 1,
        slots: vec![slot],
    };
    assert_eq!(ring.leaks(), leaks);
    assert!(!ring.leaks().is_none());
    let Extra::Buffer(id) = read.extra else {
        panic!("{read:?}")
    };
    ring.give_back(id);
    assert_eq!(ring.leaks().buffers, 0);
}

#[test]
#[should_panic(expected = "a buffer comes back once")]
fn a_buffer_given_back_twice() {
    let (_net, mut ring) = quiet();
    let (slot, mut peer) = pair(&mut ring);
    peer.write(b"x").unwrap();
    let Extra::Buffer(id) = run(&mut ring, 1, Op::Recv { slot }).extra else {
        panic!()
    };
    ring.give_back(id);
    ring.give_back(id);
}

#[test]
#[should_panic(expected = "a buffer that the kernel has not given")]
fn a_buffer_read_after_it_was_given_back() {
    let (_net, mut ring) = quiet();
    let (slot, mut peer) = pair(&mut ring);
    peer.write(b"x").unwrap();
    let Extra::Buffer(id) = run(&mut ring, 1, Op::Recv { slot }).extra else {
        panic!()
    };
    ring.give_back(id);
    ring.buffer(id);
}

#[test]
fn messages_cross_between_doubles_of_one_world() {
    let (net, mut first) = quiet();
    let mut second = Double::open(&net, &SETUP, Faults::NONE, 2);
    let message = Op::Message {
        ring: second.peer_ring(),
        token: Token(7),
        result: -3,
    };
    assert_eq!(run(&mut first, 1, message).result, 0);
    second.turn(Wait::Not).unwrap();
    let arrived = second.pop().unwrap();
    assert_eq!((arrived.token, arrived.result), (Token(7), -3));
    let nowhere = Op::Message {
        ring: PeerRing(99),
        token: Token(7),
        result: 0,
    };
    assert_eq!(run(&mut first, 2, nowhere).result, -libc::EBADF);
}

#[test]
fn a_doorbell_wakes_a_double() {
    let (_net, mut ring) = quiet();
    let bell = Doorbell::new().unwrap();
    ring.push(
        Token(1),
        Op::PollFd {
            fd: bell.fd(),
            events: Events::IN,
        },
    )
    .unwrap();
    for _ in 0..3 {
        ring.turn(Wait::Not).unwrap();
        assert!(ring.pop().is_none());
        bell.about_to_sleep();
        bell.ring();
        ring.turn(Wait::Not).unwrap();
        assert!(ring.pop().unwrap().more);
    }
}

#[test]
fn a_real_listener_becomes_one_in_memory() {
    let (net, mut ring) = quiet();
    let real = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = real.local_addr().unwrap();
    let listener = ring.adopt(OwnedFd::from(real)).unwrap();
    let client = net.connect(address, there()).unwrap();
    assert_eq!(client.ring_address(), address);
    let accepted = run(&mut ring, 1, Op::Accept { listener });
    assert!(accepted.result >= 0);
    assert!(matches!(accepted.extra, Extra::Peer(from) if from == client.address()));
    assert!(net.connect(here(), there()).is_err());
}
