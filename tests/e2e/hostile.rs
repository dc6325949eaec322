//! A live server against bytes that no honest client sends. The decoder is the oracle of what each of them means.

use crate::peer::{End, Peer, hello, with};
use crate::server::{Server, eventually, serve};
use millpond_wire::{
    Ack, AckStatus, Bye, CLIENT_FRAME_BYTES_MAX, Code, Conversation, CursorAck, Decoded, Deliver,
    Direction, Echo, Echoed, Error, Frame, From, GoAway, HELLO_BYTES_MAX, History, HistoryPage,
    Ignored, Kind, List, Mark, MarkKind, Mode, PAYLOAD_BYTES_MAX, PREFACE, Ping, Pong, Receipt,
    Record, Records, Reset, Scope, Send, SendAck, Sync, SyncDone, Tag, UserId, Welcome, decode,
    encode, encode_record,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const USER: u64 = 7;
/// Behind every case: its echo says that all before it was taken.
const SENTINEL: &[u8] = b"all was well";

#[test]
fn every_truncation_of_every_frame_ends_quietly() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = serve(data.path(), &[]);
    let token = server.token(USER);
    for (device, bytes) in (1..).zip(frames(&token)) {
        for cut in 1..bytes.len() {
            let (mut peer, _) = Peer::connect(server.listen, device, &token, None);
            peer.write(&bytes[..cut]);
            peer.stream
                .shutdown(Shutdown::Write)
                .expect("a live socket");
            let outcome = outcome(&mut peer);
            assert_eq!(
                outcome,
                Outcome::Closed(None),
                "{cut} bytes of {bytes:02x?}"
            );
        }
    }
    assert!(server.lives());
}

#[test]
fn every_single_byte_corruption_is_answered_as_the_decoder_says() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = serve(data.path(), &[]);
    let token = server.token(USER);
    let mut cases = 0;
    for (device, bytes) in (1..).zip(frames(&token)) {
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0x7F, 0xFF] {
                let mut corrupt = bytes.clone();
                corrupt[at] ^= flip;
                judge(&server, device, &token, &corrupt);
                cases += 1;
            }
        }
    }
    assert!(cases > 1_000, "{cases}");
    assert!(server.lives());
}

#[test]
fn a_damaged_or_cut_hello_is_answered_as_the_decoder_says() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = serve(data.path(), &[]);
    let token = server.token(USER);
    let mut bytes = Vec::new();
    encode(&Frame::Hello(hello(1, &token, Some((77, 5)))), &mut bytes);
    for cut in 0..bytes.len() {
        let mut peer = Peer::open(server.listen);
        peer.write(&[&PREFACE[..], &bytes[..cut]].concat());
        peer.stream
            .shutdown(Shutdown::Write)
            .expect("a live socket");
        assert_eq!(outcome(&mut peer), Outcome::Closed(None), "{cut} bytes");
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0x7F, 0xFF] {
            let mut corrupt = bytes.clone();
            corrupt[at] ^= flip;
            judge_first(&server, &corrupt);
        }
    }
    assert!(server.lives());
}

#[test]
fn a_hundred_thousand_bad_connections_disturb_nobody() {
    const BAD: usize = 100_000;
    const THREADS: usize = 4;
    let data = tempfile::tempdir().expect("a folder");
    let mut server = serve(data.path(), &[]);
    let (token, listen) = (server.token(USER), server.listen);
    run_bad(listen, &token, 0, 2_000);
    let before = server.resident_kib();
    let (mut neighbour, _) = Peer::connect(listen, 99, &token, None);
    let bad: Vec<_> = (0..THREADS)
        .map(|thread| {
            let token = token.clone();
            std::thread::spawn(move || run_bad(listen, &token, thread + 1, BAD / THREADS))
        })
        .collect();
    let mut slowest = Duration::ZERO;
    while !bad.iter().all(std::thread::JoinHandle::is_finished) {
        slowest = slowest.max(echo(&mut neighbour));
        std::thread::sleep(Duration::from_millis(2));
    }
    for thread in bad {
        thread.join().expect("no bad client hangs");
    }
    echo(&mut neighbour);
    assert!(server.lives());
    assert!(
        slowest < Duration::from_secs(2),
        "a neighbour waited {slowest:?}"
    );
    eventually("bad connections are gone", || {
        server.metric("millpond_gateway_connections") <= 1.0
    });
    let after = server.resident_kib();
    assert!(
        after < before + 16 * 1024,
        "memory grew from {before} to {after} KiB"
    );
}

