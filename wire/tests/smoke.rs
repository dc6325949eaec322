//! The frames of one small exchange go out and come back.

use millpond_wire::*;

fn there_and_back(frame: &Frame<'_>) {
    let mut bytes = vec![7];
    encode(frame, &mut bytes);
    let decoded = decode(&bytes[1..], BODY_BYTES_MAX).unwrap();
    assert_eq!(decoded, Decoded::Frame(frame.clone(), bytes.len() - 1));
    assert_eq!(bytes[0], 7);
}

#[test]
fn frames_of_every_head_size_come_back() {
    let user = UserId::new(7).unwrap();
    for size in [
        0, 1, 100, 103, 104, 105, 110, 127, 128, 129, 16_000, 16_360, 16_383, 16_384, 60_000,
    ] {
        let payload = vec![0x61; size];
        there_and_back(&Frame::Send(Send {
            client_msg_id: 1,
            conversation: Conversation::Direct(user),
            after: Some(3),
            kind: Kind::TEXT,
            payload: &payload,
        }));
        let record = Record {
            kind: Kind::TEXT,
            origin: None,
            stub: false,
            counts: true,
            conversation: Conversation::Group(9),
            seq: 300,
            sender: Some(user),
            server_ms: 1 << 47,
            payload: &payload,
        };
        let mut records = Vec::new();
        encode_record(&record, &mut records);
        let records = Records::from_encoded(&records);
        assert!(records.iter().eq([record]));
        let deliver = Frame::Deliver(Deliver {
            mode: Mode::Sync,
            first_cursor: 8,
            records,
        });
        there_and_back(&deliver);
        let (mut head, mut whole) = (Vec::new(), Vec::new());
        encode_deliver_head(Mode::Sync, 8, records.as_bytes().len(), &mut head);
        head.extend_from_slice(records.as_bytes());
        encode(&deliver, &mut whole);
        assert_eq!(head, whole);
    }
    let acks = [Ack {
        client_msg_id: 1,
        status: AckStatus::Duplicate,
        seq: 5,
        server_ms: 6,
    }; 40];
    there_and_back(&Frame::SendAck(SendAck {
        acks: List::of(&acks),
    }));
}
