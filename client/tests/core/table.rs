//! State × event, as a reviewed snapshot: what the client does in each phase of its life about each thing that happens.

use crate::server::{DEVICE, welcome};
use crate::world::{at, direct};
use millpond_client::{
    Code, Config, Core, DeviceId, Event, From, Kind, Now, Origin, Phase, Position, Saved,
    TokenError, Wish,
};
use millpond_wire::{
    Decoded, Deliver, Error, Frame, GoAway, Mode, PREFACE, Ping, Pong, Record, Records, Reset,
    Scope, SyncDone, decode, encode, encode_record,
};
use std::fmt::Write;
use std::time::Duration;

pub(crate) const STATES: [&str; 9] = [
    "resting",
    "token",
    "connecting",
    "handshaking",
    "syncing",
    "live",
    "leaving",
    "backoff",
    "stopped",
];

type Input = (&'static str, Box<dyn Fn(&mut Core, Now)>);

#[test]
fn state_times_event() {
    let mut table = String::new();
    for state in STATES {
        writeln!(table, "{state}").unwrap();
        for (name, input) in inputs() {
            let (mut core, now) = core_in(state);
            drain(&mut core);
            input(&mut core, now);
            let outcome = drain(&mut core);
            let phase = core.phase();
            writeln!(table, "    {name:24} → {phase:?}{outcome}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

pub(crate) fn core_in(state: &str) -> (Core, Now) {
    let saved = Saved {
        position: (state != "syncing").then_some(Position {
            epoch: 5,
            cursor: 10,
        }),
        ..Saved::fresh(DEVICE)
    };
    let token = if state == "token" {
        Vec::new()
    } else {
        b"jwt".to_vec()
    };
    let mut core = Core::new(Config::default(), saved, Some(token), 1, at(Duration::ZERO));
    let now = at(Duration::from_secs(1));
    if state == "resting" {
        return (core, now);
    }
    core.start(now);
    if matches!(state, "token" | "connecting") {
        return (core, now);
    }
    core.connected(now);
    if state == "handshaking" {
        return (core, now);
    }
    feed(
        &mut core,
        &Frame::Welcome(welcome(5, state != "syncing", false)),
        now,
    );
    if state == "syncing" {
        return (core, now);
    }
    let (more, rid, cursor) = (false, 0, 10);
    feed(
        &mut core,
        &Frame::SyncDone(SyncDone { more, rid, cursor }),
        now,
    );
    match state {
        "leaving" => feed(&mut core, &go_away(Code::DRAINING), now),
        "backoff" => core.disconnected(None, now),
        "stopped" => core.close(now),
        _ => assert_eq!(core.phase(), Phase::Live),
    }
    (core, now)
}

fn inputs() -> Vec<Input> {
    let mut inputs: Vec<Input> = vec![
        ("start", Box::new(Core::start)),
        ("connected", Box::new(Core::connected)),
        (
            "disconnected",
            Box::new(|core, now| core.disconnected(None, now)),
        ),
        (
            "token",
            Box::new(|core, now| core.token(Ok(b"new".to_vec()), now)),
        ),
        (
            "no token now",
            Box::new(|core, now| core.token(Err(TokenError::Retry(String::new())), now)),
        ),
        (
            "no token ever",
            Box::new(|core, now| core.token(Err(TokenError::Stop(String::new())), now)),
        ),
        (
            "40 s pass",
            Box::new(|core, now| core.tick(at(now.mono + Duration::from_secs(40)))),
        ),
        ("disconnect", Box::new(Core::disconnect)),
        ("close", Box::new(Core::close)),
        ("probe", Box::new(Core::probe)),
        (
            "storage fails",
            Box::new(|core, _| core.storage_failed(String::new())),
        ),
        (
            "enqueue",
            Box::new(|core, now| {
                let _refused_when_stopped =
                    core.enqueue(direct(2), Kind::TEXT, b"x".to_vec(), false, now);
            }),
        ),
        (
            "history",
            Box::new(|core, now| {
                let _refused_when_stopped =
                    core.history(direct(2), From::Before(u64::MAX), 10, now);
            }),
        ),
        (
            "garbage",
            Box::new(|core, now| core.received(&[0x7e, 1, 2], now)),
        ),
    ];
    for (name, frame) in frames() {
        inputs.push((name, Box::new(move |core, now| core.received(&frame, now))));
    }
    inputs
}

pub(crate) fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let code = |code| Frame::Error(error(code));
    let (epoch, reason, head) = (6, Reset::EPOCH, 3);
    let frames = [
        ("WELCOME", Frame::Welcome(welcome(5, false, false))),
        ("WELCOME resumed", Frame::Welcome(welcome(5, true, false))),
        ("WELCOME reset", Frame::Welcome(welcome(6, false, true))),
        ("PING", Frame::Ping(Ping { cursor: None })),
        ("PONG", Frame::Pong(Pong { server_ms: Some(1) })),
        (
            "SYNC_DONE of another",
            Frame::SyncDone(SyncDone {
                more: false,
                rid: 99,
                cursor: 10,
            }),
        ),
        (
            "SYNC_DONE more",
            Frame::SyncDone(SyncDone {
                more: true,
                rid: 1,
                cursor: 0,
            }),
        ),
        (
            "SYNC_DONE",
            Frame::SyncDone(SyncDone {
                more: false,
                rid: 1,
                cursor: 0,
            }),
        ),
        (
            "RESET",
            Frame::Reset(Reset {
                epoch,
                reason,
                head,
            }),
        ),
        ("GOAWAY 3001", go_away(Code::DRAINING)),
        ("GOAWAY 6001", go_away(Code::REPLACED)),
        ("ERROR 1002", code(Code::FORBIDDEN)),
        ("ERROR 2001", code(Code::BUSY)),
        ("ERROR 3005", code(Code::INTERNAL)),
        ("ERROR 4001", code(Code::UNKNOWN_EPOCH)),
        ("ERROR 5001", code(Code::TOKEN_EXPIRED)),
        ("ERROR 6001", code(Code::REPLACED)),
        ("ERROR 7001", code(Code::MALFORMED)),
        (
            "SYNC from a server",
            Frame::Sync(millpond_wire::Sync {
                rid: 1,
                epoch: 5,
                cursor: 1,
                max_bytes: 0,
            }),
        ),
    ];
    let mut all: Vec<_> = frames
        .iter()
        .map(|(name, frame)| (*name, bytes(frame)))
        .collect();
    all.push(("DELIVER next", deliver(11)));
    all.push(("DELIVER known", deliver(10)));
    all.push(("DELIVER gap", deliver(13)));
    all
}

fn error(code: Code) -> Error<'static> {
    Error {
        code,
        scope: Scope::Connection,
        retry_after_ms: 0,
        message: "",
    }
}

fn go_away(code: Code) -> Frame<'static> {
    Frame::GoAway(GoAway {
        resume_ok: true,
        overlap: false,
        code,
        after_ms: 5000,
        spread_ms: 0,
        endpoint: "",
    })
}

pub(crate) fn deliver(first_cursor: u64) -> Vec<u8> {
    delivery(first_cursor, None)
}

pub(crate) fn own(first_cursor: u64, device: DeviceId, client_msg_id: u64) -> Vec<u8> {
    let origin = Origin {
        device,
        client_msg_id,
    };
    delivery(first_cursor, Some(origin))
}

fn delivery(first_cursor: u64, origin: Option<Origin>) -> Vec<u8> {
    let mut records = Vec::new();
    let record = Record {
        kind: Kind::TEXT,
        origin,
        stub: false,
        counts: true,
        conversation: direct(2),
        seq: 4,
        sender: None,
        server_ms: 1,
        payload: b"x",
    };
    encode_record(&record, &mut records);
    let records = Records::from_encoded(&records);
    bytes(&Frame::Deliver(Deliver {
        mode: Mode::Live,
        first_cursor,
        records,
    }))
}

pub(crate) fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    bytes
}

fn feed(core: &mut Core, frame: &Frame<'_>, now: Now) {
    core.received(&bytes(frame), now);
}

/// Everything the core wants now, as words.
fn drain(core: &mut Core) -> String {
    let mut words = String::new();
    while let Some(wish) = core.poll_wish() {
        words.push_str(match wish {
            Wish::Connect { .. } => ", connect",
            Wish::Close { ref last_words } if last_words.is_empty() => ", close",
            Wish::Close { .. } => ", close with last words",
            Wish::Token => ", ask for a token",
        });
    }
    while let Some(reply) = core.poll_reply() {
        write!(words, ", reply {reply:?}").unwrap();
    }
    while let Some(polled) = core.poll_event() {
        words.push_str(&event(&polled.event));
    }
    write_frames(&core.take_output(), &mut words);
    words
}

fn event(event: &Event) -> String {
    match event {
        Event::Disconnected { why, .. } => format!(", event Disconnected {why:?}"),
        Event::Message(message) => format!(", event Message {}", message.cursor),
        Event::Reset { epoch, head, .. } => format!(", event Reset {epoch} {head}"),
        Event::Connected { .. }
        | Event::Synced
        | Event::Sent(_)
        | Event::Failed { .. }
        | Event::Receipt { .. }
        | Event::Stopped { .. } => format!(", event {event:?}"),
    }
}

fn write_frames(output: &[u8], words: &mut String) {
    let mut rest = output.strip_prefix(&PREFACE).unwrap_or(output);
    while let Ok(Decoded::Frame(frame, bytes)) = decode(rest, 65_536) {
        let name = frame.tag().unwrap().name();
        write!(words, ", write {name}").unwrap();
        match frame {
            Frame::Sync(sync) => write!(words, " from {}", sync.cursor).unwrap(),
            Frame::Hello(hello) if hello.resume.is_some() => words.push_str(" to resume"),
            _ => {}
        }
        rest = &rest[bytes..];
    }
}