/// More silent connections than may stand at the door, each for less than its deadline.
#[test]
fn silent_connections_do_not_keep_others_out() {
    const SILENT: usize = 3_000;
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(USER);
    let silent: Vec<_> = (0..SILENT)
        .map(|_| TcpStream::connect(server.listen))
        .collect();
    let start = Instant::now();
    let (mut peer, ..) = Peer::join(server.listen, 1, &token);
    let waited = start.elapsed();
    assert!(
        waited < Duration::from_secs(6),
        "an honest client waited {waited:?}"
    );
    echo(&mut peer);
    drop(silent);
}

/// Pages of the largest messages, asked for by clients that do not read them.
#[test]
fn pages_of_large_messages_stay_inside_the_memory_that_was_printed() {
    const MESSAGES: u64 = 150;
    const READERS: u64 = 150;
    let data = tempfile::tempdir().expect("a folder");
    let mut server = serve(data.path(), &[]);
    let token = server.token(USER);
    let (mut writer, epoch, _) = Peer::join(server.listen, 1, &token);
    let text = "x".repeat(PAYLOAD_BYTES_MAX);
    for id in 1..=MESSAGES {
        writer.send_text(9, id, &text);
        writer.answer(id).expect("taken");
    }
    let before = server.resident_kib();
    let mut storm = Vec::new();
    let conversation = with(9);
    for rid in 1..=4 {
        let from = From::Before(u64::MAX);
        encode(
            &Frame::History(History {
                rid,
                conversation,
                from,
                limit: 0,
            }),
            &mut storm,
        );
    }
    encode(
        &Frame::Sync(Sync {
            rid: 9,
            epoch,
            cursor: 0,
            max_bytes: 0,
        }),
        &mut storm,
    );
    let greedy: Vec<_> = (0..READERS)
        .map(|reader| {
            let (mut peer, _) = Peer::connect(server.listen, 100 + reader, &token, None);
            peer.write(&storm);
            peer
        })
        .collect();
    let peak = (0..100).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        server.resident_kib()
    });
    let peak = peak.max().expect("a hundred looks");
    drop(greedy);
    assert!(server.lives());
    assert!(peak < before + 200 * 1024, "from {before} to {peak} KiB");
}

/// What a connection showed from now to its end, or to the answer of the sentinel.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Echoed,
    /// Closed, behind this ERROR.
    Closed(Option<Code>),
    Hung,
}

/// Sends `bytes` and the sentinel on a fresh session, and holds the answer against the decoder.
fn judge(server: &Server, device: u64, token: &[u8], bytes: &[u8]) {
    let (mut peer, _) = Peer::connect(server.listen, device, token, None);
    hold(
        &mut peer,
        bytes,
        &oracle(&with_sentinel(bytes), Stands::Session),
    );
}

/// The same where the session does not stand yet: `bytes` are the first behind the preface.
fn judge_first(server: &Server, bytes: &[u8]) {
    let mut peer = Peer::open(server.listen);
    peer.write(&PREFACE);
    hold(
        &mut peer,
        bytes,
        &oracle(&with_sentinel(bytes), Stands::Preface),
    );
}

fn hold(peer: &mut Peer, bytes: &[u8], expected: &Expected) {
    peer.write(&with_sentinel(bytes));
    if expected.incomplete {
        peer.stream
            .shutdown(Shutdown::Write)
            .expect("a live socket");
    }
    let seen = outcome(peer);
    assert!(
        expected.outcomes.contains(&seen),
        "{bytes:02x?}: {expected:?}, seen {seen:?}"
    );
}

fn with_sentinel(bytes: &[u8]) -> Vec<u8> {
    let mut stream = bytes.to_vec();
    encode(&Frame::Echo(Echo { payload: SENTINEL }), &mut stream);
    stream
}

/// What may be seen of a stream, by the decoder and the state rules of the specification.
#[derive(Debug, Default)]
struct Expected {
    outcomes: Vec<Outcome>,
    /// The stream ends inside a frame, so the server waits for more.
    incomplete: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Preface,
    Session,
}

/// What one valid frame leads to.
enum Answer {
    Taken,
    /// By what the server holds, it is taken or the end.
    MayEnd(Code),
    Ends(Option<Code>),
}

