//! One client's state: an enum fed with events; the next state and a list of actions come out. Pure: no socket, no clock,
//! no random source, no allocation while idle. Bytes become frames before they come here (the shard's stream), and
//! actions become bytes, entries and questions behind it (the shard). Called only by the shard.

#[cfg(test)]
mod bounds;
mod feed;
mod frames;
mod opening;
#[cfg(test)]
mod table;
mod told;

pub(crate) use feed::Feed;

use crate::close::Reason;
use crate::config::{Limits, TAKEN_BYTES_MAX};
use crate::pages::{Ask, Opened, Page};
use crate::token::Keys;
use crate::wheel::{ticks, ticks_up};
use millpond_backplane::routes::Route;
use millpond_backplane::{Address, Entry, GatewayId, Handle};
use millpond_wire::{
    Ack, Code, DeviceId, Error, Frame, GoAway, HELLO_BYTES_MAX, List, Malformed, Mark, Receipt,
    Scope, SendAck, UserId,
};
use std::time::Duration;
use told::Told;

/// How long after a refused SEND its window is taken as empty: acks are hints, and a lost one must not close it for ever.
const SENDS_FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// Advice with a refusal for want of room.
const BUSY_RETRY_MS: u64 = 200;
/// No request has it: it stands for what the client has sent in RECEIPTs.
const RECEIPT_RID: u64 = 0;
/// How soon a reading that was refused is tried again.
const READ_RETRY: Duration = Duration::from_secs(1);

/// Items of one SEND_ACK or RECEIPT: each has fewer than 64 bytes, so every client takes them together.
const ITEMS_MAX: usize = TAKEN_BYTES_MAX / 64;

/// An encoded record, the same bytes for all who read it; sessions only look at it.
#[expect(
    clippy::disallowed_types,
    reason = "a body crosses the mesh once for all its readers of a shard"
)]
pub(crate) type SharedRecord = std::sync::Arc<[u8]>;

#[derive(Debug)]
pub(crate) enum Session {
    /// Accepted; the preface has not come.
    Door {
        since: u32,
    },
    /// HELLO has not come.
    Greeting {
        since: u32,
    },
    /// HELLO is good; routes and rows are asked.
    Opening(Opening),
    Open(Live),
    /// Ended: the shard flushes what was said and closes. Every event is ignored.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Opening {
    user: UserId,
    device: DeviceId,
    attempt: u32,
    since: u32,
    /// A hint came: the head that is being read may be old.
    dirty: bool,
}

