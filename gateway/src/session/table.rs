//! The table state × event, as a reviewed snapshot; and what holds for any sequence of events.

#![expect(
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm,
    reason = "proptest's own types; a test names what it expects and lumps the rest"
)]

use super::*;
use crate::close::Reason;
use crate::pages::{Ask, Found, Hail, Opened, Page};
use crate::tests::mill::{keys, token, user};
use millpond_backplane::{CommandBody, InboxBody};
use millpond_wire::*;
use proptest::prelude::*;
use std::fmt::Write as _;

const NOW_S: u64 = 1_800_000_000;
const TICK: u32 = 100;
pub(super) const HEAD: u64 = 10;

pub(super) fn around<'a>(limits: &'a Limits, keys: &'a Keys) -> Around<'a> {
    Around {
        limits,
        keys,
        gateway: GatewayId(1),
        gateway_epoch: 1,
        handle: Handle {
            shard: 0,
            slot: 3,
            generation: 4,
        },
        now_ms: NOW_S * 1_000,
        tick: TICK,
        room_bytes: 1 << 20,
        draining: false,
    }
}

/// All that a step led to, in words.
pub(super) fn step(session: &mut Session, event: Event<'_>) -> Vec<String> {
    step_with(1 << 20, session, event)
}

pub(super) fn step_with(room_bytes: usize, session: &mut Session, event: Event<'_>) -> Vec<String> {
    let (limits, keys) = (Limits::default(), keys());
    let around = Around {
        room_bytes,
        ..around(&limits, &keys)
    };
    let mut actions = Vec::new();
    let mut act = |action: Action<'_>| actions.push(word(&action));
    session.step(event, &around, &mut act);
    actions
}

fn word(action: &Action<'_>) -> String {
    match action {
        Action::Frame(frame) => frame_word(frame),
        Action::Deliver { first, records } => format!("DELIVER live {first}+{}", records.len()),
        Action::Append(entry) => format!("append {}", entry_word(entry)),
        Action::Acked(cursor) => format!("acked {cursor}"),
        Action::Ask(ask) => ask_word(ask),
        Action::Unroute(route) => format!("unroute {}", route.attempt),
        Action::Retime => "retime".to_owned(),
        Action::Close(reason) => format!("close {}", reason.name()),
    }
}

fn frame_word(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Error(error) => format!("ERROR {} {:?}", error.code.0, error.scope),
        Frame::Welcome(welcome) if welcome.resumed => "WELCOME resumed".to_owned(),
        Frame::Welcome(welcome) if welcome.reset => "WELCOME reset".to_owned(),
        Frame::Welcome(_) => "WELCOME".to_owned(),
        Frame::Deliver(deliver) => format!("DELIVER {:?} {}", deliver.mode, deliver.first_cursor),
        Frame::SyncDone(done) => format!(
            "SYNC_DONE {} at {} more {}",
            done.rid, done.cursor, done.more
        ),
        Frame::Reset(reset) => format!("RESET {} head {}", reset.reason, reset.head),
        other => other
            .tag()
            .expect("servers know what they say")
            .name()
            .to_owned(),
    }
}

fn entry_word(entry: &Entry) -> &'static str {
    match entry {
        Entry::Command(command) => match command.body {
            CommandBody::Send { .. } => "send",
            CommandBody::Delivered { .. } => "delivered",
            CommandBody::Read { .. } => "read",
        },
        Entry::Inbox(inbox) => match inbox.body {
            InboxBody::Message { .. } => "message",
            InboxBody::Acked { .. } => "acked",
            InboxBody::Ahead { .. } => "ahead",
        },
    }
}

fn ask_word(ask: &Ask) -> String {
    match ask {
        Ask::Open(open) => format!("ask open {:?}", open.hail.resume),
        Ask::Page(page) => format!("ask page after {} sync {}", page.after, page.sync.is_some()),
        Ask::History(history) => format!("ask history {}", history.rid),
        Ask::Head(_) => "ask head".to_owned(),
        Ask::Close(_) => "ask close".to_owned(),
    }
}