fn oracle(mut stream: &[u8], mut stands: Stands) -> Expected {
    let mut expected = Expected::default();
    loop {
        let max = if stands == Stands::Preface {
            HELLO_BYTES_MAX
        } else {
            CLIENT_FRAME_BYTES_MAX
        };
        let end = match decode(stream, max) {
            Err(bad) => {
                // Of several faults any may be named (clause 4.5): of form, or of coming before HELLO.
                if stands == Stands::Preface && stream.first() != Some(&Tag::Hello.byte()) {
                    let too_early = Outcome::Closed(Some(Code::NOT_AUTHENTICATED));
                    expected.outcomes.push(too_early);
                }
                Some(bad.code())
            }
            Ok(Decoded::Need(_)) => {
                expected.incomplete = true;
                None
            }
            Ok(Decoded::Frame(Frame::Echo(echo), _))
                if echo.payload == SENTINEL && stands == Stands::Session =>
            {
                expected.outcomes.push(Outcome::Echoed);
                return expected;
            }
            Ok(Decoded::Frame(frame, used)) => match answer(&frame, stands) {
                Answer::Ends(end) => end,
                Answer::MayEnd(code) => {
                    expected.outcomes.push(Outcome::Closed(Some(code)));
                    if stands == Stands::Preface {
                        // A case before it may have been taken with a higher attempt.
                        expected
                            .outcomes
                            .push(Outcome::Closed(Some(Code::REPLACED)));
                    }
                    (stream, stands) = (&stream[used..], Stands::Session);
                    continue;
                }
                Answer::Taken => {
                    stream = &stream[used..];
                    continue;
                }
            },
        };
        expected.outcomes.push(Outcome::Closed(end));
        return expected;
    }
}

fn answer(frame: &Frame<'_>, stands: Stands) -> Answer {
    match (stands, frame) {
        (Stands::Preface, Frame::Hello(_)) => Answer::MayEnd(Code::TOKEN_INVALID),
        (Stands::Preface, _) => Answer::Ends(Some(Code::NOT_AUTHENTICATED)),
        (_, Frame::Bye(_) | Frame::Error(_)) => Answer::Ends(None),
        (_, Frame::Hello(_)) => Answer::Ends(Some(Code::UNSUPPORTED_FRAME)),
        (_, Frame::Receipt(_)) if frame.direction() == Direction::ToClient => {
            Answer::Ends(Some(Code::MALFORMED))
        }
        _ if frame.direction() == Direction::ToClient => {
            Answer::Ends(Some(Code::UNSUPPORTED_FRAME))
        }
        (
            _,
            Frame::CursorAck(_)
            | Frame::Ping(Ping { cursor: Some(_) })
            | Frame::Pong(Pong { server_ms: Some(_) }),
        ) => Answer::MayEnd(Code::MALFORMED),
        _ => Answer::Taken,
    }
}

fn outcome(peer: &mut Peer) -> Outcome {
    let mut code = None;
    loop {
        let seen = peer.next(|frame| match frame {
            Frame::Echoed(echoed) if echoed.payload == SENTINEL => Some(None),
            Frame::Error(Error {
                code,
                scope: Scope::Connection,
                ..
            }) => Some(Some(*code)),
            _ => None,
        });
        match seen {
            Ok(Some(None)) => return Outcome::Echoed,
            Ok(Some(error)) => code = error,
            Ok(None) => {}
            Err(End::Closed) => return Outcome::Closed(code),
            Err(End::Quiet) => return Outcome::Hung,
        }
    }
}

