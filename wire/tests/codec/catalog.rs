//! What the valid vectors say: values only; their bytes come from the grammar.

use serde_json::{Value, json};

/// An id, a comment and the frame.
pub(crate) type Entry = (&'static str, &'static str, Value);

pub(crate) fn entries() -> Vec<Entry> {
    [connection(), messages(), inbox(), requests()].concat()
}

fn with(mut base: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

const MAX: &str = "18446744073709551615";
const MS_MAX: &str = "281474976710655";
const USER_MAX: &str = "9223372036854775807";

fn hello() -> Value {
    json!({
        "type": "HELLO", "resume": false, "background": false, "no_push": false, "proto_min": 1,
        "proto_max": 1, "features": "0", "device": "1", "attempt": 1_700_000_000, "auth_kind": 1,
        "token": "65794a68", "agent": "example/1.0", "max_frame": "262144", "window": "64",
    })
}

fn welcome() -> Value {
    json!({
        "type": "WELCOME", "resumed": false, "reset": false, "throttled": false, "proto": 1,
        "features": "0", "session": "81985529216486895", "epoch": "4242",
        "server_ms": "1700000000000", "ping_active_ms": "30000", "ping_idle_ms": "285000",
        "max_frame": "65536", "send_window": "16", "token_ttl_s": "3600",
        "resume_token": "00ff", "dictionary": "0",
    })
}

fn connection() -> Vec<Entry> {
    let resume =
        json!({"resume": true, "resume_token": "c0ffee", "epoch": "4242", "cursor": "300"});
    let bare = json!({"resume": true, "resume_token": "", "epoch": MAX, "cursor": MAX,
        "background": true, "no_push": true});
    let largest = json!({"proto_min": 0, "proto_max": 255, "features": MAX, "device": MAX,
        "attempt": u32::MAX, "auth_kind": 255, "token": "ab".repeat(128), "agent": "é".repeat(32),
        "max_frame": MAX, "window": MAX});
    let smallest = json!({"proto_min": 0, "proto_max": 0, "device": "0", "attempt": 0,
        "auth_kind": 0, "token": "", "agent": "", "max_frame": "0", "window": "0"});
    let welcome_max = json!({"throttled": true, "proto": 255, "features": MAX, "session": MAX,
        "epoch": MAX, "server_ms": MS_MAX, "ping_active_ms": MAX, "ping_idle_ms": MAX,
        "max_frame": MAX, "send_window": MAX, "token_ttl_s": MAX, "resume_token": "", "dictionary": MAX});
    let go_away = json!({"type": "GOAWAY", "resume_ok": true, "overlap": false, "code": 3001,
        "after_ms": "0", "spread_ms": "600000", "endpoint": ""});
    let error = json!({"type": "ERROR", "code": 7001, "scope": "connection", "value": "0",
        "retry_after_ms": "0", "message": ""});
    vec![
        ("ping-empty", "two bytes", json!({"type": "PING"})),
        ("ping-cursor-0", "", json!({"type": "PING", "cursor": "0"})),
        (
            "ping-cursor-127",
            "last one-byte varint",
            json!({"type": "PING", "cursor": "127"}),
        ),
        (
            "ping-cursor-128",
            "first two-byte varint",
            json!({"type": "PING", "cursor": "128"}),
        ),
        (
            "ping-cursor-max",
            "ten bytes",
            json!({"type": "PING", "cursor": MAX}),
        ),
        ("pong-empty", "", json!({"type": "PONG"})),
        (
            "pong-ms",
            "",
            json!({"type": "PONG", "server_ms": "1700000000000"}),
        ),
        (
            "pong-ms-max",
            "",
            json!({"type": "PONG", "server_ms": MS_MAX}),
        ),
        ("hello", "", hello()),
        ("hello-resume", "", with(hello(), &resume)),
        (
            "hello-resume-bare",
            "all flags; resume by cursor alone",
            with(hello(), &bare),
        ),
        (
            "hello-largest",
            "agent of 64 bytes, length of two bytes",
            with(hello(), &largest),
        ),
        ("hello-smallest", "", with(hello(), &smallest)),
        (
            "hello-background",
            "",
            with(hello(), &json!({"background": true})),
        ),
        (
            "hello-no-push",
            "",
            with(hello(), &json!({"no_push": true})),
        ),
        (
            "hello-4096",
            "the largest body",
            with(hello(), &json!({"token": "61".repeat(4061)})),
        ),
        ("welcome", "", welcome()),
        (
            "welcome-resumed",
            "",
            with(welcome(), &json!({"resumed": true})),
        ),
        (
            "welcome-reset",
            "",
            with(welcome(), &json!({"reset": true})),
        ),
        ("welcome-largest", "", with(welcome(), &welcome_max)),
        ("goaway-resume", "", go_away.clone()),
        (
            "goaway-overlap",
            "endpoint of 255 bytes",
            with(
                go_away.clone(),
                &json!({
            "resume_ok": false, "overlap": true, "code": 65535, "after_ms": MAX, "spread_ms": MAX,
            "endpoint": "e".repeat(255)}),
            ),
        ),
        (
            "goaway-plain",
            "no flag",
            with(go_away, &json!({"resume_ok": false, "code": 0})),
        ),
        ("error-connection", "", error.clone()),
        (
            "error-request",
            "",
            with(
                error.clone(),
                &json!({"code": 2001, "scope": "request",
            "value": "7", "retry_after_ms": "1500", "message": "later"}),
            ),
        ),
        (
            "error-message",
            "message of 128 bytes",
            with(
                error,
                &json!({"code": 1005,
            "scope": "message", "value": MAX, "retry_after_ms": MAX, "message": "€x".repeat(32)}),
            ),
        ),
        ("bye", "", json!({"type": "BYE", "reason": 0})),
        (
            "bye-unknown",
            "an unknown reason is valid",
            json!({"type": "BYE", "reason": 255}),
        ),
        ("echo-empty", "", json!({"type": "ECHO", "payload": ""})),
        ("echo", "", json!({"type": "ECHO", "payload": "00ff80"})),
        (
            "echo-4096",
            "",
            json!({"type": "ECHO", "payload": "5a".repeat(4096)}),
        ),
        ("echoed", "", json!({"type": "ECHOED", "payload": "00ff80"})),
        (
            "echoed-4096",
            "",
            json!({"type": "ECHOED", "payload": "5a".repeat(4096)}),
        ),
    ]
}

fn send() -> Value {
    json!({"type": "SEND", "after": false, "client_msg_id": "1782579200000000001",
        "conversation": {"direct": "9"}, "kind": 0, "payload": "68656c6c6f"})
}

/// A SEND whose body has `bytes` bytes.
fn send_of(bytes: usize) -> Value {
    with(send(), &json!({"payload": "61".repeat(bytes - 18)}))
}

fn ack() -> Value {
    json!({"client_msg_id": "1", "status": "new", "seq": "1", "server_ms": "1700000000000"})
}

fn messages() -> Vec<Entry> {
    let largest =
        json!({"client_msg_id": MAX, "status": "duplicate", "seq": MAX, "server_ms": MS_MAX});
    let smallest = json!({"client_msg_id": "0", "status": "new", "seq": "0", "server_ms": "0"});
    vec![
        ("send", "", send()),
        (
            "send-after",
            "",
            with(
                send(),
                &json!({"after": true, "after_id": "1782579200000000000"}),
            ),
        ),
        (
            "send-group",
            "",
            with(send(), &json!({"conversation": {"group": "1"}})),
        ),
        (
            "send-group-max",
            "",
            with(
                send(),
                &json!({"conversation": {"group": USER_MAX},
            "client_msg_id": MAX, "after": true, "after_id": MAX, "kind": 255}),
            ),
        ),
        (
            "send-group-0",
            "the smallest group id",
            with(send(), &json!({"conversation": {"group": "0"}})),
        ),
        (
            "send-direct-max",
            "",
            with(send(), &json!({"conversation": {"direct": USER_MAX}})),
        ),
        (
            "send-empty",
            "no payload",
            with(send(), &json!({"payload": "", "client_msg_id": "0"})),
        ),
        ("send-body-127", "last one-byte length", send_of(127)),
        ("send-body-128", "first two-byte length", send_of(128)),
        ("send-body-16383", "last two-byte length", send_of(16_383)),
        (
            "send-body-16384",
            "first three-byte length",
            send_of(16_384),
        ),
        ("send_ack", "", json!({"type": "SEND_ACK", "acks": [ack()]})),
        (
            "send_ack-duplicate",
            "",
            json!({"type": "SEND_ACK", "acks": [largest]}),
        ),
        (
            "send_ack-two",
            "",
            json!({"type": "SEND_ACK", "acks": [smallest, ack()]}),
        ),
        (
            "send_ack-128",
            "a count of two bytes",
            json!({"type": "SEND_ACK", "acks": vec![ack(); 128]}),
        ),
    ]
}

pub(crate) fn record() -> Value {
    json!({"kind": 0, "from_me": false, "stub": false, "counts": true,
        "conversation": {"direct": "9"}, "seq": "1", "server_ms": "1700000000000",
        "payload": "68656c6c6f"})
}

fn mine() -> Value {
    with(
        record(),
        &json!({"from_me": true, "counts": false, "device": "1", "client_msg_id": "5"}),
    )
}

fn group() -> Value {
    with(
        record(),
        &json!({"conversation": {"group": "3"}, "sender": "8"}),
    )
}

fn deliver(mode: &str, first_cursor: &str, records: &[Value]) -> Value {
    json!({"type": "DELIVER", "mode": mode, "first_cursor": first_cursor, "records": records})
}

fn inbox() -> Vec<Entry> {
    let stub = with(mine(), &json!({"stub": true, "payload": ""}));
    let group_mine = with(
        group(),
        &json!({"from_me": true, "device": MAX, "client_msg_id": MAX,
        "sender": USER_MAX, "seq": MAX, "server_ms": MS_MAX, "kind": 255,
        "conversation": {"group": USER_MAX}}),
    );
    let group_stub = with(group_mine.clone(), &json!({"stub": true, "payload": ""}));
    let long = with(record(), &json!({"payload": "61".repeat(200)}));
    let quiet = with(
        record(),
        &json!({"counts": false, "payload": "", "seq": "0"}),
    );
    let mark = json!({"kind": "read", "conversation": {"direct": "9"}, "up_to": "128"});
    let played = json!({"kind": "played", "conversation": {"group": "3"}, "up_to": MAX});
    let delivered =
        json!({"kind": "delivered", "conversation": {"direct": USER_MAX}, "up_to": "0"});
    let named = with(mark.clone(), &json!({"user": "9"}));
    let named_max = with(played.clone(), &json!({"user": USER_MAX}));
    vec![
        ("deliver-live", "", deliver("live", "1", &[record()])),
        ("deliver-sync", "", deliver("sync", "300", &[record()])),
        ("deliver-mine", "", deliver("live", "2", &[mine()])),
        ("deliver-stub", "", deliver("live", "3", &[stub.clone()])),
        ("deliver-group", "", deliver("live", "4", &[group()])),
        (
            "deliver-group-mine",
            "",
            deliver("live", "4", &[group_mine]),
        ),
        (
            "deliver-group-stub",
            "",
            deliver("live", "4", &[group_stub]),
        ),
        (
            "deliver-uncounted",
            "and empty: an erased message",
            deliver("sync", "0", &[quiet]),
        ),
        (
            "deliver-long",
            "a record length of two bytes",
            deliver("live", "5", &[long.clone()]),
        ),
        (
            "deliver-three",
            "",
            deliver("sync", "16383", &[record(), stub, group()]),
        ),
        (
            "deliver-last-cursor",
            "the highest cursor there is",
            deliver("live", MAX, &[record()]),
        ),
        (
            "cursor_ack-0",
            "",
            json!({"type": "CURSOR_ACK", "cursor": "0"}),
        ),
        (
            "cursor_ack",
            "",
            json!({"type": "CURSOR_ACK", "cursor": "5200000"}),
        ),
        (
            "cursor_ack-max",
            "",
            json!({"type": "CURSOR_ACK", "cursor": MAX}),
        ),
        (
            "receipt",
            "",
            json!({"type": "RECEIPT", "users": false, "marks": [mark]}),
        ),
        (
            "receipt-kinds",
            "",
            json!({"type": "RECEIPT", "users": false, "marks": [delivered, played]}),
        ),
        (
            "receipt-users",
            "",
            json!({"type": "RECEIPT", "users": true, "marks": [named]}),
        ),
        (
            "receipt-users-two",
            "",
            json!({"type": "RECEIPT", "users": true, "marks": [named_max, named]}),
        ),
        ("history_page-empty", "", page(true, "1", &[])),
        (
            "history_page",
            "",
            page(false, "300", &[record(), mine(), group(), long]),
        ),
    ]
}

fn page(end: bool, rid: &str, records: &[Value]) -> Value {
    json!({"type": "HISTORY_PAGE", "end": end, "rid": rid, "records": records})
}

fn requests() -> Vec<Entry> {
    let sync =
        json!({"type": "SYNC", "rid": "1", "epoch": "4242", "cursor": "300", "max_bytes": "65536"});
    let done = json!({"type": "SYNC_DONE", "more": false, "rid": "0", "cursor": "300"});
    let history = json!({"type": "HISTORY", "after": false, "rid": "2", "seq": MAX, "limit": "50",
        "conversation": {"direct": "9"}});
    vec![
        ("sync", "", sync.clone()),
        (
            "sync-largest",
            "",
            with(
                sync,
                &json!({"rid": MAX, "epoch": MAX, "cursor": MAX, "max_bytes": MAX}),
            ),
        ),
        ("sync_done", "of a resumed HELLO", done.clone()),
        (
            "sync_done-more",
            "",
            with(done, &json!({"more": true, "rid": MAX, "cursor": MAX})),
        ),
        (
            "reset",
            "",
            json!({"type": "RESET", "epoch": "4243", "reason": 1, "head": "0"}),
        ),
        (
            "reset-largest",
            "",
            json!({"type": "RESET", "epoch": MAX, "reason": 255, "head": MAX}),
        ),
        ("history-before", "the newest page", history.clone()),
        (
            "history-after",
            "",
            with(
                history,
                &json!({"after": true, "seq": "0", "limit": "0",
            "conversation": {"group": "3"}}),
            ),
        ),
    ]
}