#[derive(Debug)]
pub(crate) struct Live {
    user: UserId,
    device: DeviceId,
    /// Everything up to this cursor was handed to the outbox, or is the client's own claim.
    sent: u64,
    attempt: u32,
    /// Of what was sent, how many records the client has not acknowledged.
    unacked: u16,
    window: u16,
    sends_open: u8,
    histories_open: u8,
    /// Of the newest page asked for: an answer with another stamp is to an older question.
    stamp: u8,
    background: bool,
    told: Told,
    /// A SEND was refused for the window since the last timer.
    sends_refused: bool,
    feed: Feed,
}

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Preface,
    BadPreface,
    Frame(Frame<'a>),
    Malformed(Malformed),
    Opened(&'a Opened),
    OpenFailed,
    /// As if it had never been asked.
    OpenRefused,
    Page(&'a Page),
    /// A page could not be read; `rid` of the SYNC that asked for it.
    PageFailed {
        stamp: u8,
        rid: Option<u64>,
    },
    History {
        rid: u64,
        end: bool,
        records: &'a [u8],
    },
    HistoryFailed {
        rid: u64,
        code: Code,
    },
    Head {
        epoch: u64,
        head: u64,
    },
    HeadFailed,
    /// All routes were lost, this one's too.
    RoutesLost,
    /// Records with consecutive cursors that the inbox has grown by.
    Hints {
        first: u64,
        records: &'a [SharedRecord],
    },
    Acks(&'a [Ack]),
    Refused {
        client_msg_id: u64,
        code: Code,
        retry_after_ms: u64,
    },
    /// Marks of the client found no room.
    MarksRefused {
        retry_after_ms: u64,
    },
    Marks(&'a [Mark]),
    Kick(Code),
    /// The outbox has room again.
    Drained,
    /// A deadline that [`Session::deadline`] named has come; nothing was heard for `quiet` ticks.
    Timer {
        quiet: u32,
    },
    Drain {
        spread_ms: u64,
    },
    /// The shard ends it.
    End(Reason),
}

/// What a session wants done, in this order.
#[derive(Debug)]
pub(crate) enum Action<'a> {
    Frame(Frame<'a>),
    /// A DELIVER (live) of records that stay where they are.
    Deliver {
        first: u64,
        records: &'a [SharedRecord],
    },
    /// Refused by the log, a SEND comes back as [`Event::Refused`].
    Append(Entry),
    /// The device keeps its inbox up to this cursor: tell the inbox by the end of the turn.
    Acked(u64),
    /// Refused by the pool, it comes back as the event of its failure.
    Ask(Ask),
    /// The route of this session is to be removed.
    Unroute(Route),
    /// [`Session::deadline`] may be nearer than before.
    Retime,
    /// Last action: flush what was said, then close.
    Close(Reason),
}

/// What a session may know of the world around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) keys: &'a Keys,
    pub(crate) gateway: GatewayId,
    pub(crate) gateway_epoch: u32,
    pub(crate) handle: Handle,
    pub(crate) now_ms: u64,
    pub(crate) tick: u32,
    /// Bytes of deliveries that the outbox takes. The last record may go beyond; with 0 none leaves.
    pub(crate) room_bytes: usize,
    pub(crate) draining: bool,
}

/// What the bytes that come next are taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expects {
    Preface,
    Frame {
        body_bytes_max: usize,
    },
    /// Bytes stay where they are.
    Nothing,
}

impl Session {
    pub(crate) fn new(tick: u32) -> Self {
        Self::Door { since: tick }
    }

    pub(crate) fn expects(&self, limits: &Limits) -> Expects {
        match self {
            Self::Door { .. } => Expects::Preface,
            Self::Greeting { .. } => Expects::Frame {
                body_bytes_max: HELLO_BYTES_MAX,
            },
            Self::Open(_) => Expects::Frame {
                body_bytes_max: limits.frame_bytes_max,
            },
            Self::Opening(_) | Self::Closed => Expects::Nothing,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Counts against the bound of handshakes.
    pub(crate) fn in_handshake(&self) -> bool {
        matches!(
            self,
            Self::Door { .. } | Self::Greeting { .. } | Self::Opening(_)
        )
    }

    /// Has not said who it is.
    pub(crate) fn awaits_hello(&self) -> bool {
        matches!(self, Self::Door { .. } | Self::Greeting { .. })
    }

    /// Whose session it is, once a token said so.
    pub(crate) fn who(&self) -> Option<(UserId, DeviceId)> {
        match self {
            Self::Opening(opening) => Some((opening.user, opening.device)),
            Self::Open(live) => Some((live.user, live.device)),
            Self::Door { .. } | Self::Greeting { .. } | Self::Closed => None,
        }
    }

    /// The tick at which it wants [`Event::Timer`], when it last heard something at `heard`.
    pub(crate) fn deadline(&self, heard: u32, around: &Around<'_>) -> Option<u32> {
        match self {
            // At the end of the door's patience the shard has a look whether somebody waits behind it.
            Self::Door { since } | Self::Greeting { since } => {
                let patience = since.saturating_add(ticks_up(around.limits.handshake_patience));
                let deadline = handshake_deadline(*since, around);
                Some(if around.tick < patience {
                    patience.min(deadline)
                } else {
                    deadline
                })
            }
            Self::Opening(opening) => Some(handshake_deadline(opening.since, around)),
            Self::Open(live) => Some(live.deadline(heard, around)),
            Self::Closed => None,
        }
    }

    pub(crate) fn step(
        &mut self,
        event: Event<'_>,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        if let (Self::Opening(opening), Event::OpenRefused) = (&*self, &event) {
            // No route was written, so none has to go.
            let since = opening.since;
            *self = Self::Greeting { since };
            return self.close(Reason::Unavailable.into(), around, act);
        }
        let outcome = match self {
            Self::Closed => return,
            Self::Door { since } => at_door(*since, event, around),
            Self::Greeting { since } => greeted(*since, event, around, act),
            Self::Opening(opening) => opening.step(event, around, act),
            Self::Open(live) => live.step(event, around, act).map(|()| None),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(next)) => {
                *self = next;
                act(Action::Retime);
            }
            Err(end) => self.close(end, around, act),
        }
    }

    /// The only way to the end: says why, gives the route back, closes.
    fn close(&mut self, end: End, around: &Around<'_>, act: &mut impl FnMut(Action<'_>)) {
        if let Some(code) = end.code {
            act(Action::Frame(Frame::Error(Error {
                code,
                scope: Scope::Connection,
                retry_after_ms: 0,
                message: end.reason.name(),
            })));
        }
        if let Some(route) = self.route(around) {
            act(Action::Unroute(route));
        }
        *self = Self::Closed;
        act(Action::Close(end.reason));
    }

    fn route(&self, around: &Around<'_>) -> Option<Route> {
        match self {
            Self::Opening(opening) => Some(Route {
                address: around.address(opening.user, opening.device),
                attempt: opening.attempt,
            }),
            Self::Open(live) => Some(live.route(around)),
            Self::Door { .. } | Self::Greeting { .. } | Self::Closed => None,
        }
    }
}

/// Why a session ends, and the code its client is told.
#[derive(Clone, Copy, Debug)]
struct End {
    reason: Reason,
    code: Option<Code>,
}

impl From<Reason> for End {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            code: reason.code(),
        }
    }
}

