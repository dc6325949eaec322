//! Bytes that must be refused, with the code, and bytes that must be skipped.

use crate::grammar::{hex, uvarint};

/// An id, a comment, the bytes, the code, and the body limit where it is not the default.
pub(crate) type Fault = (&'static str, &'static str, Vec<u8>, u16, Option<usize>);

/// A frame of one type byte and a body in hex.
fn framed(kind: u8, body: &str) -> Vec<u8> {
    let body = hex(body);
    [vec![kind], uvarint(body.len() as u64), body].concat()
}

const SEND_REST: &str = "0000000000000001 0000000000000009 00 61";
const RECORD: &str = "12 00 04 0000000000000009 01 018bcfe56800 61";
const HELLO_REST: &str = "01 01 00 0000000000000001 00000001 01";
const WELCOME_REST: &str =
    "01 00 0000000000000001 0000000000000001 000000000001 01 01 01 01 01 00 00";

pub(crate) fn invalid() -> Vec<Fault> {
    let all = [
        heads(),
        scalars(),
        flags(),
        records(),
        lists(),
        contradictions(),
        limits(),
    ]
    .concat();
    all.into_iter()
        .map(|(id, comment, bytes, error)| (id, comment, bytes, error, None))
        .chain(small_limits())
        .collect()
}

type Plain = (&'static str, &'static str, Vec<u8>, u16);

fn heads() -> Vec<Plain> {
    vec![
        ("type-00", "reserved", hex("00 00"), 7002),
        ("type-05", "AUTH is not in this version", hex("05 00"), 7002),
        (
            "type-7f",
            "the last that must be understood",
            hex("7f 00"),
            7002,
        ),
        (
            "type-unknown-alone",
            "known from the type byte alone",
            hex("13"),
            7002,
        ),
        (
            "length-not-shortest",
            "0 in two bytes",
            hex("01 80 00"),
            7001,
        ),
        (
            "length-not-shortest-3",
            "1 in three bytes",
            hex("01 81 80 00 05"),
            7001,
        ),
        ("length-four-bytes", "", hex("10 80 80 80 01"), 7001),
        (
            "length-four-bytes-begun",
            "known from the third byte",
            hex("10 ff ff ff"),
            7001,
        ),
        ("ignored-length-not-shortest", "", hex("8a 80 00"), 7001),
    ]
}

fn scalars() -> Vec<Plain> {
    let error = |rest: &str| framed(0x08, &format!("00 1b59 {rest}"));
    vec![
        ("ping-varint-not-shortest", "", framed(0x01, "80 00"), 7001),
        ("ping-varint-unfinished", "", framed(0x01, "80"), 7001),
        ("ping-trailing", "", framed(0x01, "05 00"), 7001),
        (
            "ping-varint-overflow",
            "a 65th bit",
            framed(0x01, "ff ff ff ff ff ff ff ff ff 02"),
            7001,
        ),
        (
            "ping-varint-11",
            "",
            framed(0x01, "ff ff ff ff ff ff ff ff ff ff 01"),
            7001,
        ),
        (
            "pong-short",
            "five bytes of ms",
            framed(0x02, "0000000001"),
            7001,
        ),
        ("pong-trailing", "", framed(0x02, "00000000000100"), 7001),
        ("cursor_ack-empty", "", framed(0x21, ""), 7001),
        ("cursor_ack-trailing", "", framed(0x21, "0100"), 7001),
        ("error-not-utf8", "", error("00 00 00 01 ff"), 7001),
        ("error-utf8-cut", "half of é", error("00 00 00 01 c3"), 7001),
        (
            "error-utf8-surrogate",
            "",
            error("00 00 00 03 eda080"),
            7001,
        ),
        ("error-text-short", "", error("00 00 00 02 61"), 7001),
        ("error-trailing", "", error("00 00 00 00 00"), 7001),
        ("error-scope-3", "", error("03 00 00 00"), 7001),
        ("hello-empty", "", framed(0x03, ""), 7001),
        (
            "hello-token-short",
            "",
            framed(0x03, &format!("00 {HELLO_REST} 7f 61")),
            7001,
        ),
        (
            "hello-resume-missing",
            "flag without fields",
            framed(0x03, &format!("01 {HELLO_REST} 00 00 00 00")),
            7001,
        ),
        (
            "hello-resume-unannounced",
            "fields without flag",
            framed(
                0x03,
                &format!("00 {HELLO_REST} 00 00 00 00 00 0000000000000001 01"),
            ),
            7001,
        ),
        (
            "send-short",
            "no kind",
            framed(0x10, "00 0000000000000001 0000000000000009"),
            7001,
        ),
        (
            "send-conversation-0",
            "user 0",
            framed(0x10, "00 0000000000000001 0000000000000000 00"),
            7001,
        ),
        (
            "history-conversation-0",
            "",
            framed(0x46, "00 01 0000000000000000 01 01"),
            7001,
        ),
        ("bye-trailing", "", framed(0x0A, "00 00 00"), 7001),
        (
            "reset-short",
            "",
            framed(0x42, "00 0000000000000001 01"),
            7001,
        ),
        (
            "sync-epoch-short",
            "",
            framed(0x40, "00 01 00000000000001"),
            7001,
        ),
    ]
}

