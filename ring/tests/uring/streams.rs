//! Reading, sending and polling connections.

use super::*;

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
    ring.push(
        Token(2),
        Op::Cancel {
            target: Token(1),
            slot: None,
        },
    )
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
