//! The generated part of LOG.md: its examples. Writes them when asked to, checks them always.

use crate::files::{id, load, record};
use crate::grammar::{DOCUMENT, Grammar, Piece, hex};
use crate::render;
use millpond_backplane::codec;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Whether generated files are to be written anew.
pub(crate) fn writing() -> bool {
    std::env::var_os("MILLPOND_WRITE").is_some()
}

const BEGIN: &str = "<!-- examples: written by the tests -->\n";
const END: &str = "<!-- end of examples -->";

/// Compares the examples with the document, or writes them.
pub(crate) fn check_or_write(grammar: &Grammar) {
    let mut text = std::fs::read_to_string(DOCUMENT).unwrap();
    let from = text.find(BEGIN).unwrap() + BEGIN.len();
    let to = text.find(END).unwrap();
    let examples = examples(grammar);
    if writing() {
        text.replace_range(from..to, &examples);
        std::fs::write(DOCUMENT, text).unwrap();
    } else {
        assert_eq!(&text[from..to], examples, "the examples of LOG.md");
    }
}

/// The vectors whose ids begin with `example-`.
fn examples(grammar: &Grammar) -> String {
    let mut text = String::new();
    for vector in load("v1/valid")
        .iter()
        .filter(|it| id(it).starts_with("example-"))
    {
        let record = record(vector);
        writeln!(text, "\n{}", vector["comment"].as_str().unwrap()).unwrap();
        if record == "envelope" {
            let envelope = json!({ "entries": vector["entries"] });
            block(
                record,
                &grammar.pieces(record, &envelope, &Value::Null),
                &mut text,
            );
        } else {
            let key = format!("{record}_key");
            block(
                &key,
                &grammar.pieces(&key, &vector["key"], &Value::Null),
                &mut text,
            );
            block(
                record,
                &grammar.pieces(record, &vector["value"], &vector["key"]),
                &mut text,
            );
        }
    }
    text.push('\n');
    text
}

fn block(name: &str, pieces: &[Piece], text: &mut String) {
    writeln!(text, "\n```hex {name}").unwrap();
    for piece in pieces.iter().filter(|piece| !piece.bytes.is_empty()) {
        for (index, bytes) in piece.bytes.chunks(16).enumerate() {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            let bytes = bytes.join(" ");
            if index == 0 {
                writeln!(text, "{bytes:<47} ; {}", piece.label).unwrap();
            } else {
                writeln!(text, "{bytes}").unwrap();
            }
        }
    }
    writeln!(text, "```").unwrap();
}

/// Reads the document as a person would: names and bytes, nothing of how they were made.
#[test]
fn the_examples_in_the_document_decode() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut key = (String::new(), Value::Null);
    let mut names = Vec::new();
    for block in text.split("```hex ").skip(1) {
        let (name, lines) = block.split("```").next().unwrap().split_once('\n').unwrap();
        let bytes: Vec<u8> = lines
            .lines()
            .flat_map(|line| hex(line.split(';').next().unwrap()))
            .collect();
        if name.ends_with("_key") {
            key = (name.to_owned(), render::key(name, &bytes).unwrap());
        } else if name == "envelope" {
            let entries = codec::decode_envelope(&bytes).unwrap();
            let mut again = Vec::new();
            codec::encode_envelope(&entries, &mut again);
            assert_eq!(again, bytes, "{block}");
            assert!(!entries.is_empty());
        } else {
            assert_eq!(key.0, format!("{name}_key"), "a value follows its key");
            render::value(name, &key.1, &bytes).unwrap();
        }
        names.push(name.to_owned());
    }
    for name in [
        "envelope",
        "history",
        "dedup",
        "inbox",
        "marks",
        "user",
        "partition",
    ] {
        assert!(names.iter().any(|it| it == name), "no example of {name}");
    }
}

/// The table of faults is the program's.
#[test]
fn every_code_is_in_the_document() {
    use codec::Fault::{CutShort, Malformed, UnknownVersion};
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    for fault in [UnknownVersion, CutShort, Malformed] {
        assert!(
            text.contains(&format!("\n| {} | ", fault.code())),
            "{fault}"
        );
    }
}