impl End {
    fn kicked(code: Code) -> Self {
        let reason = if code == Code::REPLACED {
            Reason::Replaced
        } else {
            Reason::Kicked
        };
        Self {
            reason,
            code: Some(code),
        }
    }
}

/// The next state, where it is another one.
type Outcome = Result<Option<Session>, End>;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "everything else is judged by `before_session`"
)]
fn at_door(since: u32, event: Event<'_>, around: &Around<'_>) -> Outcome {
    match event {
        Event::Preface => Ok(Some(Session::Greeting { since })),
        other => before_session(since, &other, around),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "everything else is judged by `before_session`"
)]
fn greeted(
    since: u32,
    event: Event<'_>,
    around: &Around<'_>,
    act: &mut impl FnMut(Action<'_>),
) -> Outcome {
    match event {
        Event::Frame(Frame::Hello(hello)) => opening::hello(since, &hello, around, act)
            .map(|opening| Some(Session::Opening(opening))),
        Event::Frame(_) => Err(Reason::NotAuthenticated.into()),
        other => before_session(since, &other, around),
    }
}

/// What is the same in every state before the session stands.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else arrives is for an earlier life or for nobody"
)]
fn before_session(since: u32, event: &Event<'_>, around: &Around<'_>) -> Outcome {
    match event {
        Event::BadPreface => Err(Reason::NoPreface.into()),
        Event::Malformed(malformed) => Err(Reason::of(*malformed).into()),
        Event::Kick(code) => Err(End::kicked(*code)),
        Event::Timer { .. } if around.tick >= handshake_deadline(since, around) => {
            Err(Reason::HandshakeTimeout.into())
        }
        Event::Drain { .. } => Err(Reason::DrainingEarly.into()),
        Event::End(reason) => Err((*reason).into()),
        _ => Ok(None),
    }
}

fn handshake_deadline(since: u32, around: &Around<'_>) -> u32 {
    since.saturating_add(ticks_up(around.limits.handshake_deadline))
}

impl Live {
    fn route(&self, around: &Around<'_>) -> Route {
        Route {
            address: around.address(self.user, self.device),
            attempt: self.attempt,
        }
    }

    fn acked(&self) -> u64 {
        self.sent - u64::from(self.unacked)
    }

    fn window_open(&self) -> bool {
        self.unacked < self.window
    }