pub(super) fn state_word(session: &Session) -> String {
    match session {
        Session::Door { .. } => "Door".to_owned(),
        Session::Greeting { .. } => "Greeting".to_owned(),
        Session::Opening(opening) if opening.dirty => "Opening dirty".to_owned(),
        Session::Opening(_) => "Opening".to_owned(),
        Session::Open(live) => {
            let feed = match live.feed {
                Feed::LIVE => "Live".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{feed} sent {} unacked {}", live.sent, live.unacked)
        }
        Session::Closed => "Closed".to_owned(),
    }
}

pub(super) fn live(feed: Feed) -> Live {
    Live {
        user: user(1),
        device: DeviceId(5),
        sent: HEAD,
        attempt: 7,
        unacked: 2,
        window: 4,
        sends_open: 1,
        histories_open: 1,
        stamp: 1,
        background: false,
        told: Told::epoch(1),
        sends_refused: false,
        feed,
    }
}

fn states() -> Vec<(&'static str, Session)> {
    let opening = Opening {
        user: user(1),
        device: DeviceId(5),
        attempt: 7,
        since: TICK,
        dirty: false,
    };
    let reading = |announce, dirty| Feed::Reading { announce, dirty };
    let shut = |feed| {
        Session::Open(Live {
            unacked: 4,
            sends_open: Limits::default().send_window,
            histories_open: Limits::default().histories_max,
            ..live(feed)
        })
    };
    let open = |feed| Session::Open(live(feed));
    vec![
        ("door", Session::Door { since: TICK }),
        ("greeting", Session::Greeting { since: TICK }),
        ("greeting, late", Session::Greeting { since: 0 }),
        ("opening", Session::Opening(opening)),
        ("live", open(Feed::LIVE)),
        ("live, all windows shut", shut(Feed::LIVE)),
        ("reading", open(reading(false, false))),
        ("reading, dirty", open(reading(false, true))),
        ("reading, announced", open(reading(true, false))),
        ("waiting", open(Feed::Waiting { announce: false })),
        (
            "waiting, window shut",
            shut(Feed::Waiting { announce: true }),
        ),
        ("syncing", open(Feed::Syncing { dirty: false })),
        ("syncing, dirty", open(Feed::Syncing { dirty: true })),
        ("suspended", open(Feed::Suspended)),
        ("closed", Session::Closed),
    ]
}

/// Everything an event borrows.
pub(super) struct Things {
    token: String,
    expired: String,
    records: Vec<SharedRecord>,
    page: Page,
    last_page: Page,
    no_page: Page,
    gap_page: Page,
    old_page: Page,
    reset_page: Page,
    opened: Opened,
    resumed: Opened,
    known: Opened,
    behind: Opened,
    ahead: Opened,
    older: Opened,
    ack: [Ack; 1],
    pub(super) mark: [Mark; 1],
    too_large: Vec<u8>,
}

pub(super) fn things() -> Things {
    let page = |stamp, end, found| Page {
        stamp,
        rid: Some(8),
        epoch: 1,
        end,
        found,
    };
    let rows = |first| Found::Rows {
        first,
        count: 2,
        records: vec![0],
    };
    let opened = |older, resume| Opened {
        older,
        epoch: 1,
        head: HEAD,
        kept: 0,
        hail: Hail {
            window: 4,
            background: false,
            token_ttl_s: 60,
            resume,
        },
    };
    Things {
        token: token(user(1)),
        expired: crate::tests::mill::token_until(user(1), NOW_S),
        records: vec![vec![1].into(), vec![2].into()],
        page: page(1, false, rows(HEAD + 1)),
        last_page: page(1, true, rows(HEAD + 1)),
        no_page: page(1, true, Found::Nothing),
        gap_page: page(1, true, rows(HEAD + 5)),
        old_page: page(0, true, rows(HEAD + 1)),
        reset_page: page(
            1,
            true,
            Found::Reset {
                reason: Reset::AHEAD,
                head: 6,
            },
        ),
        opened: opened(false, None),
        resumed: opened(false, Some((1, HEAD))),
        known: Opened {
            kept: HEAD,
            ..opened(false, Some((1, HEAD)))
        },
        behind: opened(false, Some((1, 4))),
        ahead: opened(false, Some((1, HEAD + 1))),
        older: opened(true, None),
        ack: [Ack {
            client_msg_id: 3,
            status: AckStatus::New,
            seq: 1,
            server_ms: 1,
        }],
        mark: [Mark {
            kind: MarkKind::Read,
            conversation: Conversation::Direct(user(2)),
            up_to: 4,
            user: None,
        }],
        too_large: vec![0; PAYLOAD_BYTES_MAX + 1],
    }
}

fn hello(token: &str, proto: u8) -> Frame<'_> {
    Frame::Hello(Hello {
        background: false,
        no_push: false,
        proto_min: proto,
        proto_max: proto,
        features: 0,
        device: DeviceId(5),
        attempt: 7,
        auth_kind: Hello::AUTH_JWT,
        token: token.as_bytes(),
        agent: "",
        max_frame: 0,
        window: 4,
        resume: Some(Resume {
            token: &[],
            epoch: 1,
            cursor: 4,
        }),
    })
}

