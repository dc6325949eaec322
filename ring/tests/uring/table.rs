//! Slots: accepting, closing, a full table, and what becomes of everything when a ring is dropped.

use super::*;

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
    ring.push(
        Token(3),
        Op::Cancel {
            target: Token(1),
            slot: None,
        },
    )
    .unwrap();
    next(&mut ring);
    next(&mut ring);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
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
