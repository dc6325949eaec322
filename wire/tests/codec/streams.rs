//! Several frames in one stream: every cut of it gives the same frames.

use crate::conformance::encoded;
use crate::files::{LIMIT, Vector, load};
use crate::grammar::{hex, to_hex};
use millpond_wire::*;
use serde_json::Value;

/// Fills a stream of the vector file in from the valid vectors that it names.
pub(crate) fn fill(stream: &Value, valid: &[Vector]) -> Value {
    let mut ends = Vec::new();
    let mut bytes = Vec::new();
    for id in stream["frames"].as_array().unwrap() {
        let vector = valid.iter().find(|vector| *id == vector.id);
        bytes.extend(
            &vector
                .unwrap_or_else(|| panic!("no valid vector {id}"))
                .bytes,
        );
        ends.push(bytes.len());
    }
    bytes.extend(hex(stream["rest"].as_str().unwrap()));
    let mut filled = stream.clone();
    filled["hex"] = to_hex(&bytes).into();
    filled["cuts"] = cuts(bytes.len(), &ends).into();
    filled["ends"] = ends.into();
    filled["result"] = if stream["end"] == "invalid" {
        "invalid"
    } else {
        "valid"
    }
    .into();
    filled
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
