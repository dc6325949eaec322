//! Few and named by behaviour: a gateway on real rings and real sockets.

use super::mill::{Mill, keys, token, user};
use crate::{Config, Gateway, Limits, Seams, prepare};
use millpond_backplane::mesh;
use millpond_backplane::metrics::Source;
use millpond_wire::{
    Code, Conversation, CursorAck, Decoded, Deliver, DeviceId, Echo, Error, Frame, From, Hello,
    History, Kind, PREFACE, Ping, Resume, Scope, Send, Sync, UserId, decode, encode,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Running {
    gateway: Gateway,
    mill: Arc<Mill>,
    address: SocketAddr,
}

fn start(shards: u16) -> Running {
    start_with(shards, |_| {})
}

fn start_with(shards: u16, change: impl FnOnce(&mut Limits)) -> Running {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), keys());
    config.shards = shards;
    config.limits.connections_max = 500;
    change(&mut config.limits);
    let prepared = prepare(config).unwrap();
    let address = prepared.local_addr();
    let bells = prepared.bells();
    let (links, downlinks) = bells
        .into_iter()
        .map(|bell| mesh::channel(1_000, bell))
        .unzip();
    let mill = Mill::new(links);
    let seams = Seams {
        appenders: (0..shards).map(|_| mill.appender(1_000)).collect(),
        downlinks,
        store: Arc::clone(&mill.store) as _,
        routes: Arc::clone(&mill.routes) as _,
        link: None,
    };
    let gateway = prepared.start(seams).unwrap();
    Running {
        gateway,
        mill,
        address,
    }
}

impl Running {
    fn stop(self) {
        self.gateway.drain(Duration::ZERO);
        self.gateway.join(Duration::from_secs(10)).unwrap();
    }

    fn value(&self, name: &str, label: &str) -> String {
        // Counts are shown once per tick.
        std::thread::sleep(2 * crate::wheel::TICK);
        let mut samples = Vec::new();
        self.gateway.samples(&mut samples);
        let named = samples.iter().filter(|sample| {
            let labelled = sample.labels.iter().any(|(_, value)| value == label);
            sample.name == name && (label.is_empty() || labelled)
        });
        named.map(|sample| sample.value).sum::<f64>().to_string()
    }
}

/// A client that blocks, and sees frames one at a time.
struct Client {
    socket: TcpStream,
    bytes: Vec<u8>,
    at: usize,
}

