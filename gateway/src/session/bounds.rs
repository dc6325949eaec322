//! What one client can make a session do at a time: bytes of a frame, questions, entries.

use super::table::{HEAD, around, history, live, state_word, step, step_with, sync, things};
use super::*;
use crate::tests::mill::keys;
use millpond_wire::{PAYLOAD_BYTES_MAX, Ping};

/// The entries and questions that these frames lead to.
fn led_to(frames: &[Frame<'_>]) -> Vec<String> {
    let mut session = Session::Open(live(Feed::LIVE));
    let steps = frames
        .iter()
        .map(|frame| step(&mut session, Event::Frame(frame.clone())));
    let done: Vec<_> = steps.flatten().collect();
    done.into_iter()
        .filter(|word| word.starts_with("append") || word.starts_with("ask"))
        .collect()
}

#[test]
fn a_flood_of_pings_asks_once_and_a_receipt_counts_so_many_marks() {
    let ping = Frame::Ping(Ping { cursor: Some(HEAD) });
    assert_eq!(led_to(&vec![ping; 1_000]), ["ask head"]);
    let mark = things().mark[0];
    let marks = vec![mark; 500];
    let receipt = Frame::Receipt(Receipt {
        marks: List::of(&marks),
    });
    assert_eq!(led_to(&[receipt]), vec!["append read"; 32]);
}

#[test]
fn without_room_no_page_is_asked_and_nothing_else_changes() {
    for (frame, scope) in [(sync(8, 2), 8), (history(9), 9)] {
        let mut session = Session::Open(live(Feed::LIVE));
        let was = state_word(&session);
        let actions = step_with(0, &mut session, Event::Frame(frame));
        assert_eq!(actions, [format!("ERROR 2001 Request({scope})")]);
        assert_eq!(state_word(&session), was);
    }
}

/// What goes out when these hints come to a client with that much room, and the session behind it.
fn hinted(room_bytes: usize, sizes: &[usize]) -> (Vec<usize>, Live) {
    let (limits, keys) = (Limits::default(), keys());
    let around = Around {
        room_bytes,
        ..around(&limits, &keys)
    };
    let mut session = Session::Open(Live {
        unacked: 0,
        window: 100,
        ..live(Feed::LIVE)
    });
    let records: Vec<SharedRecord> = sizes.iter().map(|bytes| vec![1; *bytes].into()).collect();
    let hints = Event::Hints {
        first: HEAD + 1,
        records: &records,
    };
    let mut frames = Vec::new();
    session.step(hints, &around, &mut |action| {
        if let Action::Deliver { records, .. } = action {
            frames.push(records.iter().map(|record| record.len()).sum());
        }
    });
    let Session::Open(live) = session else {
        panic!("it goes on")
    };
    (frames, live)
}

#[test]
fn live_frames_are_those_every_client_takes_and_end_where_the_room_ends() {
    let record = PAYLOAD_BYTES_MAX + 60;
    let (frames, live) = hinted(1 << 20, &[record; 60]);
    assert_eq!(frames, vec![record; 18], "the last may go beyond the room");
    assert_eq!(
        (live.sent, live.feed),
        (HEAD + 18, Feed::Waiting { announce: false })
    );
    let (frames, live) = hinted(1 << 20, &[30_000; 5]);
    assert_eq!(frames, [60_000, 60_000, 30_000]);
    assert_eq!((live.sent, live.feed), (HEAD + 5, Feed::LIVE));
    let (frames, _) = hinted(1, &[record, 10]);
    assert_eq!(frames, [record], "one record always fits");
    let (frames, _) = hinted(0, &[10]);
    assert!(frames.is_empty());
}
