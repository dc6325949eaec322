//! Decoded frames as the JSON of the vectors.

use crate::grammar::to_hex;
use millpond_wire::*;
use serde_json::{Map, Value, json};

/// The JSON of a frame; of an ignored one, null.
pub(crate) fn frame(frame: &Frame<'_>) -> Value {
    let mut object = fields(frame);
    if let (Some(tag), Some(object)) = (frame.tag(), object.as_object_mut()) {
        object.insert("type".to_owned(), tag.name().into());
        object.retain(|_, value| !value.is_null());
    }
    object
}

fn fields(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::Ping(ping) => json!({ "cursor": ping.cursor.map(decimal) }),
        Frame::Pong(pong) => json!({ "server_ms": pong.server_ms.map(decimal) }),
        Frame::Hello(frame) => hello(frame),
        Frame::Welcome(frame) => welcome(frame),
        Frame::GoAway(frame) => json!({
            "resume_ok": frame.resume_ok, "overlap": frame.overlap, "code": frame.code.0,
            "after_ms": decimal(frame.after_ms), "spread_ms": decimal(frame.spread_ms),
            "endpoint": frame.endpoint,
        }),
        Frame::Error(frame) => error(frame),
        Frame::Bye(bye) => json!({ "reason": bye.reason }),
        Frame::Echo(echo) => json!({ "payload": to_hex(echo.payload) }),
        Frame::Echoed(echo) => json!({ "payload": to_hex(echo.payload) }),
        Frame::Send(send) => json!({
            "after": send.after.is_some(), "client_msg_id": decimal(send.client_msg_id),
            "conversation": conversation(send.conversation), "after_id": send.after.map(decimal),
            "kind": send.kind.0, "payload": to_hex(send.payload),
        }),
        Frame::SendAck(frame) => json!({ "acks": frame.acks.iter().map(ack).collect::<Vec<_>>() }),
        Frame::Deliver(frame) => json!({
            "mode": match frame.mode { Mode::Live => "live", Mode::Sync => "sync" },
            "first_cursor": decimal(frame.first_cursor), "records": records(frame.records),
        }),
        Frame::CursorAck(ack) => json!({ "cursor": decimal(ack.cursor) }),
        Frame::Receipt(frame) => json!({
            "users": frame.marks.iter().all(|mark| mark.user.is_some()),
            "marks": frame.marks.iter().map(mark).collect::<Vec<_>>(),
        }),
        Frame::Sync(sync) => json!({
            "rid": decimal(sync.rid), "epoch": decimal(sync.epoch), "cursor": decimal(sync.cursor),
            "max_bytes": decimal(sync.max_bytes),
        }),
        Frame::SyncDone(done) => json!({
            "more": done.more, "rid": decimal(done.rid), "cursor": decimal(done.cursor),
        }),
        Frame::Reset(reset) => json!({
            "epoch": decimal(reset.epoch), "reason": reset.reason, "head": decimal(reset.head),
        }),
        Frame::History(frame) => history(frame),
        Frame::HistoryPage(page) => json!({
            "end": page.end, "rid": decimal(page.rid), "records": records(page.records),
        }),
        Frame::Ignored(_) => Value::Null,
    }
}

fn hello(hello: &Hello<'_>) -> Value {
    let resume = hello.resume.as_ref();
    json!({
        "resume": resume.is_some(), "background": hello.background, "no_push": hello.no_push,
        "proto_min": hello.proto_min, "proto_max": hello.proto_max,
        "features": decimal(hello.features), "device": decimal(hello.device.0),
        "attempt": hello.attempt, "auth_kind": hello.auth_kind, "token": to_hex(hello.token),
        "agent": hello.agent, "max_frame": decimal(hello.max_frame),
        "window": decimal(hello.window),
        "resume_token": resume.map(|resume| to_hex(resume.token)),
        "epoch": resume.map(|resume| decimal(resume.epoch)),
        "cursor": resume.map(|resume| decimal(resume.cursor)),
    })
}

fn welcome(welcome: &Welcome<'_>) -> Value {
    json!({
        "resumed": welcome.resumed, "reset": welcome.reset, "throttled": welcome.throttled,
        "proto": welcome.proto, "features": decimal(welcome.features),
        "session": decimal(welcome.session), "epoch": decimal(welcome.epoch),
        "server_ms": decimal(welcome.server_ms),
        "ping_active_ms": decimal(welcome.ping_active_ms),
        "ping_idle_ms": decimal(welcome.ping_idle_ms), "max_frame": decimal(welcome.max_frame),
        "send_window": decimal(welcome.send_window), "token_ttl_s": decimal(welcome.token_ttl_s),
        "resume_token": to_hex(welcome.resume_token), "dictionary": decimal(welcome.dictionary),
    })
}

fn error(error: &Error<'_>) -> Value {
    let (scope, value) = match error.scope {
        Scope::Connection => ("connection", 0),
        Scope::Request(rid) => ("request", rid),
        Scope::Message(client_msg_id) => ("message", client_msg_id),
    };
    json!({
        "code": error.code.0, "scope": scope, "value": decimal(value),
        "retry_after_ms": decimal(error.retry_after_ms), "message": error.message,
    })
}

fn history(history: &History) -> Value {
    let (after, seq) = match history.from {
        From::Before(seq) => (false, seq),
        From::After(seq) => (true, seq),
    };
    json!({
        "after": after, "rid": decimal(history.rid),
        "conversation": conversation(history.conversation), "seq": decimal(seq),
        "limit": decimal(history.limit),
    })
}

fn ack(ack: Ack) -> Value {
    json!({
        "client_msg_id": decimal(ack.client_msg_id),
        "status": match ack.status { AckStatus::New => "new", AckStatus::Duplicate => "duplicate" },
        "seq": decimal(ack.seq), "server_ms": decimal(ack.server_ms),
    })
}

fn mark(mark: Mark) -> Value {
    let kind = match mark.kind {
        MarkKind::Delivered => "delivered",
        MarkKind::Read => "read",
        MarkKind::Played => "played",
    };
    present(json!({
        "kind": kind, "conversation": conversation(mark.conversation),
        "up_to": decimal(mark.up_to), "user": mark.user.map(|user| decimal(user.value())),
    }))
}

fn records(records: Records<'_>) -> Vec<Value> {
    records.iter().map(record).collect()
}

fn record(record: Record<'_>) -> Value {
    present(json!({
        "kind": record.kind.0, "from_me": record.origin.is_some(), "stub": record.stub,
        "counts": record.counts, "conversation": conversation(record.conversation),
        "seq": decimal(record.seq), "sender": record.sender.map(|user| decimal(user.value())),
        "server_ms": decimal(record.server_ms),
        "device": record.origin.map(|origin| decimal(origin.device.0)),
        "client_msg_id": record.origin.map(|origin| decimal(origin.client_msg_id)),
        "payload": to_hex(record.payload),
    }))
}

/// Without the fields that are not there.
fn present(mut value: Value) -> Value {
    let object: &mut Map<String, Value> = value.as_object_mut().unwrap();
    object.retain(|_, value| !value.is_null());
    value
}

fn conversation(conversation: Conversation) -> Value {
    match conversation {
        Conversation::Direct(user) => json!({ "direct": decimal(user.value()) }),
        Conversation::Group(group) => json!({ "group": decimal(group) }),
    }
}

fn decimal(value: u64) -> String {
    value.to_string()
}