impl Client {
    fn raw(running: &Running) -> Self {
        let socket = TcpStream::connect(running.address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self {
            socket,
            bytes: Vec::new(),
            at: 0,
        }
    }

    fn hello(running: &Running, id: u64, attempt: u32, resume: Option<Resume<'_>>) -> Self {
        let mut client = Self::raw(running);
        client.socket.write_all(&PREFACE).unwrap();
        client.say(&hello(&token(user(id)), attempt, resume));
        client
    }

    fn welcomed(running: &Running, id: u64, attempt: u32) -> Self {
        let mut client = Self::hello(running, id, attempt, None);
        client.expect(|frame| assert!(matches!(frame, Frame::Welcome(_)), "{frame:?}"));
        client
    }

    fn say(&mut self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    fn expect<T>(&mut self, see: impl FnOnce(&Frame<'_>) -> T) -> T {
        loop {
            if let Decoded::Frame(frame, bytes) = decode(&self.bytes[self.at..], 1 << 18).unwrap() {
                self.at += bytes;
                return see(&frame);
            }
            let mut more = [0; 4096];
            let read = self.socket.read(&mut more).unwrap();
            assert!(read > 0, "the server closed");
            self.bytes.extend(&more[..read]);
        }
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty() && self.at == self.bytes.len(), "{rest:?}");
    }

    fn expect_error(&mut self, code: Code) {
        self.expect(|frame| match frame {
            Frame::Error(Error { code: told, .. }) => assert_eq!(*told, code),
            other => panic!("{other:?} instead of {code:?}"),
        });
        self.expect_end();
    }

    fn send(&mut self, id: u64, to: UserId, payload: &[u8]) {
        self.say(&Frame::Send(Send {
            client_msg_id: id,
            conversation: Conversation::Direct(to),
            after: None,
            kind: Kind::TEXT,
            payload,
        }));
    }

    fn sync(&mut self, cursor: u64) {
        self.say(&Frame::Sync(Sync {
            rid: 1,
            epoch: 1,
            cursor,
            max_bytes: 0,
        }));
    }
}

fn hello<'a>(token: &'a str, attempt: u32, resume: Option<Resume<'a>>) -> Frame<'a> {
    Frame::Hello(Hello {
        background: false,
        no_push: false,
        proto_min: 1,
        proto_max: 1,
        features: 0,
        device: DeviceId(1),
        attempt,
        auth_kind: Hello::AUTH_JWT,
        token: token.as_bytes(),
        agent: "test",
        max_frame: 0,
        window: 0,
        resume,
    })
}

fn delivered(frame: &Frame<'_>) -> (u64, Vec<Vec<u8>>) {
    let Frame::Deliver(Deliver {
        first_cursor,
        records,
        ..
    }) = frame
    else {
        panic!("{frame:?} instead of DELIVER")
    };
    let payloads = records.iter().map(|record| record.payload.to_vec());
    (*first_cursor, payloads.collect())
}

#[test]
fn a_message_goes_up_comes_down_and_is_there_after_a_reconnect() {
    let running = start(2);
    let mut ann = Client::welcomed(&running, 1, 1);
    let mut bob = Client::welcomed(&running, 2, 1);
    bob.sync(0);
    bob.expect(|frame| assert!(matches!(frame, Frame::SyncDone(done) if !done.more)));
    ann.send(11, user(2), b"hello");
    ann.expect(|frame| {
        let Frame::SendAck(ack) = frame else {
            panic!("{frame:?}")
        };
        let acks: Vec<_> = ack
            .acks
            .iter()
            .map(|ack| (ack.client_msg_id, ack.seq))
            .collect();
        assert_eq!(acks, [(11, 1)]);
    });
    assert_eq!(bob.expect(delivered), (1, vec![b"hello".to_vec()]));
    bob.say(&Frame::CursorAck(CursorAck { cursor: 1 }));
    bob.say(&Frame::Echo(Echo { payload: b"done" }));
    bob.expect(|frame| assert!(matches!(frame, Frame::Echoed(_))));
    drop(bob);
    ann.send(12, user(2), b"again");
    ann.expect(|frame| assert!(matches!(frame, Frame::SendAck(_))));
    let resume = Resume {
        token: &[],
        epoch: 1,
        cursor: 1,
    };
    let mut bob = Client::hello(&running, 2, 2, Some(resume));
    bob.expect(|frame| assert!(matches!(frame, Frame::Welcome(welcome) if welcome.resumed)));
    assert_eq!(bob.expect(delivered), (2, vec![b"again".to_vec()]));
    bob.expect(|frame| {
        let Frame::SyncDone(done) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!((done.rid, done.cursor, done.more), (0, 2, false));
    });
    assert_eq!(running.mill.acked(user(2), DeviceId(1)), Some(1));
    ann.send(13, user(2), b"live");
    assert_eq!(bob.expect(delivered), (3, vec![b"live".to_vec()]));
    bob.say(&Frame::History(History {
        rid: 9,
        conversation: Conversation::Direct(user(1)),
        from: From::Before(u64::MAX),
        limit: 2,
    }));
    bob.expect(|frame| {
        let Frame::HistoryPage(page) = frame else {
            panic!("{frame:?}")
        };
        let seqs: Vec<_> = page.records.iter().map(|record| record.seq).collect();
        assert_eq!((page.rid, seqs), (9, vec![3, 2]));
    });
    running.stop();
}

#[test]
fn the_newer_connection_of_a_device_wins_and_the_older_is_told() {
    let running = start(1);
    let mut old = Client::welcomed(&running, 1, 5);
    let mut new = Client::welcomed(&running, 1, 6);
    old.expect_error(Code::REPLACED);
    let mut late = Client::hello(&running, 1, 4, None);
    late.expect_error(Code::REPLACED);
    new.say(&Frame::Ping(Ping { cursor: None }));
    new.expect(|frame| assert!(matches!(frame, Frame::Pong(_))));
    running.stop();
}

#[test]
fn frames_behind_hello_wait_for_it_and_bad_ones_are_told_why() {
    let running = start(1);
    let mut eager = Client::hello(&running, 1, 1, None);
    eager.send(1, user(1), b"note");
    eager.say(&Frame::Echo(Echo { payload: b"x" }));
    eager.expect(|frame| assert!(matches!(frame, Frame::Welcome(_)), "{frame:?}"));
    let mut seen = [false; 2];
    for _ in 0..2 {
        eager.expect(|frame| match frame {
            Frame::SendAck(_) => seen[0] = true,
            Frame::Echoed(_) => seen[1] = true,
            other => panic!("{other:?}"),
        });
    }
    eager.socket.write_all(&[0x7e, 0]).unwrap();
    eager.expect_error(Code::UNSUPPORTED_FRAME);

    let mut silent = Client::raw(&running);
    silent.socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    silent.expect_end();
    let mut rude = Client::raw(&running);
    rude.socket.write_all(&PREFACE).unwrap();
    rude.say(&Frame::Echo(Echo { payload: b"x" }));
    rude.expect_error(Code::NOT_AUTHENTICATED);
    let mut forger = Client::raw(&running);
    forger.socket.write_all(&PREFACE).unwrap();
    forger.say(&hello("not.a.token", 1, None));
    forger.expect_error(Code::TOKEN_INVALID);
    assert_eq!(running.value("gateway_closed_total", "no_preface"), "1");
    running.stop();
}

#[test]
fn a_busy_echo_is_streamed_and_keeps_its_order() {
    let running = start(1);
    let mut client = Client::welcomed(&running, 1, 1);
    for round in 0..300_u32 {
        let payload = vec![u8::try_from(round % 251).unwrap(); (round as usize * 37) % 4_000];
        client.say(&Frame::Echo(Echo { payload: &payload }));
        client.expect(|frame| match frame {
            Frame::Echoed(echoed) => assert_eq!(echoed.payload, payload),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(running.value("gateway_hot_connections", ""), "1");
    running.stop();
}

#[test]
fn draining_says_goodbye_to_all_and_refuses_newcomers() {
    let running = start(2);
    let mut clients: Vec<_> = (1..20)
        .map(|id| Client::welcomed(&running, id, 1))
        .collect();
    running.gateway.drain(Duration::from_millis(500));
    for client in &mut clients {
        client.expect(|frame| match frame {
            Frame::GoAway(away) => assert_eq!((away.code, away.spread_ms), (Code::DRAINING, 500)),
            other => panic!("{other:?}"),
        });
        client.expect_end();
    }
    assert!(TcpStream::connect(running.address).is_err());
    let address = running.address;
    running.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn sixty_large_messages_at_once_reach_their_reader_in_frames_it_takes() {
    let running = start(1);
    let mut ann = Client::welcomed(&running, 1, 1);
    let mut bob = Client::welcomed(&running, 2, 1);
    bob.sync(0);
    bob.expect(|frame| assert!(matches!(frame, Frame::SyncDone(done) if !done.more)));
    let mut burst = Vec::new();
    for id in 1..=60 {
        let message = Frame::Send(Send {
            client_msg_id: id,
            conversation: Conversation::Direct(user(2)),
            after: None,
            kind: Kind::TEXT,
            payload: &[7; 61_440],
        });
        encode(&message, &mut burst);
    }
    ann.socket.write_all(&burst).unwrap();
    let mut cursor = 0;
    while cursor < 60 {
        let before = bob.at;
        let (first, payloads) = bob.expect(delivered);
        assert!(
            bob.at - before <= 65_536 + 4,
            "a frame of {} bytes",
            bob.at - before
        );
        assert_eq!(first, cursor + 1);
        cursor += payloads.len() as u64;
    }
    running.stop();
}

#[test]
fn a_send_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let running = start(1);
    let mut client = Client::welcomed(&running, 1, 1);
    client.send(4, user(2), &vec![0; 61_441]);
    client.expect(|frame| match frame {
        Frame::Error(error) => {
            assert_eq!(
                (error.code, error.scope),
                (Code::TOO_LARGE, Scope::Message(4))
            );
        }
        other => panic!("{other:?}"),
    });
    client.send(5, user(2), &vec![0; 61_440]);
    client.expect(|frame| assert!(matches!(frame, Frame::SendAck(_)), "{frame:?}"));
    running.stop();
}

/// HELLO with a resume token in place of a JWT.
fn hello_again(token: &[u8], device: u64, attempt: u32) -> Frame<'_> {
    let resume = Resume {
        token,
        epoch: 1,
        cursor: 0,
    };
    let Frame::Hello(hello) = hello("", attempt, Some(resume)) else {
        unreachable!("it makes a HELLO")
    };
    Frame::Hello(Hello {
        auth_kind: Hello::AUTH_RESUME,
        device: DeviceId(device),
        ..hello
    })
}

#[test]
fn what_welcome_gave_lets_its_device_in_again_and_nobody_else() {
    let running = start(1);
    let resume_token = |client: &mut Client| {
        client.expect(|frame| match frame {
            Frame::Welcome(welcome) => welcome.resume_token.to_vec(),
            other => panic!("{other:?} instead of WELCOME"),
        })
    };
    let mut first = Client::hello(&running, 1, 1, None);
    let sealed = resume_token(&mut first);
    let come_back = |token: &[u8], device, attempt| {
        let mut client = Client::raw(&running);
        client.socket.write_all(&PREFACE).unwrap();
        client.say(&hello_again(token, device, attempt));
        client
    };
    let mut again = come_back(&sealed, 1, 2);
    let sealed_again = resume_token(&mut again);
    first.expect_error(Code::REPLACED);
    let mut once_more = come_back(&sealed_again, 1, 3);
    resume_token(&mut once_more);
    for (token, device) in [
        (&sealed[..], 2),
        (&sealed[..sealed.len() - 1], 1),
        (&[][..], 1),
        (&[7; 61][..], 1),
        (token(user(1)).as_bytes(), 1),
    ] {
        come_back(token, device, 4).expect_error(Code::SESSION_EXPIRED);
    }
    running.stop();
}

/// More connections than may ask at a time assert their routes when all were lost, without a heartbeat.
#[test]
fn all_routes_are_put_again_when_they_were_lost() {
    const USERS: u64 = 100;
    let running = start_with(2, |limits| {
        limits.lease_renewal = Duration::from_millis(100);
        limits.page_readers = 1;
    });
    let mut clients: Vec<_> = (1..=USERS)
        .map(|id| Client::welcomed(&running, id, 1))
        .collect();
    for client in &mut clients {
        client.sync(0);
        client.expect(|frame| assert!(matches!(frame, Frame::SyncDone(_)), "{frame:?}"));
    }
    let all = running.mill.routes();
    assert_eq!(all.len() as u64, USERS);
    for _ in 0..2 {
        running.mill.routes.forget();
        let until = Instant::now() + Duration::from_secs(10);
        while running.mill.routes() != all {
            assert!(
                Instant::now() < until,
                "{} are back",
                running.mill.routes().len()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(running.value("gateway_routes_lost_total", ""), "2");
    running.stop();
}
