//! From HELLO to WELCOME: the token, the question to the page readers, the answer, and where delivery begins.

use super::{
    Action, Around, End, Event, Feed, Live, Opening, Outcome, Pings, Session, Told, before_session,
    millis,
};
use crate::close::Reason;
use crate::pages::{Ask, Hail, OpenAsk, Opened};
use crate::token::Refused;
use millpond_backplane::routes::Route;
use millpond_backplane::{Entry, InboxBody, InboxEntry};
use millpond_wire::{Code, DeviceId, Frame, Hello, PROTO, Reset, UserId, Welcome};

/// Judges a HELLO and asks for what its answer needs. What only the answer needs travels with the question.
pub(super) fn hello(
    since: u32,
    hello: &Hello<'_>,
    around: &Around<'_>,
    act: &mut impl FnMut(Action<'_>),
) -> Result<Opening, End> {
    if around.draining {
        return Err(Reason::DrainingEarly.into());
    }
    if !(hello.proto_min..=hello.proto_max).contains(&PROTO) {
        return Err(Reason::ClientTooOld.into());
    }
    let (user, token_ttl_s) = who(hello, around)?;
    let route = Route {
        address: around.address(user, hello.device),
        attempt: hello.attempt,
    };
    act(Action::Ask(Ask::Open(OpenAsk {
        route,
        hail: Hail {
            window: window(hello.window, around),
            background: hello.background,
            token_ttl_s,
            resume: hello
                .resume
                .as_ref()
                .map(|resume| (resume.epoch, resume.cursor)),
        },
    })));
    Ok(Opening {
        user,
        device: hello.device,
        attempt: hello.attempt,
        since,
        dirty: false,
    })
}

/// The user that a HELLO proves, and for how many seconds more.
fn who(hello: &Hello<'_>, around: &Around<'_>) -> Result<(UserId, u64), Reason> {
    let now_s = around.now_ms / 1_000;
    match hello.auth_kind {
        Hello::AUTH_JWT => match around.keys.verify(hello.token, hello.device, now_s) {
            Ok(verified) => Ok((verified.user, verified.ttl_s)),
            Err(Refused::Expired) => Err(Reason::TokenExpired),
            Err(Refused::Invalid) => Err(Reason::TokenInvalid),
        },
        Hello::AUTH_RESUME => {
            let token = hello.resume.as_ref().map_or(&[][..], |resume| resume.token);
            let resumed = around.keys.seals.open(token, hello.device, now_s);
            let resumed = resumed.ok_or(Reason::SessionExpired)?;
            Ok((resumed.user, resumed.ttl_s))
        }
        _ => Err(Reason::TokenInvalid),
    }
}

/// Records the client takes unacknowledged; 0 leaves it to us.
fn window(asked: u64, around: &Around<'_>) -> u16 {
    let limits = around.limits;
    match u16::try_from(asked) {
        Ok(0) => limits.inbox_window_default,
        Ok(asked) => asked.min(limits.inbox_window_max),
        Err(_) => limits.inbox_window_max,
    }
}

/// Where delivery begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// The client says where, with SYNC.
    Unsaid,
    From(u64),
    Reset(u8),
}

impl Begin {
    fn of(opened: &Opened) -> Self {
        match opened.hail.resume {
            None => Self::Unsaid,
            Some((epoch, _)) if epoch != opened.epoch => Self::Reset(Reset::EPOCH),
            Some((_, cursor)) if cursor > opened.head => Self::Reset(Reset::AHEAD),
            Some((_, cursor)) => Self::From(cursor),
        }
    }
}

impl Opening {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "everything else is as before HELLO"
    )]
    pub(super) fn step(
        &mut self,
        event: Event<'_>,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) -> Outcome {
        match event {
            Event::Opened(opened) => self
                .opened(opened, around, act)
                .map(|live| Some(Session::Open(live))),
            Event::OpenFailed => Err(Reason::Unavailable.into()),
            Event::Hints { .. } => {
                self.dirty = true;
                Ok(None)
            }
            other => before_session(self.since, &other, around),
        }
    }

    fn opened(
        &self,
        opened: &Opened,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) -> Result<Live, End> {
        if opened.older {
            return Err(End::kicked(Code::REPLACED));
        }
        let begin = Begin::of(opened);
        let who = (self.user, self.device);
        welcome(who, begin, opened, around, act);
        let mut live = Live {
            user: self.user,
            device: self.device,
            sent: opened.head,
            attempt: self.attempt,
            unacked: 0,
            window: opened.hail.window,
            sends_open: 0,
            histories_open: 0,
            stamp: 0,
            background: opened.hail.background,
            told: Told::epoch(opened.epoch),
            sends_refused: false,
            feed: Feed::Suspended,
        };
        match begin {
            Begin::Unsaid => {}
            Begin::From(cursor) => {
                live.sent = cursor;
                if cursor > opened.kept {
                    act(Action::Acked(cursor));
                }
                live.resume(opened.head, self.dirty, around, act);
            }
            Begin::Reset(reason) => live.reset(opened.epoch, reason, opened.head, act),
        }
        if let (Begin::Reset(Reset::AHEAD), Some((epoch, cursor))) = (begin, opened.hail.resume) {
            live.ahead(epoch, cursor, act);
        }
        Ok(live)
    }
}

impl Live {
    /// The inbox is told that a device was shown cursors that it no longer has.
    pub(super) fn ahead(&self, epoch: u64, cursor: u64, act: &mut impl FnMut(Action<'_>)) {
        act(Action::Append(Entry::Inbox(InboxEntry {
            user: self.user,
            body: InboxBody::Ahead {
                device: self.device,
                epoch,
                cursor,
            },
        })));
    }
}

fn welcome(
    who: (UserId, DeviceId),
    begin: Begin,
    opened: &Opened,
    around: &Around<'_>,
    act: &mut impl FnMut(Action<'_>),
) {
    let (ttl_s, seals) = (opened.hail.token_ttl_s, &around.keys.seals);
    let resume_token = seals.seal(who, ttl_s, around.now_ms, around.handle);
    let pings = Pings::of(around.handle, around.limits);
    act(Action::Frame(Frame::Welcome(Welcome {
        resumed: matches!(begin, Begin::From(_)),
        reset: matches!(begin, Begin::Reset(_)),
        throttled: false,
        proto: PROTO,
        features: 0,
        session: session_id(around),
        epoch: opened.epoch,
        server_ms: around.now_ms,
        ping_active_ms: millis(pings.active),
        ping_idle_ms: millis(pings.idle),
        max_frame: around.limits.frame_bytes_max as u64,
        send_window: u64::from(around.limits.send_window),
        token_ttl_s: opened.hail.token_ttl_s,
        resume_token: &resume_token,
        dictionary: 0,
    })));
}

/// For logs and support: shard, generation and slot of the connection, 16, 24 and 24 bits.
fn session_id(around: &Around<'_>) -> u64 {
    let handle = around.handle;
    let life = (u64::from(handle.shard) << 24) | u64::from(handle.generation);
    (life << 24) | u64::from(handle.slot)
}
