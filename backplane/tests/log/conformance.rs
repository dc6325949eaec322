//! The codec judged by the vector files alone; those of every version there ever was.

use crate::files::{VECTORS, id, load, record};
use crate::grammar::{Grammar, hex};
use crate::render;
use millpond_backplane::codec;
use millpond_backplane::codec::Fault;
use serde_json::Value;
use std::collections::BTreeSet;

/// The folders of vectors, oldest first.
fn versions() -> Vec<String> {
    let folders = std::fs::read_dir(VECTORS).unwrap();
    let mut names: Vec<String> = folders
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn records_of_every_version_decode_to_their_fields() {
    assert!(versions().contains(&"v1".to_owned()));
    for version in versions() {
        for vector in load(&format!("{version}/valid")) {
            let bytes = hex(vector["hex"].as_str().unwrap());
            let decoded = render::value(record(&vector), &vector["key"], &bytes);
            let decoded = decoded.unwrap_or_else(|fault| panic!("{}: {fault}", id(&vector)));
            let wanted = vector.get("entries").unwrap_or(&vector["value"]);
            assert_eq!(&decoded, wanted, "{version} {}", id(&vector));
            if let Some(key_bytes) = vector.get("key_hex") {
                let key = format!("{}_key", record(&vector));
                let decoded = render::key(&key, &hex(key_bytes.as_str().unwrap()));
                assert_eq!(
                    decoded.as_ref(),
                    Ok(&vector["key"]),
                    "{version} {}",
                    id(&vector)
                );
            }
        }
    }
}

/// What is written today is the newest version.
#[test]
fn the_newest_version_is_what_is_encoded() {
    let newest = versions().pop().unwrap();
    for vector in load(&format!("{newest}/valid")) {
        let bytes = hex(vector["hex"].as_str().unwrap());
        assert_eq!(encoded(&vector, &bytes), bytes, "{}", id(&vector));
        if let Some(key_bytes) = vector.get("key_hex") {
            let key_bytes = hex(key_bytes.as_str().unwrap());
            assert_eq!(
                encoded_key(record(&vector), &key_bytes),
                key_bytes,
                "{}",
                id(&vector)
            );
        }
    }
}

fn encoded(vector: &Value, bytes: &[u8]) -> Vec<u8> {
    let (key, mut out) = (&vector["key"], Vec::new());
    match record(vector) {
        "envelope" => codec::encode_envelope(&codec::decode_envelope(bytes).unwrap(), &mut out),
        "history" => {
            let conversation = render::conversation_of(&key["conversation"]);
            let seq = render::number_of(&key["seq"]);
            codec::encode_history(
                &codec::decode_history(conversation, seq, bytes).unwrap(),
                &mut out,
            );
        }
        "dedup" => codec::encode_dedup(&codec::decode_dedup(bytes).unwrap(), &mut out),
        "inbox" => {
            let user = render::user_of(&key["user"]);
            codec::encode_inbox(user, &codec::decode_inbox(user, bytes).unwrap(), &mut out);
        }
        "marks" => codec::encode_marks(&codec::decode_marks(bytes).unwrap(), &mut out),
        "user" => codec::encode_user(&codec::decode_user(bytes).unwrap(), &mut out),
        "partition" => codec::encode_partition(&codec::decode_partition(bytes).unwrap(), &mut out),
        record => panic!("{record} is no record"),
    }
    out
}

fn encoded_key(record: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match record {
        "history" => {
            let (conversation, seq) = codec::decode_history_key(bytes).unwrap();
            codec::history_key(conversation, seq, &mut out);
        }
        "dedup" => codec::dedup_key(&codec::decode_dedup_key(bytes).unwrap(), &mut out),
        "inbox" => {
            let (user, cursor) = codec::decode_inbox_key(bytes).unwrap();
            codec::inbox_key(user, cursor, &mut out);
        }
        "marks" => out.extend(codec::marks_key(codec::decode_marks_key(bytes).unwrap())),
        "user" => out.extend(codec::user_key(codec::decode_user_key(bytes).unwrap())),
        "partition" => {
            let (stage, partition) = codec::decode_partition_key(bytes).unwrap();
            out.extend(codec::partition_key(stage, partition));
        }
        record => panic!("{record} has no key"),
    }
    out
}

#[test]
fn invalid_vectors_are_refused_with_code_and_place() {
    for version in versions() {
        for vector in load(&format!("{version}/invalid")) {
            let bytes = hex(vector["hex"].as_str().unwrap());
            let decoded = match record(&vector) {
                key if key.ends_with("_key") => render::key(key, &bytes),
                record => render::value(record, &vector["key"], &bytes),
            };
            let fault = decoded.expect_err(id(&vector));
            assert_eq!(
                vector["error"],
                fault.code.code(),
                "{}: {fault}",
                id(&vector)
            );
            assert_eq!(vector["what"], fault.what, "{}", id(&vector));
            assert_eq!(vector["offset"], fault.offset, "{}", id(&vector));
            assert!(fault.offset <= bytes.len(), "{}", id(&vector));
        }
    }
}

#[test]
fn every_version_byte_but_the_known_is_told_apart_from_damage() {
    for vector in load("v1/valid") {
        let mut bytes = hex(vector["hex"].as_str().unwrap());
        for version in (0..=u8::MAX).filter(|version| *version != 1) {
            bytes[0] = version;
            let fault = render::value(record(&vector), &vector["key"], &bytes).unwrap_err();
            assert_eq!(
                (fault.code, fault.offset),
                (Fault::UnknownVersion, 0),
                "{}",
                id(&vector)
            );
            assert!(fault.what.starts_with("version of a"), "{fault}");
        }
    }
}

/// A record that lost its end is refused, and so is one that got more behind it, unless its end is a payload or another
/// entry.
#[test]
fn no_beginning_of_a_row_is_another_row() {
    for vector in load("v1/valid") {
        let record = record(&vector);
        if matches!(record, "envelope" | "history") {
            continue;
        }
        let bytes = hex(vector["hex"].as_str().unwrap());
        for length in 0..bytes.len() {
            let cut = render::value(record, &vector["key"], &bytes[..length]);
            assert!(cut.is_err(), "{} cut to {length}", id(&vector));
        }
        let more = [&bytes[..], &[0]].concat();
        assert!(
            render::value(record, &vector["key"], &more).is_err(),
            "{}",
            id(&vector)
        );
    }
}

#[test]
fn every_record_and_every_entry_has_its_vectors() {
    let vectors = load("v1/valid");
    let records: BTreeSet<&str> = vectors.iter().map(record).collect();
    let all = [
        "dedup",
        "envelope",
        "history",
        "inbox",
        "marks",
        "partition",
        "user",
    ];
    assert_eq!(records, BTreeSet::from(all));
    let entries = vectors
        .iter()
        .filter_map(|vector| vector.get("entries")?.as_array());
    let seen: BTreeSet<&str> = entries
        .flatten()
        .map(|entry| entry["type"].as_str().unwrap())
        .collect();
    let grammar = Grammar::load();
    assert_eq!(seen, grammar.entries().collect());
    let codes: BTreeSet<String> = load("v1/invalid")
        .iter()
        .map(|it| it["error"].to_string())
        .collect();
    assert_eq!(codes.len(), 3);
}

/// The vectors that stood in the first release, counted from the top of their files, and the FNV-1a hash of their lines:
/// none of them was changed since, moved or taken away.
const FROZEN: [(&str, usize, u64); 4] = [
    ("v1/valid", 68, 0xa480_065a_f6d8_241e),
    ("v1/invalid", 80, 0xe8c2_e889_793a_d709),
    ("v1/partitions", 16, 0x26e5_e12d_f4c1_299e),
    ("v1/hashes", 7, 0x3540_44cf_545c_6308),
];

#[test]
fn released_vectors_stand_as_they_stood() {
    for (name, count, wanted) in FROZEN {
        let text = std::fs::read_to_string(format!("{VECTORS}/{name}.json")).unwrap();
        let lines = text.lines().skip(1).take(count);
        let bytes = lines.flat_map(|line| line.trim_end_matches(',').bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, wanted, "{name}: {hash:#x}");
    }
}

#[test]
fn an_envelope_is_full_at_its_limit() {
    let entry = hex("13 11 0000000000000009 000000000000005A AC02");
    let mut bytes = [&[1][..], &entry.repeat(codec::ENTRIES_PER_ENVELOPE_MAX)].concat();
    let entries = codec::decode_envelope(&bytes).unwrap();
    assert_eq!(
        (entries.len(), codec::ENTRIES_PER_ENVELOPE_MAX),
        (65_536, 65_536)
    );
    bytes.extend(entry);
    let fault = codec::decode_envelope(&bytes).unwrap_err();
    assert_eq!(fault.code, Fault::Malformed);
}
