//! The body of each frame, field by field in wire order.

use crate::item::MARKS_NAME_USERS;
use crate::tag::Tag;
use crate::varint::put_varint;
use crate::writer::{put_bytes, put_conversation, put_flags, put_ms, put_str, put_u64};
use crate::{
    AGENT_BYTES_MAX, Deliver, ECHO_BYTES_MAX, ENDPOINT_BYTES_MAX, Error, Frame, From, GoAway,
    HELLO_BYTES_MAX, Hello, History, HistoryPage, Ignored, MESSAGE_BYTES_MAX, Mode, Receipt, Reset,
    Resume, Scope, Send, SendAck, Sync, SyncDone, Welcome,
};
use alloc::vec::Vec;

pub(super) fn put(frame: &Frame<'_>, out: &mut Vec<u8>) {
    match frame {
        Frame::Ping(ping) => ping
            .cursor
            .into_iter()
            .for_each(|cursor| put_varint(cursor, out)),
        Frame::Pong(pong) => pong.server_ms.into_iter().for_each(|ms| put_ms(ms, out)),
        Frame::Hello(frame) => hello(frame, out),
        Frame::Welcome(frame) => welcome(frame, out),
        Frame::GoAway(frame) => go_away(frame, out),
        Frame::Error(frame) => error(frame, out),
        Frame::Bye(bye) => out.extend_from_slice(&[0, bye.reason]),
        Frame::Echo(frame) => echo(frame.payload, out),
        Frame::Echoed(frame) => echo(frame.payload, out),
        Frame::Send(frame) => send(frame, out),
        Frame::SendAck(frame) => send_ack(frame, out),
        Frame::Deliver(frame) => deliver(frame, out),
        Frame::CursorAck(ack) => put_varint(ack.cursor, out),
        Frame::Receipt(frame) => receipt(frame, out),
        Frame::Sync(frame) => sync(frame, out),
        Frame::SyncDone(frame) => sync_done(frame, out),
        Frame::Reset(frame) => reset(frame, out),
        Frame::History(frame) => history(frame, out),
        Frame::HistoryPage(frame) => history_page(frame, out),
        Frame::Ignored(frame) => ignored(frame, out),
    }
}

fn hello(hello: &Hello<'_>, out: &mut Vec<u8>) {
    assert!(
        hello.proto_min <= hello.proto_max,
        "an empty range of versions"
    );
    let start = out.len();
    put_flags(
        [hello.resume.is_some(), hello.background, hello.no_push],
        out,
    );
    out.extend_from_slice(&[hello.proto_min, hello.proto_max]);
    put_varint(hello.features, out);
    put_u64(hello.device.0, out);
    out.extend_from_slice(&hello.attempt.to_be_bytes());
    out.push(hello.auth_kind);
    put_bytes(hello.token, out);
    put_str(hello.agent, AGENT_BYTES_MAX, out);
    put_varint(hello.max_frame, out);
    put_varint(hello.window, out);
    if let Some(tail) = &hello.resume {
        resume(tail, out);
    }
    assert!(
        out.len() - start <= HELLO_BYTES_MAX,
        "a HELLO of {} bytes",
        out.len() - start
    );
}

fn resume(resume: &Resume<'_>, out: &mut Vec<u8>) {
    put_bytes(resume.token, out);
    put_u64(resume.epoch, out);
    put_varint(resume.cursor, out);
}

fn welcome(welcome: &Welcome<'_>, out: &mut Vec<u8>) {
    assert!(
        !(welcome.resumed && welcome.reset),
        "resumed and reset exclude each other"
    );
    put_flags([welcome.resumed, welcome.reset, welcome.throttled], out);
    out.push(welcome.proto);
    put_varint(welcome.features, out);
    put_u64(welcome.session, out);
    put_u64(welcome.epoch, out);
    put_ms(welcome.server_ms, out);
    put_varint(welcome.ping_active_ms, out);
    put_varint(welcome.ping_idle_ms, out);
    put_varint(welcome.max_frame, out);
    put_varint(welcome.send_window, out);
    put_varint(welcome.token_ttl_s, out);
    put_bytes(welcome.resume_token, out);
    put_varint(welcome.dictionary, out);
}

