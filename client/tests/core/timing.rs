//! When things happen: acknowledgements, marks, heartbeats, ways back.

use crate::server::DEVICE;
use crate::table::{bytes, core_in, deliver};
use crate::world::{at, direct};
use millpond_client::{Code, Core, Event, From, Now, Phase, Reply, RequestError, Wish};
use millpond_wire::{Decoded, Error, Frame, GoAway, HistoryPage, Pong, Records, Scope, decode};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn later(now: Now, by: Duration) -> Now {
    at(now.mono + by)
}

/// The frames written since the last call, as their names with what matters.
fn written(core: &mut Core) -> Vec<String> {
    let output = core.take_output();
    let mut rest = &output[..];
    let mut names = Vec::new();
    while let Ok(Decoded::Frame(frame, bytes)) = decode(rest, 65_536) {
        names.push(match &frame {
            Frame::CursorAck(ack) => format!("CURSOR_ACK {}", ack.cursor),
            Frame::Ping(ping) => format!("PING {:?}", ping.cursor),
            Frame::Receipt(receipt) => {
                let marks = receipt.marks.iter().map(|mark| mark.up_to.to_string());
                format!("RECEIPT {}", marks.collect::<Vec<_>>().join(" "))
            }
            other => other.tag().unwrap().name().to_owned(),
        });
        rest = &rest[bytes..];
    }
    assert!(rest.is_empty());
    names
}

/// A live client at cursor 10, with nothing pending.
fn live() -> (Core, Now) {
    let (mut core, now) = core_in("live");
    let now = later(now, 2 * SECOND);
    core.tick(now);
    take_events(&mut core, now);
    core.take_output();
    (core, now)
}

fn take_events(core: &mut Core, now: Now) {
    while let Some(polled) = core.poll_event() {
        if let Some(taken) = polled.taken {
            core.take(taken, now);
        }
    }
}

#[test]
fn a_cursor_is_acknowledged_after_16_records_or_a_second_and_never_before_the_application_is_through()
 {
    let (mut core, now) = live();
    core.received(&deliver(11), now);
    core.tick(later(now, 5 * SECOND));
    assert!(
        written(&mut core).is_empty(),
        "the application has not taken it"
    );
    take_events(&mut core, now);
    core.tick(later(now, SECOND - Duration::from_millis(1)));
    assert!(written(&mut core).is_empty());
    assert_eq!(core.deadline(), Some(now.mono + SECOND));
    core.tick(later(now, SECOND));
    assert_eq!(written(&mut core), ["CURSOR_ACK 11"]);

    let now = later(now, SECOND);
    for cursor in 12..28 {
        core.received(&deliver(cursor), now);
        take_events(&mut core, now);
    }
    assert_eq!(written(&mut core), ["CURSOR_ACK 27"]);
}

#[test]
fn read_marks_are_collected_and_repeated_unless_a_later_ping_was_answered() {
    let (mut core, now) = live();
    assert!(core.mark_read(direct(2), 4, now));
    assert!(core.mark_read(direct(2), 6, now));
    assert!(core.mark_read(direct(2), 5, now));
    core.tick(later(now, Duration::from_millis(299)));
    assert!(written(&mut core).is_empty());
    core.tick(later(now, Duration::from_millis(300)));
    assert_eq!(written(&mut core), ["RECEIPT 6"]);

    let again = reconnected(core, later(now, SECOND));
    assert!(again.contains(&"RECEIPT 6".to_owned()), "{again:?}");
    let (mut core, now) = live();
    assert!(core.mark_read(direct(2), 6, now));
    core.tick(later(now, SECOND));
    core.probe(later(now, SECOND));
    core.received(
        &bytes(&Frame::Pong(Pong { server_ms: None })),
        later(now, SECOND),
    );
    let again = reconnected(core, later(now, SECOND));
    assert!(!again.contains(&"RECEIPT 6".to_owned()), "{again:?}");
}

#[test]
fn marks_that_found_no_room_are_repeated_each_first_in_turn() {
    let (mut core, mut now) = live();
    for (peer, seq) in [(2, 20), (3, 30), (4, 40)] {
        assert!(core.mark_read(direct(peer), seq, now));
    }
    let mut sent = Vec::new();
    for _ in 0..4 {
        now = later(now, SECOND);
        core.tick(now);
        sent.extend(written(&mut core));
        core.received(&bytes(&Frame::Error(marks_refused())), now);
        assert!(written(&mut core).is_empty(), "not at once");
    }
    let wanted = ["20 30 40", "30 40 20", "40 20 30", "20 30 40"];
    assert_eq!(sent, wanted.map(|marks| format!("RECEIPT {marks}")));
}