fn send(conversation: Conversation, payload: &[u8]) -> Frame<'_> {
    Frame::Send(Send {
        client_msg_id: 3,
        conversation,
        after: None,
        kind: Kind::TEXT,
        payload,
    })
}

pub(super) fn sync(rid: u64, cursor: u64) -> Frame<'static> {
    Frame::Sync(Sync {
        rid,
        epoch: 1,
        cursor,
        max_bytes: 0,
    })
}

pub(super) fn history(rid: u64) -> Frame<'static> {
    Frame::History(History {
        rid,
        conversation: Conversation::Direct(user(2)),
        from: From::Before(u64::MAX),
        limit: 0,
    })
}

fn frames(things: &Things) -> Vec<(&'static str, Frame<'_>)> {
    let bob = Conversation::Direct(user(2));
    let marks = List::of(&things.mark);
    vec![
        ("HELLO", hello(&things.token, 1)),
        ("HELLO of a later version", hello(&things.token, 2)),
        ("HELLO, token expired", hello(&things.expired, 1)),
        ("HELLO, token bad", hello("x", 1)),
        ("PING", Frame::Ping(Ping { cursor: None })),
        ("PING 9", Frame::Ping(Ping { cursor: Some(9) })),
        ("PONG", Frame::Pong(Pong { server_ms: None })),
        ("ECHO", Frame::Echo(Echo { payload: b"x" })),
        ("SEND", send(bob, b"x")),
        ("SEND too large", send(bob, &things.too_large)),
        ("SEND to a group", send(Conversation::Group(1), b"x")),
        ("CURSOR_ACK 10", Frame::CursorAck(CursorAck { cursor: 10 })),
        (
            "CURSOR_ACK 5, old",
            Frame::CursorAck(CursorAck { cursor: 5 }),
        ),
        (
            "CURSOR_ACK 11, beyond",
            Frame::CursorAck(CursorAck { cursor: 11 }),
        ),
        ("RECEIPT", Frame::Receipt(Receipt { marks })),
        ("SYNC from 10", sync(8, 10)),
        ("SYNC from 2", sync(8, 2)),
        ("SYNC rid 0", sync(0, 2)),
        ("HISTORY", history(9)),
        ("HISTORY rid 0", history(0)),
        ("BYE", Frame::Bye(Bye { reason: 1 })),
        ("a server's frame", Frame::Echoed(Echoed { payload: b"" })),
        (
            "an ignored frame",
            Frame::Ignored(Ignored {
                kind: 0xF0,
                body: b"",
            }),
        ),
    ]
}

