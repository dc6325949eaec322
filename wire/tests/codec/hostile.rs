//! Bytes that somebody has cut or changed: a frame, a request for more, or a coded fault; never a panic.

use crate::conformance::encoded;
use crate::files::{LIMIT, Vector, load};
use millpond_wire::*;
use proptest::prelude::*;

/// What must hold for any bytes at all; tells whether they were a frame.
fn judge(bytes: &[u8], limit: usize) -> bool {
    match decode(bytes, limit) {
        Ok(Decoded::Frame(frame, taken)) => {
            assert!(taken <= bytes.len());
            walk(&frame);
            let again = encoded(&frame);
            if is_extended(&bytes[..taken]) {
                assert_eq!(
                    decode(&again, limit),
                    Ok(Decoded::Frame(frame, again.len()))
                );
            } else {
                assert_eq!(again, &bytes[..taken]);
            }
            true
        }
        Ok(Decoded::Need(need)) => {
            assert!(need > bytes.len());
            assert!(need <= BODY_BYTES_MAX + HEAD_BYTES_MAX);
            false
        }
        Err(fault) => {
            assert!(fault.offset <= bytes.len());
            assert!((7001..=7003).contains(&fault.code().0));
            assert!(!fault.to_string().is_empty());
            false
        }
    }
}

/// Walks whatever a frame holds: validated once, it cannot fail.
fn walk(frame: &Frame<'_>) {
    assert!(!format!("{frame:?}").is_empty());
    assert_eq!(frame, &frame.clone());
    let _ = frame.direction();
}

/// Bit 7 of the flags of a frame that has flags and is not skipped.
fn is_extended(bytes: &[u8]) -> bool {
    let plain = [Tag::Ping, Tag::Pong, Tag::CursorAck].map(Tag::byte);
    let length_bytes = bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
    let flags = bytes.get(1 + length_bytes);
    bytes[0] < 0x80 && !plain.contains(&bytes[0]) && flags.is_some_and(|flags| flags & 0x80 != 0)
}

/// Valid and ignored vectors; long ones are many bytes of the same.
fn good(bytes_max: usize) -> impl Iterator<Item = Vector> {
    let vectors = ["valid", "ignored"].map(load).concat();
    vectors
        .into_iter()
        .filter(move |vector| vector.bytes.len() <= bytes_max)
}

#[test]
fn every_truncation_needs_more() {
    for vector in good(usize::MAX) {
        for length in 0..vector.bytes.len() {
            let decoded = decode(&vector.bytes[..length], LIMIT);
            let Ok(Decoded::Need(need)) = decoded else {
                panic!("{} cut to {length}: {decoded:?}", vector.id);
            };
            assert!(
                need > length && need <= vector.bytes.len().max(2),
                "{} {length}",
                vector.id
            );
        }
    }
}

#[test]
fn every_body_cut_short_under_a_matching_length_is_judged() {
    for vector in good(600) {
        let head = vector.bytes.len() - body_of(&vector.bytes).len();
        for length in 0..vector.bytes.len() - head {
            let mut bytes = vec![vector.bytes[0]];
            bytes.extend(crate::grammar::uvarint(length as u64));
            bytes.extend_from_slice(&vector.bytes[head..head + length]);
            judge(&bytes, LIMIT);
        }
    }
}

fn body_of(bytes: &[u8]) -> &[u8] {
    let length_bytes = bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
    &bytes[1 + length_bytes..]
}

#[test]
fn every_single_byte_corruption_is_judged() {
    let (mut frames, mut all) = (0u32, 0u32);
    for vector in good(300) {
        for at in 0..vector.bytes.len() {
            for change in 1..=255u8 {
                let mut bytes = vector.bytes.clone();
                bytes[at] ^= change;
                frames += u32::from(judge(&bytes, LIMIT));
                all += 1;
            }
        }
    }
    assert!(
        frames > 0 && frames < all,
        "{frames} of {all} are still frames"
    );
}

#[test]
fn every_single_byte_inserted_or_removed_is_judged() {
    for vector in good(300) {
        for at in 0..vector.bytes.len() {
            let mut shorter = vector.bytes.clone();
            shorter.remove(at);
            judge(&shorter, LIMIT);
            for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut longer = vector.bytes.clone();
                longer.insert(at, byte);
                judge(&longer, LIMIT);
            }
        }
    }
}

#[test]
fn nothing_decoded_owns_memory() {
    assert!(!std::mem::needs_drop::<Result<Decoded<'_>, Malformed>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn garbage_is_judged(bytes in prop::collection::vec(any::<u8>(), 0..200), limit in 0..400usize) {
        judge(&bytes, limit);
    }

    #[test]
    fn garbage_bodies_are_judged(
        tag in prop::sample::select(&Tag::ALL[..]),
        flags in prop::sample::select(&[0, 1, 2, 3, 7, 0x80, 0x81][..]),
        body in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(0x12), any::<u8>()], 0..100),
    ) {
        let mut bytes = vec![tag.byte(), u8::try_from(body.len() + 1).unwrap(), flags];
        bytes.extend_from_slice(&body);
        judge(&bytes, LIMIT);
    }

    #[test]
    fn garbage_records_are_judged(bytes in prop::collection::vec(prop_oneof![Just(0), Just(0x12), any::<u8>()], 0..100)) {
        if let Ok(records) = Records::parse(&bytes) {
            prop_assert_eq!(records.iter().count() == 0, bytes.is_empty());
        }
    }
}
