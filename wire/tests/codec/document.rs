//! The generated parts of SPEC.md: the examples and the cost of a text. Writes them when asked to, checks them always.

use crate::conformance::{encoded, whole};
use crate::files::LIMIT;
use crate::grammar::{Grammar, Piece, SPEC, hex};
use crate::render;
use millpond_wire::*;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Whether generated files are to be written anew.
pub(crate) fn writing() -> bool {
    std::env::var_os("MILLPOND_WRITE").is_some()
}

/// Compares the generated parts with the document, or writes them.
pub(crate) fn check_or_write(grammar: &Grammar) {
    let mut text = std::fs::read_to_string(SPEC).unwrap();
    let parts = [
        ("examples", examples(grammar)),
        ("overhead", overhead(grammar)),
    ];
    for (name, part) in &parts {
        let (from, to) = part_of(&text, name);
        if writing() {
            text.replace_range(from..to, part);
        } else {
            assert_eq!(&text[from..to], part, "{name} of SPEC.md");
        }
    }
    if writing() {
        std::fs::write(SPEC, text).unwrap();
    }
}

/// Where the generated part of that name stands.
fn part_of(text: &str, name: &str) -> (usize, usize) {
    let begin = format!("<!-- {name}: written by the tests -->\n");
    let from = text.find(&begin).unwrap() + begin.len();
    let to = text.find(&format!("<!-- end of {name} -->")).unwrap();
    (from, to)
}

#[test]
fn the_examples_in_the_document_decode_and_encode() {
    let text = std::fs::read_to_string(SPEC).unwrap();
    let blocks = text
        .split("```hex\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap());
    let mut names = Vec::new();
    for block in blocks {
        let bytes = block
            .lines()
            .flat_map(|line| hex(line.split(';').next().unwrap()));
        let bytes = bytes.collect::<Vec<_>>();
        let frame = whole(&bytes, LIMIT);
        assert_eq!(encoded(&frame), bytes, "{block}");
        let name = frame.tag().unwrap().name();
        assert!(block.lines().next().unwrap().contains(name), "{block}");
        names.push(name);
    }
    let all = Tag::ALL.map(Tag::name);
    let missing = all
        .iter()
        .filter(|name| !names.contains(name))
        .collect::<Vec<_>>();
    assert!(missing.is_empty(), "no example of {missing:?}");
}

fn examples(grammar: &Grammar) -> String {
    let mut text = String::new();
    for (title, frame) in session() {
        let pieces = grammar.pieces(&frame);
        let bytes = grammar.bytes(&frame);
        assert_eq!(render::frame(&whole(&bytes, LIMIT)), frame, "{title}");
        writeln!(text, "\n{title}\n\n```hex").unwrap();
        pieces
            .iter()
            .filter(|piece| !piece.bytes.is_empty())
            .for_each(|piece| show(piece, &mut text));
        writeln!(text, "```").unwrap();
    }
    text.push('\n');
    text
}

fn show(piece: &Piece, text: &mut String) {
    let lines = piece.bytes.chunks(16).enumerate();
    for (index, bytes) in lines {
        let bytes = bytes
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<Vec<_>>()
            .join(" ");
        if index == 0 {
            writeln!(text, "{bytes:<26} ; {}", piece.label).unwrap();
        } else {
            writeln!(text, "{bytes}").unwrap();
        }
    }
}

/// The example session: what is said in front of each frame, and the frame.
fn session() -> Vec<(String, Value)> {
    let steps: Vec<Value> = serde_json::from_str(include_str!("session.json")).unwrap();
    let steps = steps.into_iter();
    steps
        .map(|step| {
            (
                step["title"].as_str().unwrap().to_owned(),
                step["frame"].clone(),
            )
        })
        .collect()
}

const MS: &str = "1767225600000";
const ID: &str = "1853070540800000123";

/// What a text of 100 bytes costs, from the grammar's own bytes.
fn overhead(grammar: &Grammar) -> String {
    let payload = "61".repeat(100);
    let direct = json!({"kind": 0, "from_me": false, "stub": false, "counts": true,
        "conversation": {"direct": "4611686018427387904"}, "seq": "184000", "server_ms": MS,
        "payload": payload});
    let mut group = direct.clone();
    group["conversation"] = json!({"group": "4611686018427387904"});
    group["sender"] = json!("4611686018427387905");
    let mut mine = direct.clone();
    for (key, value) in [
        ("from_me", json!(true)),
        ("device", json!("1")),
        ("client_msg_id", json!(ID)),
    ] {
        mine[key] = value;
    }
    let mut stub = mine.clone();
    stub["stub"] = json!(true);
    stub["payload"] = json!("");
    let send = json!({"type": "SEND", "after": false, "client_msg_id": ID,
        "conversation": direct["conversation"], "kind": 0, "payload": payload});
    let ack = json!({"type": "SEND_ACK", "acks": [{"client_msg_id": ID, "status": "new",
        "seq": "184000", "server_ms": MS}]});
    let deliver = |records: Vec<Value>| json!({"type": "DELIVER", "mode": "live", "first_cursor": "5200000", "records": records});
    let mark = json!({"kind": "read", "conversation": direct["conversation"], "up_to": "184000"});
    let rows = [
        ("SEND", send, 100),
        ("SEND_ACK of one", ack, 0),
        ("DELIVER, direct", deliver(vec![direct.clone()]), 100),
        ("DELIVER, group", deliver(vec![group.clone()]), 100),
        ("DELIVER, mine on another device", deliver(vec![mine]), 100),
        ("DELIVER, mine as a stub", deliver(vec![stub]), 0),
        ("DELIVER of 10, direct", deliver(vec![direct; 10]), 1000),
        ("DELIVER of 10, group", deliver(vec![group; 10]), 1000),
        (
            "CURSOR_ACK",
            json!({"type": "CURSOR_ACK", "cursor": "5200000"}),
            0,
        ),
        (
            "RECEIPT of one mark, client",
            json!({"type": "RECEIPT", "users": false, "marks": [mark]}),
            0,
        ),
        ("PING", json!({"type": "PING"}), 0),
        (
            "PING with a cursor",
            json!({"type": "PING", "cursor": "5200000"}),
            0,
        ),
    ];
    let mut text = "\n| frame | bytes | beside the text |\n| --- | --- | --- |\n".to_owned();
    for (name, frame, payload_bytes) in rows {
        let bytes = grammar.bytes(&frame).len();
        writeln!(text, "| {name} | {bytes} | {} |", bytes - payload_bytes).unwrap();
    }
    text.push('\n');
    text
}
