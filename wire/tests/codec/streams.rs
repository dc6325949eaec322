//! Several frames in one stream: every cut of it gives the same frames.

use crate::catalog;
use crate::conformance::encoded;
use crate::files::{LIMIT, load};
use crate::grammar::{Grammar, to_hex};
use millpond_wire::*;
use serde_json::{Value, json};

/// Streams for the vector file: an id, a comment, the ids of the frames, bytes behind them, and how it ends.
pub(crate) fn make(grammar: &Grammar) -> Vec<Value> {
    let entries = catalog::entries();
    let bytes_of = |id: &str| {
        let entry = entries.iter().find(|entry| entry.0 == id);
        grammar.bytes(&entry.unwrap_or_else(|| panic!("no {id}")).2)
    };
    let stream = |id: &str, comment: &str, frames: &[&str], rest: &[u8], end: &str| {
        let mut ends = Vec::new();
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(bytes_of(frame));
            ends.push(bytes.len());
        }
        bytes.extend_from_slice(rest);
        json!({ "id": format!("stream-{id}"), "comment": comment, "direction": "both",
            "hex": to_hex(&bytes), "result": if end == "invalid" { "invalid" } else { "valid" },
            "ends": ends, "cuts": cuts(bytes.len(), &ends), "end": end })
    };
    let session = [
        "hello",
        "send",
        "send-after",
        "ping-empty",
        "cursor_ack",
        "receipt",
        "bye",
    ];
    let answers = [
        "welcome-resumed",
        "deliver-sync",
        "sync_done",
        "send_ack",
        "pong-ms",
    ];
    vec![
        stream("client", "what a client sends", &session, &[], "complete"),
        stream("server", "what a server sends", &answers, &[], "complete"),
        stream(
            "pings",
            "the smallest frames",
            &["ping-empty"; 8],
            &[],
            "complete",
        ),
        stream(
            "large",
            "lengths of 1, 2 and 3 bytes",
            &["send-body-127", "send-body-128", "ping-cursor-max"],
            &[],
            "complete",
        ),
        stream(
            "cut-type",
            "ends behind a type byte",
            &["ping-empty"],
            &[0x10],
            "incomplete",
        ),
        stream(
            "cut-length",
            "ends inside a length",
            &["ping-empty"],
            &[0x10, 0x80],
            "incomplete",
        ),
        stream(
            "cut-body",
            "ends inside a body",
            &["ping-empty", "send"],
            &[0x10, 20, 0, 1],
            "incomplete",
        ),
        stream(
            "bad-third",
            "two good frames, then an unknown type",
            &["ping-empty", "send"],
            &[0x13],
            "invalid",
        ),
        stream(
            "bad-length",
            "a good frame, then a bad length",
            &["send"],
            &[0x01, 0x80, 0x00],
            "invalid",
        ),
    ]
}

/// Offsets at which a runner should cut, one list per run: nowhere, everywhere, and around every end of a frame.
fn cuts(bytes: usize, ends: &[usize]) -> Vec<Vec<usize>> {
    let everywhere = (1..bytes).collect();
    let around = |shift: isize| {
        let cuts = ends.iter().map(|&end| end.saturating_add_signed(shift));
        cuts.filter(|&cut| cut > 0 && cut < bytes).collect()
    };
    let mut all = vec![Vec::new(), everywhere, around(-1), around(0), around(1)];
    all.dedup();
    all
}

/// What a stream gave: the frames, encoded again, and how it ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<Vec<u8>>,
    end: &'static str,
}

/// Feeds a stream in pieces, as a socket would.
fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut frames = Vec::new();
    let mut pending = Vec::new();
    for piece in pieces {
        pending.extend_from_slice(piece);
        loop {
            match decode(&pending, LIMIT) {
                Ok(Decoded::Frame(frame, taken)) => {
                    frames.push(encoded(&frame));
                    pending.drain(..taken);
                }
                Ok(Decoded::Need(need)) => {
                    assert!(need > pending.len(), "it needs what it has");
                    break;
                }
                Err(_) => {
                    return Outcome {
                        frames,
                        end: "invalid",
                    };
                }
            }
        }
    }
    let end = if pending.is_empty() {
        "complete"
    } else {
        "incomplete"
    };
    Outcome { frames, end }
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let from = [0].into_iter().chain(cuts.iter().copied());
    let to = cuts.iter().copied().chain([bytes.len()]);
    from.zip(to).map(|(from, to)| &bytes[from..to]).collect()
}

#[test]
fn every_cut_of_a_stream_gives_the_same_frames() {
    for stream in load("streams") {
        let bytes = &stream.bytes;
        let ends = numbers(&stream.json["ends"]);
        let last = *ends.last().unwrap();
        let frames = pieces(&bytes[..last], &ends[..ends.len() - 1]);
        let end = stream.json["end"].as_str().unwrap();
        let check = |cuts: &[usize]| {
            let outcome = feed(pieces(bytes, cuts).into_iter());
            assert_eq!(outcome.frames, frames, "{} cut at {cuts:?}", stream.id);
            assert_eq!(outcome.end, end, "{} cut at {cuts:?}", stream.id);
        };
        stream.json["cuts"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|cuts| check(&numbers(cuts)));
        (1..bytes.len()).for_each(|cut| check(&[cut]));
    }
}

fn numbers(list: &Value) -> Vec<usize> {
    let numbers = list
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_u64().unwrap());
    numbers
        .map(|number| usize::try_from(number).unwrap())
        .collect()
}
