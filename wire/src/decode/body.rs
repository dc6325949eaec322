//! The body of each frame, field by field in wire order. Anything it lets pass is canonical: the encoder gives the
//! same bytes back, less ignored extensions.

use super::{Malformed, Reason};
use crate::item::MARKS_NAME_USERS;
use crate::reader::Reader;
use crate::tag::Tag;
use crate::{
    AGENT_BYTES_MAX, BODY_BYTES_MAX, Bye, Code, CursorAck, Deliver, DeviceId, ECHO_BYTES_MAX,
    ENDPOINT_BYTES_MAX, Echo, Echoed, Error, Frame, From, GoAway, Hello, History, HistoryPage,
    Kind, List, MESSAGE_BYTES_MAX, Mode, Ping, Pong, Receipt, Records, Reset, Resume, Scope, Send,
    SendAck, Sync, SyncDone, Welcome,
};

/// Reads a whole body, which begins at `offset` of its frame.
pub(super) fn read(tag: Tag, body: &[u8], offset: usize) -> Result<Frame<'_>, Malformed> {
    let mut reader = Reader::new(body, offset);
    let frame = fields(tag, &mut reader)?;
    reader.end()?;
    Ok(frame)
}

fn fields<'a>(tag: Tag, r: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
    Ok(match tag {
        Tag::Ping => Frame::Ping(ping(r)?),
        Tag::Pong => Frame::Pong(pong(r)?),
        Tag::Hello => Frame::Hello(hello(r)?),
        Tag::Welcome => Frame::Welcome(welcome(r)?),
        Tag::GoAway => Frame::GoAway(go_away(r)?),
        Tag::Error => Frame::Error(error(r)?),
        Tag::Bye => Frame::Bye(bye(r)?),
        Tag::Echo => Frame::Echo(Echo {
            payload: echo_payload(r)?,
        }),
        Tag::Echoed => Frame::Echoed(Echoed {
            payload: echo_payload(r)?,
        }),
        Tag::Send => Frame::Send(send(r)?),
        Tag::SendAck => Frame::SendAck(send_ack(r)?),
        Tag::Deliver => Frame::Deliver(deliver(r)?),
        Tag::CursorAck => Frame::CursorAck(CursorAck {
            cursor: r.varint()?,
        }),
        Tag::Receipt => Frame::Receipt(receipt(r)?),
        Tag::Sync => Frame::Sync(sync(r)?),
        Tag::SyncDone => Frame::SyncDone(sync_done(r)?),
        Tag::Reset => Frame::Reset(reset(r)?),
        Tag::History => Frame::History(history(r)?),
        Tag::HistoryPage => Frame::HistoryPage(history_page(r)?),
    })
}

fn ping(r: &mut Reader<'_>) -> Result<Ping, Malformed> {
    let cursor = if r.is_empty() {
        None
    } else {
        Some(r.varint()?)
    };
    Ok(Ping { cursor })
}

fn pong(r: &mut Reader<'_>) -> Result<Pong, Malformed> {
    let server_ms = if r.is_empty() { None } else { Some(r.ms()?) };
    Ok(Pong { server_ms })
}

fn hello<'a>(r: &mut Reader<'a>) -> Result<Hello<'a>, Malformed> {
    let flags = r.flags(0b111)?;
    let versions_at = *r;
    let (proto_min, proto_max) = (r.u8()?, r.u8()?);
    if proto_min > proto_max {
        return versions_at.fault(Reason::Contradiction);
    }
    Ok(Hello {
        background: flags & 2 != 0,
        no_push: flags & 4 != 0,
        proto_min,
        proto_max,
        features: r.varint()?,
        device: DeviceId(r.u64()?),
        attempt: r.u32()?,
        auth_kind: r.u8()?,
        token: r.bytes(BODY_BYTES_MAX)?,
        agent: r.str(AGENT_BYTES_MAX)?,
        max_frame: r.varint()?,
        window: r.varint()?,
        resume: if flags & 1 != 0 {
            Some(resume(r)?)
        } else {
            None
        },
    })
}

fn resume<'a>(r: &mut Reader<'a>) -> Result<Resume<'a>, Malformed> {
    Ok(Resume {
        token: r.bytes(BODY_BYTES_MAX)?,
        epoch: r.u64()?,
        cursor: r.varint()?,
    })
}

fn welcome<'a>(r: &mut Reader<'a>) -> Result<Welcome<'a>, Malformed> {
    let flags_at = *r;
    let flags = r.flags(0b111)?;
    if flags & 0b11 == 0b11 {
        return flags_at.fault(Reason::Contradiction);
    }
    Ok(Welcome {
        resumed: flags & 1 != 0,
        reset: flags & 2 != 0,
        throttled: flags & 4 != 0,
        proto: r.u8()?,
        features: r.varint()?,
        session: r.u64()?,
        epoch: r.u64()?,
        server_ms: r.ms()?,
        ping_active_ms: r.varint()?,
        ping_idle_ms: r.varint()?,
        max_frame: r.varint()?,
        send_window: r.varint()?,
        token_ttl_s: r.varint()?,
        resume_token: r.bytes(BODY_BYTES_MAX)?,
        dictionary: r.varint()?,
    })
}

