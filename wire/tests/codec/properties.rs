//! Round trips of every frame with any content.

use crate::conformance::encoded;
use millpond_wire::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// What frames borrow from.
#[derive(Clone, Debug)]
struct Material {
    numbers: [u64; 8],
    bits: [bool; 3],
    bytes: [Vec<u8>; 2],
    text: String,
    conversation: Conversation,
    optional: Option<u64>,
    small: (u8, u16, u32),
    records: Vec<OwnedRecord>,
    acks: Vec<Ack>,
    marks: Vec<Mark>,
}

#[derive(Clone, Debug)]
struct OwnedRecord {
    kind: u8,
    origin: Option<(u64, u64)>,
    stub: bool,
    counts: bool,
    conversation: Conversation,
    seq: u64,
    sender: UserId,
    ms: u64,
    payload: Vec<u8>,
}

impl OwnedRecord {
    fn record(&self) -> Record<'_> {
        let stub = self.stub && self.origin.is_some();
        let group = matches!(self.conversation, Conversation::Group(_));
        Record {
            kind: Kind(self.kind),
            origin: self.origin.map(|(device, client_msg_id)| Origin {
                device: DeviceId(device),
                client_msg_id,
            }),
            stub,
            counts: self.counts,
            conversation: self.conversation,
            seq: self.seq,
            sender: group.then_some(self.sender),
            server_ms: self.ms,
            payload: if stub { &[] } else { &self.payload },
        }
    }
}

/// Numbers of every width.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift)
}

fn user() -> impl Strategy<Value = UserId> {
    number().prop_map(|value| UserId::new(value >> 1).or(UserId::new(1)).unwrap())
}

fn conversation() -> impl Strategy<Value = Conversation> {
    prop_oneof![
        user().prop_map(Conversation::Direct),
        number().prop_map(|value| Conversation::Group(value >> 1)),
    ]
}

fn ms() -> impl Strategy<Value = u64> {
    number().prop_map(|value| value >> 16)
}

prop_compose! {
    fn record()(
        (kind, stub, counts) in any::<(u8, bool, bool)>(),
        origin in option::of((number(), number())),
        conversation in conversation(),
        seq in number(),
        sender in user(),
        ms in ms(),
        payload in vec(any::<u8>(), 0..200),
    ) -> OwnedRecord {
        OwnedRecord { kind, origin, stub, counts, conversation, seq, sender, ms, payload }
    }
}

prop_compose! {
    fn ack()(client_msg_id in number(), new in any::<bool>(), seq in number(), server_ms in ms()) -> Ack {
        let status = if new { AckStatus::New } else { AckStatus::Duplicate };
        Ack { client_msg_id, status, seq, server_ms }
    }
}

fn marks() -> impl Strategy<Value = Vec<Mark>> {
    const KINDS: [MarkKind; 3] = [MarkKind::Delivered, MarkKind::Read, MarkKind::Played];
    let mark = (
        prop::sample::select(&KINDS[..]).boxed(),
        conversation(),
        number(),
        user(),
    );
    (vec(mark, 1..5), any::<bool>()).prop_map(|(marks, named)| {
        let marks = marks
            .into_iter()
            .map(|(kind, conversation, up_to, user)| Mark {
                kind,
                conversation,
                up_to,
                user: named.then_some(user),
            });
        marks.collect()
    })
}

prop_compose! {
    fn material()(
        numbers in prop::array::uniform8(number()),
        bits in any::<[bool; 3]>(),
        bytes in [vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300)],
        text in "\\PC{0,16}",
        conversation in conversation(),
        optional in option::of(number()),
        small in any::<(u8, u16, u32)>(),
        records in vec(record(), 0..4),
        acks in vec(ack(), 1..5),
        marks in marks(),
    ) -> Material {
        Material { numbers, bits, bytes, text, conversation, optional, small, records, acks, marks }
    }
}

fn frames<'a>(material: &'a Material, records: &'a [u8]) -> Vec<Frame<'a>> {
    let records = Records::from_encoded(records);
    let mode = if material.bits[0] {
        Mode::Live
    } else {
        Mode::Sync
    };
    let first_cursor = (material.numbers[0] >> 1) | 1;
    let mut frames = [connection(material), requests(material)].concat();
    frames.push(Frame::HistoryPage(HistoryPage {
        end: material.bits[0],
        rid: material.numbers[0],
        records,
    }));
    if !records.is_empty() {
        frames.push(Frame::Deliver(Deliver {
            mode,
            first_cursor,
            records,
        }));
    }
    frames
}

fn connection(material: &Material) -> Vec<Frame<'_>> {
    let [a, b, ..] = material.numbers;
    let [one, two, _] = material.bits;
    let (byte, short, _) = material.small;
    let [bytes, _] = &material.bytes;
    let scope = match byte % 3 {
        0 => Scope::Connection,
        1 => Scope::Request(a),
        _ => Scope::Message(a),
    };
    vec![
        Frame::Ping(Ping {
            cursor: material.optional,
        }),
        Frame::Pong(Pong {
            server_ms: material.optional.map(|ms| ms >> 16),
        }),
        Frame::Hello(hello(material)),
        Frame::Welcome(welcome(material)),
        Frame::GoAway(GoAway {
            resume_ok: one,
            overlap: two,
            code: Code(short),
            after_ms: a,
            spread_ms: b,
            endpoint: &material.text,
        }),
        Frame::Error(Error {
            code: Code(short),
            scope,
            retry_after_ms: b,
            message: &material.text,
        }),
        Frame::Bye(Bye { reason: byte }),
        Frame::Echo(Echo { payload: bytes }),
        Frame::Echoed(Echoed { payload: bytes }),
        Frame::Ignored(Ignored {
            kind: byte | 0x80,
            body: bytes,
        }),
    ]
}