#[test]
fn a_refusal_of_marks_brings_back_nothing_that_a_pong_has_proven() {
    let (mut core, now) = live();
    assert!(core.mark_read(direct(2), 6, now));
    core.tick(later(now, SECOND));
    core.probe(later(now, SECOND));
    let pong = Frame::Pong(Pong { server_ms: None });
    core.received(&bytes(&pong), later(now, SECOND));
    written(&mut core);
    core.received(&bytes(&Frame::Error(marks_refused())), later(now, SECOND));
    core.tick(later(now, 9 * SECOND));
    assert!(
        !written(&mut core)
            .iter()
            .any(|it| it.starts_with("RECEIPT"))
    );
}

#[test]
fn a_receipt_holds_no_more_marks_than_count() {
    let (mut core, now) = live();
    for peer in 1..=40 {
        assert!(core.mark_read(direct(peer), 1, now));
    }
    core.tick(later(now, SECOND));
    let counts = written(&mut core);
    let marks: Vec<_> = counts.iter().map(|it| it.matches(" 1").count()).collect();
    assert_eq!(marks, [32, 8]);
}

fn marks_refused() -> Error<'static> {
    Error {
        code: Code::BUSY,
        scope: Scope::Request(0),
        retry_after_ms: 100,
        message: "busy",
    }
}

/// What is written within a second of the next connection.
fn reconnected(mut core: Core, now: Now) -> Vec<String> {
    core.disconnected(None, now);
    let now = later(now, 40 * SECOND);
    core.tick(now);
    core.connected(now);
    core.take_output();
    let welcome = crate::server::welcome(5, true, false);
    core.received(&bytes(&Frame::Welcome(welcome)), now);
    core.tick(later(now, SECOND));
    written(&mut core)
}

#[test]
fn a_ping_goes_out_on_the_interval_of_welcome_and_silence_after_it_is_death() {
    let (mut core, now) = core_in("live");
    core.take_output();
    take_events(&mut core, now);
    // The first acknowledgement of a resumed connection has its second.
    core.tick(later(now, SECOND));
    core.take_output();
    core.tick(later(now, 30 * SECOND - Duration::from_millis(1)));
    assert!(written(&mut core).is_empty());
    core.tick(later(now, 30 * SECOND));
    assert_eq!(written(&mut core), ["PING Some(10)"]);
    core.tick(later(now, 40 * SECOND - Duration::from_millis(1)));
    assert_eq!(core.phase(), Phase::Live);
    core.tick(later(now, 40 * SECOND));
    assert_eq!(core.phase(), Phase::Waiting);
}

#[test]
fn an_application_that_wakes_up_learns_within_three_seconds_that_the_connection_is_dead() {
    let (mut core, now) = live();
    let now = later(now, 10 * SECOND);
    core.probe(now);
    assert_eq!(written(&mut core), ["PING Some(10)"]);
    core.tick(later(now, 3 * SECOND));
    assert_eq!(core.phase(), Phase::Waiting);
}

#[test]
fn a_goaway_is_followed_at_its_time_and_to_its_place() {
    for seed in 0..50 {
        let (mut core, now) = live();
        let now = later(now, Duration::from_millis(seed));
        while core.poll_wish().is_some() {}
        let away = GoAway {
            resume_ok: true,
            overlap: false,
            code: Code::DRAINING,
            after_ms: 5000,
            spread_ms: 10_000,
            endpoint: "elsewhere:1",
        };
        core.received(&bytes(&Frame::GoAway(away)), now);
        let due = core.deadline().unwrap() - now.mono;
        assert!((5 * SECOND..=15 * SECOND).contains(&due), "{due:?}");
        let now = later(now, due);
        core.tick(now);
        core.tick(now);
        assert_eq!(
            core.poll_wish(),
            Some(Wish::Close {
                last_words: Vec::new()
            })
        );
        let endpoint = Some("elsewhere:1".to_owned());
        assert_eq!(core.poll_wish(), Some(Wish::Connect { endpoint }));
    }
}