fn others(things: &Things) -> Vec<(&'static str, Event<'_>)> {
    let malformed = millpond_wire::decode(&[0x01, 0x01, 0x80], 9).unwrap_err();
    let hints = |first| Event::Hints {
        first,
        records: &things.records,
    };
    let failed = Event::PageFailed {
        stamp: 1,
        rid: Some(8),
    };
    let refused = Event::Refused {
        client_msg_id: 3,
        code: Code::ID_REUSED,
        retry_after_ms: 0,
    };
    let page_of_history = Event::History {
        rid: 9,
        end: true,
        records: b"",
    };
    let history_failed = Event::HistoryFailed {
        rid: 9,
        code: Code::UNAVAILABLE,
    };
    vec![
        ("malformed", Event::Malformed(malformed)),
        ("page", Event::Page(&things.page)),
        ("last page", Event::Page(&things.last_page)),
        ("empty page", Event::Page(&things.no_page)),
        ("page behind a gap", Event::Page(&things.gap_page)),
        ("page of an older question", Event::Page(&things.old_page)),
        ("page: cursor ahead", Event::Page(&things.reset_page)),
        ("page failed", failed),
        ("history", page_of_history),
        ("history failed", history_failed),
        (
            "marks refused",
            Event::MarksRefused {
                retry_after_ms: 100,
            },
        ),
        ("head 10", Event::Head { epoch: 1, head: 10 }),
        ("head 11", Event::Head { epoch: 1, head: 11 }),
        ("head 10 of epoch 2", Event::Head { epoch: 2, head: 10 }),
        ("head failed", Event::HeadFailed),
        ("routes lost", Event::RoutesLost),
        ("hints 9, known", hints(9)),
        ("hints 10", hints(10)),
        ("hints 11", hints(11)),
        ("hints 12, gap", hints(12)),
        ("acks", Event::Acks(&things.ack)),
        ("refused", refused),
        ("marks", Event::Marks(&things.mark)),
        ("kick 6002", Event::Kick(Code::BANNED)),
        ("drained", Event::Drained),
        ("timer", Event::Timer { quiet: 0 }),
        ("timer, long quiet", Event::Timer { quiet: 2_000 }),
        ("drain", Event::Drain { spread_ms: 5 }),
        ("end", Event::End(Reason::PeerClosed)),
    ]
}

/// Events that only come before a session stands.
fn shaking(things: &Things) -> Vec<(&'static str, Event<'_>)> {
    vec![
        ("preface", Event::Preface),
        ("no preface", Event::BadPreface),
        ("opened", Event::Opened(&things.opened)),
        ("opened, at the head", Event::Opened(&things.resumed)),
        ("opened, at the head, known", Event::Opened(&things.known)),
        ("opened, behind", Event::Opened(&things.behind)),
        ("opened, ahead", Event::Opened(&things.ahead)),
        ("opened, older", Event::Opened(&things.older)),
        ("open failed", Event::OpenFailed),
        ("open refused", Event::OpenRefused),
    ]
}