fn flags() -> Vec<Plain> {
    let send = |front: &str| framed(0x10, &format!("{front} {SEND_REST}"));
    let seventeen = (0..17)
        .map(|n| format!("{:02x}00", 2 * n + 1))
        .collect::<String>();
    let long = format!("83 08 01 80 08 {}", "00".repeat(1024));
    vec![
        ("send-flag-1", "undefined", send("02"), 7001),
        ("send-flag-6", "undefined", send("40"), 7001),
        (
            "hello-flag-3",
            "undefined",
            framed(0x03, &format!("08 {HELLO_REST} 00 00 00 00")),
            7001,
        ),
        (
            "history_page-packed",
            "not in this version",
            framed(0x47, "02 01"),
            7001,
        ),
        ("echo-flag-0", "undefined", framed(0x0B, "01 61"), 7001),
        (
            "extensions-missing",
            "bit 7 and nothing",
            framed(0x0A, "80"),
            7001,
        ),
        ("extensions-empty", "", send("80 00"), 7001),
        (
            "extensions-total-short",
            "more than the body",
            framed(0x0A, "80 05 01 00 00"),
            7001,
        ),
        (
            "extension-value-short",
            "more than the block",
            send("80 03 0b 02 61"),
            7001,
        ),
        (
            "extension-even",
            "must be understood",
            send("80 02 02 00"),
            7002,
        ),
        ("extension-0", "even too", send("80 02 00 00"), 7002),
        ("extension-even-second", "", send("80 04 0b 00 0c 00"), 7002),
        ("extension-twice", "", send("80 04 0b 00 0b 00"), 7001),
        ("extension-descending", "", send("80 04 0d 00 0b 00"), 7001),
        (
            "extension-id-not-shortest",
            "",
            send("80 03 8b 00 00"),
            7001,
        ),
        (
            "extension-17",
            "",
            send(&format!("80 22 {seventeen}")),
            7003,
        ),
        (
            "extension-1027-bytes",
            "",
            send(&format!("80 {long}")),
            7003,
        ),
        (
            "record-extension-even",
            "",
            framed(
                0x20,
                "00 01 15 00 84 02 02 00 0000000000000009 01 018bcfe56800 61",
            ),
            7002,
        ),
    ]
}

