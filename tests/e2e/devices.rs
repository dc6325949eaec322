//! Several devices and several states of one conversation.

use crate::peer::{Peer, with};
use crate::server::serve;
use millpond_wire::{
    Code, CursorAck, DeviceId, Frame, List, Mark, MarkKind, Origin, Receipt, Reset, UserId,
};

const ALICE: u64 = 7;
const BOB: u64 = 9;

#[test]
fn the_newer_connection_of_a_device_wins_and_the_older_is_told() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(ALICE);
    let (mut older, ..) = Peer::join(server.listen, 1, &token);
    let (mut newer, ..) = Peer::join(server.listen, 1, &token);
    assert_eq!(older.refusal(), Code::REPLACED);
    newer.send_text(BOB, 1, "still here");
    assert!(newer.answer(1).is_ok());
}

#[test]
fn my_other_device_gets_what_i_send_and_the_origin_a_stub() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(ALICE);
    let (mut phone, ..) = Peer::join(server.listen, 1, &token);
    let (mut laptop, ..) = Peer::join(server.listen, 2, &token);
    phone.send_text(BOB, 8, "from the phone");
    let origin = Some(Origin {
        device: DeviceId(1),
        client_msg_id: 8,
    });
    let copy = laptop.record();
    assert_eq!(
        (copy.origin, copy.stub, copy.text.as_str()),
        (origin, false, "from the phone")
    );
    let stub = phone.record();
    assert_eq!(
        (stub.origin, stub.stub, stub.text.as_str(), stub.seq),
        (origin, true, "", 1)
    );
}

#[test]
fn notes_to_self_are_one_record_of_one_inbox() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(ALICE);
    let (mut phone, epoch, _) = Peer::join(server.listen, 1, &token);
    phone.send_text(ALICE, 1, "buy milk");
    assert_eq!(phone.answer(1).expect("taken").seq, 1);
    let (mut laptop, _) = Peer::connect(server.listen, 2, &token, None);
    let inbox = laptop.sync(epoch, 0);
    assert_eq!(inbox.len(), 1);
    assert_eq!(
        (inbox[0].conversation, inbox[0].text.as_str()),
        (with(ALICE), "buy milk")
    );
}

#[test]
fn delivered_and_read_come_back_to_the_author() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let (mut alice, ..) = Peer::join(server.listen, 1, &server.token(ALICE));
    let (mut bob, ..) = Peer::join(server.listen, 1, &server.token(BOB));
    alice.send_text(BOB, 1, "seen?");
    let cursor = bob.record().cursor;
    bob.tell(&Frame::CursorAck(CursorAck { cursor }));
    assert_eq!(mark(&mut alice, MarkKind::Delivered), 1);
    let read = [Mark {
        kind: MarkKind::Read,
        conversation: with(ALICE),
        up_to: 1,
        user: None,
    }];
    bob.tell(&Frame::Receipt(Receipt {
        marks: List::of(&read),
    }));
    assert_eq!(mark(&mut alice, MarkKind::Read), 1);
}

#[test]
fn a_resumed_connection_gets_what_it_missed() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(BOB);
    let (bob, epoch, _) = Peer::join(server.listen, 1, &token);
    drop(bob);
    let (mut alice, ..) = Peer::join(server.listen, 1, &server.token(ALICE));
    for id in 1..=300 {
        alice.send_text(BOB, id, &format!("message {id}"));
        assert_eq!(alice.answer(id).expect("taken").seq, id);
    }
    let mut bob = Peer::hello(server.listen, 1, &token, Some((epoch, 0)));
    let resumed = bob.expect("WELCOME", |frame| match frame {
        Frame::Welcome(welcome) => Some(welcome.resumed),
        _ => None,
    });
    assert!(resumed);
    let mut cursor = 0;
    let done = loop {
        let before = cursor;
        let done = bob.next(|frame| match frame {
            Frame::Deliver(deliver) => {
                assert_eq!(deliver.first_cursor, cursor + 1, "no gap");
                cursor += deliver.records.iter().count() as u64;
                None
            }
            Frame::SyncDone(done) => Some(*done),
            _ => None,
        });
        if let Some(done) = done.expect("the window is open") {
            break done;
        }
        if cursor > before {
            bob.tell(&Frame::CursorAck(CursorAck { cursor }));
        }
    };
    assert_eq!((done.rid, done.cursor, cursor), (0, 300, 300));
}

#[test]
fn a_cursor_that_cannot_be_used_is_reset() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(BOB);
    let (mut alice, ..) = Peer::join(server.listen, 1, &server.token(ALICE));
    alice.send_text(BOB, 1, "one");
    alice.answer(1).expect("taken");
    let (bob, epoch, _) = Peer::join(server.listen, 1, &token);
    drop(bob);
    let mut other_epoch = Peer::hello(server.listen, 1, &token, Some((epoch ^ 1, 0)));
    let all = reset(&mut other_epoch);
    assert_eq!(
        (all.epoch, all.head),
        (epoch, 0),
        "nothing of another epoch may be kept"
    );
    let mut ahead = Peer::hello(server.listen, 2, &token, Some((epoch, 500)));
    assert_eq!(
        reset(&mut ahead).head,
        1,
        "cursors above the head were never given"
    );
}

fn reset(peer: &mut Peer) -> Reset {
    peer.expect("RESET", |frame| match frame {
        Frame::Reset(reset) => Some(*reset),
        _ => None,
    })
}

/// Up to where the next mark of this kind goes.
fn mark(peer: &mut Peer, kind: MarkKind) -> u64 {
    peer.expect("RECEIPT", |frame| match frame {
        Frame::Receipt(receipt) => {
            let mark = receipt.marks.iter().find(|mark| mark.kind == kind)?;
            assert_eq!(
                (mark.user, mark.conversation),
                (UserId::new(BOB), with(BOB))
            );
            Some(mark.up_to)
        }
        _ => None,
    })
}
