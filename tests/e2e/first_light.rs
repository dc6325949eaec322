//! The first thing this house was built for: a message is acknowledged when it is on disk, is delivered, and is still
//! there after a crash.

use crate::peer::Peer;
use crate::server::serve;
use millpond_wire::{AckStatus, CursorAck, Frame};

const ALICE: u64 = 7;
const BOB: u64 = 9;

#[test]
fn a_message_is_acked_delivered_and_survives_a_kill() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let (alice_token, bob_token) = (server.token(ALICE), server.token(BOB));
    let (mut bob, epoch, inbox) = Peer::join(server.listen, 1, &bob_token);
    assert_eq!(inbox, []);
    let (mut alice, ..) = Peer::join(server.listen, 1, &alice_token);

    alice.send_text(BOB, 1, "are you there?");
    let ack = alice.answer(1).expect("taken");
    assert_eq!((ack.status, ack.seq), (AckStatus::New, 1));
    let record = bob.record();
    assert_eq!(
        (record.cursor, record.seq, record.text.as_str()),
        (1, 1, "are you there?")
    );
    bob.tell(&Frame::CursorAck(CursorAck { cursor: 1 }));

    server.kill();
    let server = serve(data.path(), &[]);
    let (mut bob, epoch_after) = Peer::connect(server.listen, 1, &bob_token, None);
    assert_eq!(
        epoch, epoch_after,
        "a synced inbox keeps its epoch over a crash"
    );
    assert_eq!(bob.sync(epoch, 0), [record]);
}