#[test]
fn the_servers_word_when_to_come_back_holds() {
    let (mut core, now) = live();
    let error = Error {
        code: Code::BUSY,
        scope: Scope::Connection,
        retry_after_ms: 60_000,
        message: "",
    };
    core.received(&bytes(&Frame::Error(error)), now);
    let due = core.deadline().unwrap() - now.mono;
    assert!((60 * SECOND..=61 * SECOND).contains(&due), "{due:?}");
}

#[test]
fn a_refused_token_is_replaced_before_the_next_connection() {
    let (mut core, now) = live();
    while core.poll_wish().is_some() {}
    let error = Error {
        code: Code::TOKEN_EXPIRED,
        scope: Scope::Connection,
        retry_after_ms: 0,
        message: "",
    };
    core.received(&bytes(&Frame::Error(error)), now);
    let now = later(now, SECOND);
    core.tick(now);
    assert_eq!(
        core.poll_wish(),
        Some(Wish::Close {
            last_words: Vec::new()
        })
    );
    assert_eq!(core.poll_wish(), Some(Wish::Token));
    core.token(Ok(b"tokens".to_vec()), now);
    assert_eq!(core.poll_wish(), Some(Wish::Connect { endpoint: None }));
    core.connected(now);
    let shown = format!("{core:?}");
    let bytes_shown = format!("{:?}", b"tokens").replace(['[', ']'], "");
    assert!(!shown.contains("tokens") && !shown.contains(&bytes_shown));
    let output = core.take_output();
    assert!(output.windows(6).any(|bytes| bytes == b"tokens"));
}

#[test]
fn a_page_of_history_is_asked_for_until_it_comes_or_its_time_is_over() {
    let (mut core, now) = live();
    let rid = core
        .history(direct(2), From::Before(u64::MAX), 10, now)
        .unwrap();
    assert_eq!(written(&mut core), ["HISTORY"]);
    let busy = Error {
        code: Code::UNAVAILABLE,
        scope: Scope::Request(rid),
        retry_after_ms: 700,
        message: "",
    };
    core.received(&bytes(&Frame::Error(busy)), now);
    core.tick(later(now, Duration::from_millis(699)));
    assert!(written(&mut core).is_empty());
    core.tick(later(now, Duration::from_millis(700)));
    assert_eq!(written(&mut core), ["HISTORY"]);

    let end = true;
    let records = Records::from_encoded(&[]);
    core.received(
        &bytes(&Frame::HistoryPage(HistoryPage { end, rid, records })),
        later(now, SECOND),
    );
    assert!(matches!(core.poll_reply(), Some(Reply::Page { page, .. }) if page.end));
    let rid = core.history(direct(2), From::After(3), 10, now).unwrap();
    core.tick(later(now, 15 * SECOND));
    let error = RequestError::Timeout;
    assert_eq!(core.poll_reply(), Some(Reply::Refused { rid, error }));
}

#[test]
fn waits_grow_while_a_server_refuses_and_start_again_after_a_stable_connection() {
    let (mut core, mut now) = core_in("connecting");
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        core.disconnected(Some("refused".to_owned()), now);
        let due = core.deadline().unwrap();
        assert!(due - now.mono <= 30 * SECOND);
        longest = longest.max(due - now.mono);
        now = at(due);
        core.tick(now);
    }
    assert!(longest > 10 * SECOND, "{longest:?}");
    core.connected(now);
    core.received(
        &bytes(&Frame::Welcome(crate::server::welcome(5, true, false))),
        now,
    );
    core.disconnected(None, later(now, 31 * SECOND));
    let due = core.deadline().unwrap() - (now.mono + 31 * SECOND);
    assert!(due <= SECOND / 2, "{due:?}");
}

#[test]
fn own_messages_that_come_back_need_no_acknowledgement() {
    let (mut core, now) = core_in("backoff");
    let text = b"once".to_vec();
    let id = core
        .enqueue(direct(2), millpond_client::Kind::TEXT, text, false, now)
        .unwrap();
    core.tick(later(now, 40 * SECOND));
    let now = later(now, 40 * SECOND);
    core.connected(now);
    core.take_output();
    let mut frames = bytes(&Frame::Welcome(crate::server::welcome(5, true, false)));
    frames.extend(crate::table::own(11, DEVICE, id));
    core.received(&frames, now);
    let written = written(&mut core);
    assert!(!written.contains(&"SEND".to_owned()), "{written:?}");
    let sent = std::iter::from_fn(|| core.poll_event())
        .filter(|polled| matches!(polled.event, Event::Sent(_)));
    assert_eq!(sent.count(), 1);
}