fn records() -> Vec<Plain> {
    let deliver = |rest: &str| framed(0x20, &format!("00 01 {rest}"));
    vec![
        ("deliver-none", "no record", deliver(""), 7001),
        (
            "deliver-mode-2",
            "",
            framed(0x20, &format!("02 01 {RECORD}")),
            7001,
        ),
        (
            "deliver-mode-3",
            "",
            framed(0x20, &format!("03 01 {RECORD}")),
            7001,
        ),
        ("record-empty", "length 0", deliver("00"), 7001),
        (
            "record-length-long",
            "behind the body's end",
            deliver("13 00 04 0000000000000009 01 018bcfe56800 61"),
            7001,
        ),
        (
            "record-length-short",
            "inside its fields",
            deliver("0f 00 04 0000000000000009 01 018bcfe568"),
            7001,
        ),
        (
            "record-second-cut",
            "",
            deliver(&format!("{RECORD} 12 00")),
            7001,
        ),
        (
            "record-flag-3",
            "undefined",
            deliver("12 00 08 0000000000000009 01 018bcfe56800 61"),
            7001,
        ),
        (
            "record-user-0",
            "",
            deliver("12 00 04 0000000000000000 01 018bcfe56800 61"),
            7001,
        ),
        (
            "record-sender-0",
            "",
            deliver("1a 00 04 8000000000000009 01 0000000000000000 018bcfe56800 61"),
            7001,
        ),
        (
            "record-sender-2-63",
            "",
            deliver("1a 00 04 8000000000000009 01 8000000000000000 018bcfe56800 61"),
            7001,
        ),
        (
            "record-stub-others",
            "a stub that is not mine",
            deliver("11 00 02 0000000000000009 01 018bcfe56800"),
            7001,
        ),
        (
            "record-stub-payload",
            "a stub with a payload",
            deliver(
                "22 00 03 0000000000000009 01 018bcfe56800 0000000000000001 0000000000000005 61",
            ),
            7001,
        ),
        (
            "record-from_me-short",
            "",
            deliver("12 00 01 0000000000000009 01 018bcfe56800 61"),
            7001,
        ),
        (
            "deliver-cursor-overflow",
            "the second record would pass 2^64",
            framed(
                0x20,
                &format!("00 ff ff ff ff ff ff ff ff ff 01 {RECORD} {RECORD}"),
            ),
            7001,
        ),
        (
            "history_page-record-cut",
            "",
            framed(0x47, "00 01 12 00"),
            7001,
        ),
    ]
}

fn lists() -> Vec<Plain> {
    let mark = "01 0000000000000009 05";
    let ack = "0000000000000001 00 01 018bcfe56800";
    vec![
        ("send_ack-none", "", framed(0x11, "00 00"), 7001),
        (
            "send_ack-count-high",
            "",
            framed(0x11, &format!("00 02 {ack}")),
            7001,
        ),
        (
            "send_ack-count-low",
            "",
            framed(0x11, &format!("00 01 {ack} {ack}")),
            7001,
        ),
        (
            "send_ack-count-huge",
            "",
            framed(0x11, &format!("00 ff ff ff ff ff ff ff ff ff 01 {ack}")),
            7001,
        ),
        (
            "send_ack-status-2",
            "",
            framed(0x11, "00 01 0000000000000001 02 01 018bcfe56800"),
            7001,
        ),
        ("receipt-none", "", framed(0x22, "00 00"), 7001),
        (
            "receipt-kind-3",
            "",
            framed(0x22, "00 01 03 0000000000000009 05"),
            7001,
        ),
        (
            "receipt-user-unannounced",
            "",
            framed(0x22, &format!("00 01 {mark} 0000000000000008")),
            7001,
        ),
        (
            "receipt-user-missing",
            "",
            framed(0x22, &format!("01 01 {mark}")),
            7001,
        ),
        (
            "receipt-user-0",
            "",
            framed(0x22, &format!("01 01 {mark} 0000000000000000")),
            7001,
        ),
        (
            "receipt-user-2-63",
            "",
            framed(0x22, &format!("01 01 {mark} 8000000000000000")),
            7001,
        ),
        (
            "receipt-conversation-0",
            "",
            framed(0x22, "00 01 01 0000000000000000 05"),
            7001,
        ),
    ]
}

fn contradictions() -> Vec<Plain> {
    vec![
        (
            "hello-versions",
            "proto_min above proto_max",
            framed(0x03, "00 02 01 00 0000000000000001 00000001 01 00 00 00 00"),
            7001,
        ),
        (
            "welcome-resumed-reset",
            "",
            framed(0x04, &format!("03 {WELCOME_REST}")),
            7001,
        ),
        (
            "error-connection-value",
            "",
            framed(0x08, "00 1b59 00 05 00 00"),
            7001,
        ),
    ]
}