fn go_away<'a>(r: &mut Reader<'a>) -> Result<GoAway<'a>, Malformed> {
    let flags = r.flags(0b11)?;
    Ok(GoAway {
        resume_ok: flags & 1 != 0,
        overlap: flags & 2 != 0,
        code: Code(r.u16()?),
        after_ms: r.varint()?,
        spread_ms: r.varint()?,
        endpoint: r.str(ENDPOINT_BYTES_MAX)?,
    })
}

fn error<'a>(r: &mut Reader<'a>) -> Result<Error<'a>, Malformed> {
    r.flags(0)?;
    Ok(Error {
        code: Code(r.u16()?),
        scope: scope(r)?,
        retry_after_ms: r.varint()?,
        message: r.str(MESSAGE_BYTES_MAX)?,
    })
}

fn scope(r: &mut Reader<'_>) -> Result<Scope, Malformed> {
    let start = *r;
    let kind = r.u8()?;
    let value = r.varint()?;
    match (kind, value) {
        (0, 0) => Ok(Scope::Connection),
        (0, _) => start.fault(Reason::Contradiction),
        (1, rid) => Ok(Scope::Request(rid)),
        (2, client_msg_id) => Ok(Scope::Message(client_msg_id)),
        (value, _) => start.fault(Reason::UnknownValue { value }),
    }
}

fn bye(r: &mut Reader<'_>) -> Result<Bye, Malformed> {
    r.flags(0)?;
    Ok(Bye { reason: r.u8()? })
}

fn echo_payload<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    r.flags(0)?;
    let have = r.remaining();
    if have > ECHO_BYTES_MAX {
        return r.fault(Reason::TooLarge {
            have,
            max: ECHO_BYTES_MAX,
        });
    }
    Ok(r.tail())
}

fn send<'a>(r: &mut Reader<'a>) -> Result<Send<'a>, Malformed> {
    let flags = r.flags(1)?;
    Ok(Send {
        client_msg_id: r.u64()?,
        conversation: r.conversation()?,
        after: if flags & 1 != 0 { Some(r.u64()?) } else { None },
        kind: Kind(r.u8()?),
        payload: r.tail(),
    })
}

fn send_ack<'a>(r: &mut Reader<'a>) -> Result<SendAck<'a>, Malformed> {
    let flags = r.flags(0)?;
    Ok(SendAck {
        acks: List::read(r, flags)?,
    })
}

fn deliver<'a>(r: &mut Reader<'a>) -> Result<Deliver<'a>, Malformed> {
    let start = *r;
    let mode = match r.flags(0b11)? {
        0 => Mode::Live,
        1 => Mode::Sync,
        value => return start.fault(Reason::UnknownValue { value }),
    };
    let cursor_at = *r;
    let first_cursor = r.varint()?;
    if first_cursor == 0 {
        return cursor_at.fault(Reason::CursorZero);
    }
    let records_at = *r;
    let (records, count) = Records::read(r)?;
    if count == 0 {
        return records_at.fault(Reason::Empty);
    }
    if first_cursor.checked_add(count - 1).is_none() {
        return cursor_at.fault(Reason::CursorOverflow);
    }
    Ok(Deliver {
        mode,
        first_cursor,
        records,
    })
}

fn receipt<'a>(r: &mut Reader<'a>) -> Result<Receipt<'a>, Malformed> {
    let flags = r.flags(MARKS_NAME_USERS)?;
    Ok(Receipt {
        marks: List::read(r, flags)?,
    })
}

fn sync(r: &mut Reader<'_>) -> Result<Sync, Malformed> {
    r.flags(0)?;
    Ok(Sync {
        rid: r.varint()?,
        epoch: r.u64()?,
        cursor: r.varint()?,
        max_bytes: r.varint()?,
    })
}

fn sync_done(r: &mut Reader<'_>) -> Result<SyncDone, Malformed> {
    let flags = r.flags(1)?;
    Ok(SyncDone {
        more: flags & 1 != 0,
        rid: r.varint()?,
        cursor: r.varint()?,
    })
}

fn reset(r: &mut Reader<'_>) -> Result<Reset, Malformed> {
    r.flags(0)?;
    Ok(Reset {
        epoch: r.u64()?,
        reason: r.u8()?,
        head: r.varint()?,
    })
}

fn history(r: &mut Reader<'_>) -> Result<History, Malformed> {
    let flags = r.flags(1)?;
    let rid = r.varint()?;
    let conversation = r.conversation()?;
    let seq = r.varint()?;
    let from = if flags & 1 != 0 {
        From::After(seq)
    } else {
        From::Before(seq)
    };
    Ok(History {
        rid,
        conversation,
        from,
        limit: r.varint()?,
    })
}

fn history_page<'a>(r: &mut Reader<'a>) -> Result<HistoryPage<'a>, Malformed> {
    let flags = r.flags(1)?;
    let rid = r.varint()?;
    let (records, _count) = Records::read(r)?;
    Ok(HistoryPage {
        end: flags & 1 != 0,
        rid,
        records,
    })
}