#[test]
fn state_by_event() {
    let things = things();
    let mut table = String::new();
    for (index, (state, session)) in states().into_iter().enumerate() {
        let events = frames(&things)
            .into_iter()
            .map(|(name, frame)| (name, Event::Frame(frame)))
            .chain(others(&things));
        let before = session.in_handshake().then(|| shaking(&things));
        let all = before.into_iter().flatten().chain(events);
        writeln!(table, "{state}").unwrap();
        for (name, event) in all {
            let (_, mut session) = states().swap_remove(index);
            let was = state_word(&session);
            let actions = step(&mut session, event);
            let now = state_word(&session);
            let next = if was == now { "=".to_owned() } else { now };
            writeln!(table, "  {name} -> {next} | {}", actions.join(", ")).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// Anything that can happen to an open session, and a page as the question asks for it.
#[derive(Clone, Debug)]
enum Happening {
    Hints(u64, usize),
    Page(usize, bool),
    PageFailed,
    Ack(u64),
    Sync(u64),
    Timer,
    Drained,
    Head(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..6u64, 1..3usize).prop_map(|(ahead, count)| Happening::Hints(ahead, count)),
        3 => (0..5usize, any::<bool>()).prop_map(|(count, end)| Happening::Page(count, end)),
        1 => Just(Happening::PageFailed),
        3 => (0..5u64).prop_map(Happening::Ack),
        1 => (0..20u64).prop_map(Happening::Sync),
        1 => Just(Happening::Timer),
        1 => Just(Happening::Drained),
        1 => (0..40u64).prop_map(Happening::Head),
    ]
}

/// The pages' side of an open session: what was asked last, and what the client has.
#[derive(Default)]
struct Other {
    asked: Option<(u8, u64, usize, Option<u64>)>,
    /// The client's cursor.
    shown: u64,
    unacked: u64,
}

impl Other {
    fn see(&mut self, action: &Action<'_>) {
        match action {
            Action::Ask(Ask::Page(page)) => {
                let rid = page.sync.map(|sync| sync.rid);
                assert!(page.rows > 0, "a page of nothing is asked for");
                assert_eq!(page.after, self.shown, "pages go on where the client is");
                self.asked = Some((page.stamp, page.after, page.rows, rid));
            }
            Action::Deliver { first, records } => self.show(*first, records.len() as u64),
            Action::Frame(Frame::Deliver(deliver)) => {
                let count = deliver.records.as_bytes().len() as u64;
                self.show(deliver.first_cursor, count);
            }
            _ => {}
        }
    }

    fn show(&mut self, first: u64, count: u64) {
        assert_eq!(first, self.shown + 1, "no gap and nothing twice");
        self.shown += count;
        self.unacked += count;
        assert!(self.unacked <= 4, "the window holds");
    }
}

proptest! {
    #[test]
    fn delivery_has_no_gap_repeats_nothing_and_keeps_the_window(
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let (limits, keys) = (Limits::default(), keys());
        let around = around(&limits, &keys);
        let mut session = Session::Open(Live { unacked: 0, ..live(Feed::Suspended) });
        let mut other = Other { shown: HEAD, ..Other::default() };
        let record: SharedRecord = vec![0].into();
        for happening in happenings {
            let records = vec![record.clone(); 4];
            let page;
            let event = match happening {
                Happening::Hints(ahead, count) => Event::Hints {
                    first: (other.shown + ahead).saturating_sub(2),
                    records: &records[..count],
                },
                Happening::Page(count, end) => {
                    let Some((stamp, after, rows, rid)) = other.asked.take() else { continue };
                    let count = count.min(rows);
                    let found = if count == 0 { Found::Nothing } else {
                        Found::Rows { first: after + 1, count, records: vec![0; count] }
                    };
                    page = Page { stamp, rid, epoch: 1, end: end || count == 0, found };
                    Event::Page(&page)
                }
                Happening::PageFailed => {
                    let Some((stamp, _, _, rid)) = other.asked.take() else { continue };
                    Event::PageFailed { stamp, rid }
                }
                Happening::Ack(back) => {
                    let left = back.min(other.unacked);
                    other.unacked = left;
                    Event::Frame(Frame::CursorAck(CursorAck { cursor: other.shown - left }))
                }
                Happening::Sync(cursor) => {
                    if !matches!(&session, Session::Open(Live { feed: Feed::Syncing { .. }, .. })) {
                        (other.shown, other.unacked) = (cursor, 0);
                    }
                    Event::Frame(sync(8, cursor))
                }
                Happening::Timer => Event::Timer { quiet: 0 },
                Happening::Drained => Event::Drained,
                Happening::Head(head) => Event::Head { epoch: 1, head },
            };
            session.step(event, &around, &mut |action| other.see(&action));
            prop_assert!(matches!(session, Session::Open(_)), "nothing here ends a session");
        }
    }
}