fn limits() -> Vec<Plain> {
    let agent = "61".repeat(65);
    let text = "61".repeat(129);
    let endpoint = "61".repeat(256);
    vec![
        ("hello-4097", "known from the length", hex("03 81 20"), 7003),
        (
            "hello-agent-65",
            "",
            framed(0x03, &format!("00 {HELLO_REST} 00 41 {agent} 00 00")),
            7003,
        ),
        (
            "error-message-129",
            "",
            framed(0x08, &format!("00 1b59 00 00 00 81 01 {text}")),
            7003,
        ),
        (
            "goaway-endpoint-256",
            "",
            framed(0x07, &format!("00 0bb9 00 00 80 02 {endpoint}")),
            7003,
        ),
        (
            "echo-4097",
            "",
            framed(0x0B, &format!("00 {}", "5a".repeat(4097))),
            7003,
        ),
        (
            "echoed-4097",
            "",
            framed(0x0C, &format!("00 {}", "5a".repeat(4097))),
            7003,
        ),
        (
            "send-262145",
            "known from the length",
            hex("10 81 80 10"),
            7003,
        ),
        (
            "ignored-262145",
            "skipping has the same limit",
            hex("8a 81 80 10"),
            7003,
        ),
    ]
}

fn small_limits() -> Vec<Fault> {
    vec![
        (
            "limit-send",
            "one byte above",
            hex("10 81 80 04"),
            7003,
            Some(65_536),
        ),
        ("limit-ping", "", hex("01 02 80 01"), 7003, Some(1)),
        (
            "limit-longest",
            "the longest length there is",
            hex("20 ff ff 7f"),
            7003,
            Some(2_097_150),
        ),
    ]
}

/// Frames of unknown types that must be skipped.
pub(crate) fn ignored_types() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    vec![
        ("type-80", "the first that may be skipped", framed(0x80, "")),
        ("type-8a", "GREASE", framed(0x8A, "")),
        (
            "type-9a",
            "GREASE with a body that looks like nothing",
            framed(0x9A, "ff ff ff"),
        ),
        (
            "type-fa",
            "GREASE with a length of two bytes",
            framed(0xFA, &"00".repeat(128)),
        ),
        (
            "type-a3",
            "TYPING of a later version",
            framed(0xA3, "00 01 0000000000000009"),
        ),
        ("type-ff", "private", framed(0xFF, "00")),
    ]
}

/// Frames with extensions to ignore, and the same frames without.
pub(crate) fn ignored_extensions() -> Vec<(&'static str, &'static str, Vec<u8>, Vec<u8>)> {
    let send = |front: &str| framed(0x10, &format!("{front} {SEND_REST}"));
    let sixteen = (0..16)
        .map(|n| format!("{:02x}00", 2 * n + 1))
        .collect::<String>();
    let largest = format!("80 80 08 0b fd 07 {}", "00".repeat(1021));
    vec![
        (
            "extension-odd",
            "GREASE, empty",
            send("80 02 0b 00"),
            send("00"),
        ),
        (
            "extension-odd-value",
            "",
            send("80 05 1b 03 010203"),
            send("00"),
        ),
        (
            "extension-odd-two",
            "",
            send("80 05 0b 00 1b 01 ff"),
            send("00"),
        ),
        (
            "extension-id-max",
            "",
            send("80 0b ff ff ff ff ff ff ff ff ff 01 00"),
            send("00"),
        ),
        (
            "extension-16",
            "as many as may be",
            send(&format!("80 20 {sixteen}")),
            send("00"),
        ),
        (
            "extension-1024-bytes",
            "as long as may be",
            send(&largest),
            send("00"),
        ),
        (
            "extension-sync_done",
            "with another flag",
            framed(0x41, "81 02 0b 00 01 05"),
            framed(0x41, "01 01 05"),
        ),
        (
            "extension-bye",
            "",
            framed(0x0A, "80 02 0b 00 01"),
            framed(0x0A, "00 01"),
        ),
        (
            "extension-deliver",
            "",
            framed(0x20, &format!("81 02 0b 00 01 {RECORD}")),
            framed(0x20, &format!("01 01 {RECORD}")),
        ),
    ]
}