    fn step(
        &mut self,
        event: Event<'_>,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) -> Result<(), End> {
        match event {
            Event::Frame(frame) => return self.frame(&frame, around, act),
            Event::Malformed(malformed) => return Err(Reason::of(malformed).into()),
            Event::Page(page) => self.page(page, around, act),
            Event::PageFailed { stamp, rid } => self.page_failed(stamp, rid, act),
            Event::History { rid, end, records } => self.history_read(rid, end, records, act),
            Event::HistoryFailed { rid, code } => self.history_failed(rid, code, act),
            Event::Head { epoch, head } => self.head(epoch, head, around, act),
            // The next PING asks again.
            Event::HeadFailed => self.head_answered(),
            Event::RoutesLost => self.assert_route(around, act),
            Event::Hints { first, records } => self.hints(first, records, around, act),
            Event::Acks(acks) => self.answered(acks, act),
            Event::Refused {
                client_msg_id,
                code,
                retry_after_ms,
            } => self.refused(client_msg_id, code, retry_after_ms, act),
            Event::MarksRefused { retry_after_ms } => {
                refuse(Scope::Request(RECEIPT_RID), Code::BUSY, retry_after_ms, act);
            }
            Event::Marks(marks) => marks.chunks(ITEMS_MAX).for_each(|marks| {
                let marks = List::of(marks);
                act(Action::Frame(Frame::Receipt(Receipt { marks })));
            }),
            Event::Kick(code) => return Err(End::kicked(code)),
            Event::Drained => self.read_on(around, act),
            Event::Timer { quiet } => return self.timer(quiet, around, act),
            Event::Drain { spread_ms } => act(Action::Frame(Frame::GoAway(GoAway {
                resume_ok: true,
                overlap: false,
                code: Code::DRAINING,
                after_ms: 0,
                spread_ms,
                endpoint: "",
            }))),
            Event::End(reason) => return Err(reason.into()),
            Event::Preface
            | Event::BadPreface
            | Event::Opened(_)
            | Event::OpenFailed
            | Event::OpenRefused => {
                unreachable!("bytes and answers of the handshake end with it")
            }
        }
        Ok(())
    }

    fn deadline(&self, heard: u32, around: &Around<'_>) -> u32 {
        let mut deadline = heard.saturating_add(self.idle_ticks(around));
        if self.sends_refused {
            deadline = deadline.min(around.tick + ticks_up(SENDS_FORGOTTEN_AFTER));
        }
        if matches!(self.feed, Feed::Waiting { .. }) && self.window_open() {
            deadline = deadline.min(around.tick + ticks_up(READ_RETRY));
        }
        deadline
    }

    fn timer(
        &mut self,
        quiet: u32,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) -> Result<(), End> {
        if quiet >= self.idle_ticks(around) {
            return Err(Reason::Idle.into());
        }
        if self.sends_refused {
            self.sends_refused = false;
            self.sends_open = 0;
        }
        self.read_on(around, act);
        Ok(())
    }

    fn idle_ticks(&self, around: &Around<'_>) -> u32 {
        let pings = Pings::of(around.handle, around.limits);
        let interval = if self.background {
            pings.idle
        } else {
            pings.active
        };
        ticks(interval * 3 / 2 + around.limits.ping_slack)
    }

    fn answered(&mut self, acks: &[Ack], act: &mut impl FnMut(Action<'_>)) {
        let answered = u8::try_from(acks.len()).unwrap_or(u8::MAX);
        self.sends_open = self.sends_open.saturating_sub(answered);
        acks.chunks(ITEMS_MAX).for_each(|acks| {
            let acks = List::of(acks);
            act(Action::Frame(Frame::SendAck(SendAck { acks })));
        });
    }

    fn refused(
        &mut self,
        client_msg_id: u64,
        code: Code,
        retry_after_ms: u64,
        act: &mut impl FnMut(Action<'_>),
    ) {
        self.sends_open = self.sends_open.saturating_sub(1);
        refuse(Scope::Message(client_msg_id), code, retry_after_ms, act);
    }
}

/// An ERROR behind which the connection goes on.
fn refuse(scope: Scope, code: Code, retry_after_ms: u64, act: &mut impl FnMut(Action<'_>)) {
    act(Action::Frame(Frame::Error(Error {
        code,
        scope,
        retry_after_ms,
        message: code.name().unwrap_or(""),
    })));
}

/// The heartbeat of one connection: ±10 %, chosen by its handle, so that it need not be stored.
struct Pings {
    active: Duration,
    idle: Duration,
}

impl Pings {
    fn of(handle: Handle, limits: &Limits) -> Self {
        const PER_MILLE_MIN: u32 = 900;
        const PER_MILLE_SPAN: u32 = 201;
        let mixed = (handle.slot ^ handle.generation.rotate_left(16)).wrapping_mul(0x9E37_79B9);
        let per_mille = PER_MILLE_MIN + (mixed >> 8) % PER_MILLE_SPAN;
        Self {
            active: limits.ping_active * per_mille / 1_000,
            idle: limits.ping_idle * per_mille / 1_000,
        }
    }
}

impl Around<'_> {
    fn address(&self, user: UserId, device: DeviceId) -> Address {
        Address {
            gateway: self.gateway,
            gateway_epoch: self.gateway_epoch,
            handle: self.handle,
            user,
            device,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("configured times fit 64 bits of milliseconds")
}
