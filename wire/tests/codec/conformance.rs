//! The codec judged by the vector files alone.

use crate::files::{Vector, load};
use crate::grammar::{Grammar, hex};
use crate::render;
use millpond_wire::*;
use serde_json::Value;

/// Decodes bytes that must be one whole frame.
pub(crate) fn whole(bytes: &[u8], limit: usize) -> Frame<'_> {
    match decode(bytes, limit) {
        Ok(Decoded::Frame(frame, taken)) if taken == bytes.len() => frame,
        other => panic!("not one whole frame: {other:?}"),
    }
}

pub(crate) fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    bytes
}

#[test]
fn valid_vectors_decode_to_their_fields_and_encode_to_their_bytes() {
    for Vector {
        id,
        bytes,
        limit,
        json,
    } in load("valid")
    {
        let frame = whole(&bytes, limit);
        assert_eq!(render::frame(&frame), json["frame"], "{id}");
        assert_eq!(encoded(&frame), bytes, "{id}");
        let allowed = match frame.direction() {
            Direction::ToServer => ["client", "client"],
            Direction::ToClient => ["server", "server"],
            Direction::Both => ["client", "server"],
        };
        let direction = json["direction"].as_str().unwrap();
        assert!(direction == "both" || allowed.contains(&direction), "{id}");
    }
}

#[test]
fn invalid_vectors_are_refused_with_their_code() {
    for Vector {
        id,
        bytes,
        limit,
        json,
    } in load("invalid")
    {
        let fault = decode(&bytes, limit).expect_err(&id);
        assert_eq!(
            u64::from(fault.code().0),
            json["error"].as_u64().unwrap(),
            "{id}: {fault}"
        );
        assert!(fault.offset <= bytes.len(), "{id}: {fault}");
    }
}

#[test]
fn ignored_vectors_are_skipped_or_read_without_their_extensions() {
    for Vector {
        id,
        bytes,
        limit,
        json,
    } in load("ignored")
    {
        let frame = whole(&bytes, limit);
        match json.get("canonical").and_then(Value::as_str) {
            Some(canonical) => {
                let canonical = hex(canonical);
                assert_eq!(frame, whole(&canonical, limit), "{id}");
                assert_eq!(encoded(&frame), canonical, "{id}");
            }
            None => {
                assert!(matches!(frame, Frame::Ignored(_)), "{id}");
                assert_eq!(encoded(&frame), bytes, "{id}");
            }
        }
    }
}

#[test]
fn every_frame_and_every_flag_has_a_valid_vector() {
    let vectors = load("valid");
    let grammar = Grammar::load();
    for tag in Tag::ALL {
        let shape = grammar.shape(tag.name());
        let (byte, direction) = shape.frame.as_ref().unwrap();
        assert_eq!(*byte, tag.byte(), "{}", tag.name());
        let expected = match tag.direction() {
            Direction::ToServer => "C",
            Direction::ToClient => "S",
            Direction::Both => "both",
        };
        assert_eq!(direction, expected, "{}", tag.name());
        let mut of_tag = vectors
            .iter()
            .filter(|vector| vector.bytes[0] == tag.byte())
            .peekable();
        assert!(of_tag.peek().is_some(), "no vector of {}", tag.name());
        if let Some(bits) = shape.flag_bits() {
            let seen = of_tag.fold(0, |seen, vector| seen | flags_of(&vector.bytes));
            let mode_is_an_enumeration = tag == Tag::Deliver;
            let expected = if mode_is_an_enumeration { 1 } else { bits };
            assert_eq!(seen, expected, "flags of {}", tag.name());
        }
    }
    assert_eq!(grammar.frames().count(), Tag::ALL.len());
}

/// The flags byte of a frame that has one: the first of its body.
fn flags_of(bytes: &[u8]) -> u8 {
    let length_bytes = bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
    bytes[1 + length_bytes]
}