/// One valid encoding of every frame, whoever may send it.
fn frames(token: &[u8]) -> Vec<Vec<u8>> {
    let user = UserId::new(9).expect("a user id");
    let conversation = Conversation::Direct(user);
    let mut record = Vec::new();
    encode_record(
        &Record {
            kind: Kind::TEXT,
            origin: None,
            stub: false,
            counts: true,
            conversation,
            seq: 3,
            sender: None,
            server_ms: 1_700_000_000_000,
            payload: b"text",
        },
        &mut record,
    );
    let acks = [Ack {
        client_msg_id: 4,
        status: AckStatus::New,
        seq: 300,
        server_ms: 1_700_000_000_000,
    }];
    let marks = [Mark {
        kind: MarkKind::Read,
        conversation,
        up_to: 3,
        user: None,
    }];
    let frames = [
        Frame::Ping(Ping { cursor: Some(0) }),
        Frame::Pong(Pong { server_ms: Some(5) }),
        Frame::Hello(hello(1, token, Some((77, 5)))),
        Frame::Welcome(Welcome {
            resumed: true,
            reset: false,
            throttled: false,
            proto: 1,
            features: 0,
            session: 5,
            epoch: 6,
            server_ms: 7,
            ping_active_ms: 30_000,
            ping_idle_ms: 285_000,
            max_frame: 65_536,
            send_window: 64,
            token_ttl_s: 3_600,
            resume_token: &[1, 2, 3],
            dictionary: 0,
        }),
        Frame::GoAway(GoAway {
            resume_ok: true,
            overlap: false,
            code: Code::DRAINING,
            after_ms: 100,
            spread_ms: 1_000,
            endpoint: "",
        }),
        Frame::Error(Error {
            code: Code::BUSY,
            scope: Scope::Request(9),
            retry_after_ms: 10,
            message: "no",
        }),
        Frame::Bye(Bye { reason: 0 }),
        Frame::Echo(Echo { payload: b"echo" }),
        Frame::Echoed(Echoed { payload: b"echoed" }),
        Frame::Send(Send {
            client_msg_id: 4,
            conversation,
            after: Some(3),
            kind: Kind::TEXT,
            payload: b"text",
        }),
        Frame::SendAck(SendAck {
            acks: List::of(&acks),
        }),
        Frame::Deliver(Deliver {
            mode: Mode::Live,
            first_cursor: 9,
            records: Records::from_encoded(&record),
        }),
        Frame::CursorAck(CursorAck { cursor: 0 }),
        Frame::Receipt(Receipt {
            marks: List::of(&marks),
        }),
        Frame::Sync(Sync {
            rid: 1,
            epoch: 2,
            cursor: 3,
            max_bytes: 4_096,
        }),
        Frame::SyncDone(SyncDone {
            more: false,
            rid: 1,
            cursor: 3,
        }),
        Frame::Reset(Reset {
            epoch: 3,
            reason: 1,
            head: 4,
        }),
        Frame::History(History {
            rid: 8,
            conversation,
            from: From::Before(u64::MAX),
            limit: 10,
        }),
        Frame::HistoryPage(HistoryPage {
            end: true,
            rid: 8,
            records: Records::from_encoded(&record),
        }),
        Frame::Ignored(Ignored {
            kind: 0x8A,
            body: &[1, 2, 3],
        }),
    ];
    let mut encoded: Vec<Vec<u8>> = frames
        .iter()
        .filter(|frame| {
            !matches!(
                frame,
                Frame::Ignored(_) | Frame::Deliver(_) | Frame::HistoryPage(_)
            )
        })
        .map(|frame| {
            let mut bytes = Vec::new();
            encode(frame, &mut bytes);
            bytes
        })
        .collect();
    encoded.push(vec![0x8A, 3, 1, 2, 3]);
    encoded
}

/// `count` connections that are each bad in one of the ways below, one after the other.
fn run_bad(listen: SocketAddr, token: &[u8], source: usize, count: usize) {
    let mut random = 0x9E37_79B9_7F4A_7C15 ^ source as u64;
    for round in 0..count {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let from = 2 + (source * 8 + round / 5_000) % 250;
        let mut stream = connect_from(from, listen);
        let _ = bad(&mut stream, token, random >> 33);
    }
}

/// Errors are the server's right: it may close at any moment.
fn bad(stream: &mut TcpStream, token: &[u8], random: u64) -> std::io::Result<()> {
    let noise = random.to_le_bytes();
    match random % 9 {
        0 => {}
        1 => stream.write_all(&noise)?,
        2 => stream.write_all(&PREFACE[..3])?,
        3 => stream.write_all(&[&PREFACE[..], &noise, &noise].concat())?,
        4 => stream.write_all(&[&PREFACE[..], &[0x03, 0xFF, 0xFF, 0x7F]].concat())?,
        5 => stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?,
        6 => stream.write_all(&first_words(&hello(1, b"not.a.token", None)))?,
        7 => stream.write_all(&first_words(&hello(1, &token[..token.len() / 2], None)))?,
        _ => {
            let mut bytes = first_words(&hello(1_000 + random % 16, token, None));
            bytes.extend_from_slice(&[0x7E, 0x02, 0, 0]);
            stream.write_all(&bytes)?;
        }
    }
    if random & 0x100 != 0 {
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let read = stream.read_to_end(&mut Vec::new());
        let timed_out = read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "the server left a bad connection open");
    }
    Ok(())
}

fn first_words(hello: &millpond_wire::Hello<'_>) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    encode(&Frame::Hello(hello.clone()), &mut bytes);
    bytes
}

/// Many source addresses, so that closed connections do not use up the ports of one.
fn connect_from(last_byte: usize, to: SocketAddr) -> TcpStream {
    let last_byte = u8::try_from(last_byte).expect("below 256");
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from(([127, 0, 0, last_byte], 0)).into())
        .expect("a loopback address");
    socket.connect(&to.into()).expect("the server accepts");
    socket.into()
}

/// How long one ECHO takes.
fn echo(peer: &mut Peer) -> Duration {
    let start = Instant::now();
    peer.tell(&Frame::Echo(Echo {
        payload: b"still there?",
    }));
    peer.expect("ECHOED", |frame| {
        matches!(frame, Frame::Echoed(_)).then_some(())
    });
    start.elapsed()
}