fn go_away(go_away: &GoAway<'_>, out: &mut Vec<u8>) {
    put_flags([go_away.resume_ok, go_away.overlap], out);
    out.extend_from_slice(&go_away.code.0.to_be_bytes());
    put_varint(go_away.after_ms, out);
    put_varint(go_away.spread_ms, out);
    put_str(go_away.endpoint, ENDPOINT_BYTES_MAX, out);
}

fn error(error: &Error<'_>, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&error.code.0.to_be_bytes());
    let (scope, value) = match error.scope {
        Scope::Connection => (0, 0),
        Scope::Request(rid) => (1, rid),
        Scope::Message(client_msg_id) => (2, client_msg_id),
    };
    out.push(scope);
    put_varint(value, out);
    put_varint(error.retry_after_ms, out);
    put_str(error.message, MESSAGE_BYTES_MAX, out);
}

fn echo(payload: &[u8], out: &mut Vec<u8>) {
    assert!(
        payload.len() <= ECHO_BYTES_MAX,
        "an ECHO of {} bytes",
        payload.len()
    );
    out.push(0);
    out.extend_from_slice(payload);
}

fn send(send: &Send<'_>, out: &mut Vec<u8>) {
    put_flags([send.after.is_some()], out);
    put_u64(send.client_msg_id, out);
    put_conversation(send.conversation, out);
    if let Some(after) = send.after {
        put_u64(after, out);
    }
    out.push(send.kind.0);
    out.extend_from_slice(send.payload);
}

fn send_ack(ack: &SendAck<'_>, out: &mut Vec<u8>) {
    out.push(0);
    ack.acks.put(0, out);
}

fn deliver(deliver: &Deliver<'_>, out: &mut Vec<u8>) {
    assert!(
        !deliver.records.is_empty(),
        "a DELIVER has at least one record"
    );
    assert!(deliver.first_cursor > 0, "cursors begin at 1");
    put_flags([deliver.mode == Mode::Sync], out);
    put_varint(deliver.first_cursor, out);
    out.extend_from_slice(deliver.records.as_bytes());
}

fn receipt(receipt: &Receipt<'_>, out: &mut Vec<u8>) {
    let named = receipt
        .marks
        .iter()
        .next()
        .is_some_and(|mark| mark.user.is_some());
    let flags = if named { MARKS_NAME_USERS } else { 0 };
    out.push(flags);
    receipt.marks.put(flags, out);
}

fn sync(sync: &Sync, out: &mut Vec<u8>) {
    out.push(0);
    put_varint(sync.rid, out);
    put_u64(sync.epoch, out);
    put_varint(sync.cursor, out);
    put_varint(sync.max_bytes, out);
}

fn sync_done(done: &SyncDone, out: &mut Vec<u8>) {
    put_flags([done.more], out);
    put_varint(done.rid, out);
    put_varint(done.cursor, out);
}

fn reset(reset: &Reset, out: &mut Vec<u8>) {
    out.push(0);
    put_u64(reset.epoch, out);
    out.push(reset.reason);
    put_varint(reset.head, out);
}

fn history(history: &History, out: &mut Vec<u8>) {
    let (after, seq) = match history.from {
        From::Before(seq) => (false, seq),
        From::After(seq) => (true, seq),
    };
    put_flags([after], out);
    put_varint(history.rid, out);
    put_conversation(history.conversation, out);
    put_varint(seq, out);
    put_varint(history.limit, out);
}

fn history_page(page: &HistoryPage<'_>, out: &mut Vec<u8>) {
    put_flags([page.end], out);
    put_varint(page.rid, out);
    out.extend_from_slice(page.records.as_bytes());
}

fn ignored(ignored: &Ignored<'_>, out: &mut Vec<u8>) {
    let skippable = ignored.kind >= Tag::SKIPPABLE && Tag::from_byte(ignored.kind).is_none();
    assert!(
        skippable,
        "type {:#04x} is not one that receivers skip",
        ignored.kind
    );
    out.extend_from_slice(ignored.body);
}