fn hello(material: &Material) -> Hello<'_> {
    let [a, b, c, d, e, f, ..] = material.numbers;
    let [one, two, three] = material.bits;
    let (byte, _, word) = material.small;
    let [bytes, more_bytes] = &material.bytes;
    let resume = one.then_some(Resume {
        token: more_bytes,
        epoch: e,
        cursor: f,
    });
    Hello {
        background: two,
        no_push: three,
        proto_min: byte / 2,
        proto_max: byte,
        features: a,
        device: DeviceId(b),
        attempt: word,
        auth_kind: byte,
        token: bytes,
        agent: &material.text,
        max_frame: c,
        window: d,
        resume,
    }
}

fn welcome(material: &Material) -> Welcome<'_> {
    let [a, b, c, d, e, f, g, h] = material.numbers;
    let [one, two, three] = material.bits;
    let (byte, _, _) = material.small;
    let [bytes, _] = &material.bytes;
    Welcome {
        resumed: one,
        reset: !one && two,
        throttled: three,
        proto: byte,
        features: a,
        session: b,
        epoch: c,
        server_ms: d >> 16,
        ping_active_ms: e,
        ping_idle_ms: f,
        max_frame: g,
        send_window: h,
        token_ttl_s: a,
        resume_token: bytes,
        dictionary: b,
    }
}

fn requests(material: &Material) -> Vec<Frame<'_>> {
    let [a, b, c, d, ..] = material.numbers;
    let (byte, _, _) = material.small;
    let conversation = material.conversation;
    let from = if material.bits[0] {
        From::Before(b)
    } else {
        From::After(b)
    };
    vec![
        Frame::Send(Send {
            client_msg_id: a,
            conversation,
            after: material.optional,
            kind: Kind(byte),
            payload: &material.bytes[0],
        }),
        Frame::SendAck(SendAck {
            acks: List::of(&material.acks),
        }),
        Frame::CursorAck(CursorAck { cursor: a }),
        Frame::Receipt(Receipt {
            marks: List::of(&material.marks),
        }),
        Frame::Sync(Sync {
            rid: a,
            epoch: b,
            cursor: c,
            max_bytes: d,
        }),
        Frame::SyncDone(SyncDone {
            more: material.bits[0],
            rid: a,
            cursor: b,
        }),
        Frame::Reset(Reset {
            epoch: a,
            reason: byte,
            head: b,
        }),
        Frame::History(History {
            rid: a,
            conversation,
            from,
            limit: c,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_frame_comes_back(material in material()) {
        let mut records = Vec::new();
        material.records.iter().for_each(|record| encode_record(&record.record(), &mut records));
        let decoded = Records::parse(&records).unwrap();
        prop_assert!(decoded.iter().eq(material.records.iter().map(OwnedRecord::record)));
        for frame in frames(&material, &records) {
            let bytes = encoded(&frame);
            let length = bytes.len();
            prop_assert_eq!(decode(&bytes, BODY_BYTES_MAX), Ok(Decoded::Frame(frame, length)));
        }
    }

    #[test]
    fn encoding_appends_and_does_not_grow_a_buffer_with_room(material in material()) {
        let mut records = Vec::new();
        material.records.iter().for_each(|record| encode_record(&record.record(), &mut records));
        for frame in frames(&material, &records) {
            let bytes = encoded(&frame);
            let mut out = Vec::with_capacity(3 + bytes.len() + HEAD_BYTES_MAX);
            out.extend_from_slice(b"abc");
            let before = out.as_ptr();
            encode(&frame, &mut out);
            prop_assert_eq!(before, out.as_ptr());
            prop_assert_eq!(&out[..3], b"abc");
            prop_assert_eq!(&out[3..], &bytes[..]);
        }
    }

    #[test]
    fn a_head_and_shared_records_are_the_same_frame(
        record in record(), count in 1..40usize, first_cursor in number(), live in any::<bool>(),
    ) {
        let mode = if live { Mode::Live } else { Mode::Sync };
        let first_cursor = (first_cursor >> 1) | 1;
        let mut records = Vec::new();
        (0..count).for_each(|_| encode_record(&record.record(), &mut records));
        let mut bytes = Vec::new();
        encode_deliver_head(mode, first_cursor, records.len(), &mut bytes);
        bytes.extend_from_slice(&records);
        let records = Records::from_encoded(&records);
        prop_assert_eq!(encoded(&Frame::Deliver(Deliver { mode, first_cursor, records })), bytes);
    }
}

#[test]
#[should_panic(expected = "a stub is mine")]
fn a_stub_with_a_payload_is_our_own_error() {
    let record = Record {
        kind: Kind::TEXT,
        origin: Some(Origin {
            device: DeviceId(1),
            client_msg_id: 1,
        }),
        stub: true,
        counts: false,
        conversation: Conversation::Group(1),
        seq: 1,
        sender: UserId::new(1),
        server_ms: 0,
        payload: b"x",
    };
    encode_record(&record, &mut Vec::new());
}

#[test]
#[should_panic(expected = "never empty")]
fn an_empty_list_is_our_own_error() {
    encoded(&Frame::SendAck(SendAck {
        acks: List::of(&[]),
    }));
}
