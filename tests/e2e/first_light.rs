//! The first thing this house was built for: a message is acknowledged when it is on disk, is delivered, and is still
//! there after a crash.

use crate::peer::Peer;
use crate::server::Server;
use millpond_wire::{AckStatus, CursorAck, Frame, Sync};

const ALICE: u64 = 7;
const BOB: u64 = 9;

#[test]
fn a_message_is_acked_delivered_and_survives_a_kill() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path(), &[]);
    let (alice_token, bob_token) = (server.token(ALICE), server.token(BOB));
    let (mut bob, epoch) = Peer::connect(server.listen, 1, &bob_token, None);
    let (mut alice, _) = Peer::connect(server.listen, 1, &alice_token, None);

    alice.send_text(BOB, 1, "are you there?");
    let ack = alice.expect("SEND_ACK", |frame| match frame {
        Frame::SendAck(acks) => acks.acks.iter().next(),
        _ => None,
    });
    assert_eq!((ack.client_msg_id, ack.status, ack.seq), (1, AckStatus::New, 1));
    let (cursor, text) = bob.expect("DELIVER", delivered);
    assert_eq!((cursor, text.as_str()), (1, "are you there?"));
    bob.tell(&Frame::CursorAck(CursorAck { cursor }));

    server.kill();
    let server = Server::start(data.path(), &[]);
    let (mut bob, epoch_after) = Peer::connect(server.listen, 1, &bob_token, None);
    assert_eq!(epoch, epoch_after, "a synced inbox keeps its epoch over a crash");
    bob.tell(&Frame::Sync(Sync { rid: 5, epoch, cursor: 0, max_bytes: 1 << 16 }));
    assert_eq!(bob.expect("DELIVER", delivered), (1, "are you there?".to_owned()));
    let done = bob.expect("SYNC_DONE", |frame| match frame {
        Frame::SyncDone(done) => Some(*done),
        _ => None,
    });
    assert_eq!((done.rid, done.cursor, done.more), (5, 1, false));
}

/// Cursor and text of the first record of a DELIVER.
fn delivered(frame: &Frame<'_>) -> Option<(u64, String)> {
    let Frame::Deliver(deliver) = frame else { return None };
    let record = deliver.records.iter().next()?;
    Some((deliver.first_cursor, String::from_utf8_lossy(record.payload).into_owned()))
}
