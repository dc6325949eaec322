//! A client message id has one effect, however often and whenever it is sent.

use crate::peer::{Peer, with};
use crate::server::serve;
use millpond_wire::{Ack, AckStatus, Code, Frame, From, History};

const ALICE: u64 = 7;
const BOB: u64 = 9;

#[test]
fn a_resend_returns_the_first_result_before_and_after_a_restart() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(ALICE);
    let (mut alice, _) = Peer::connect(server.listen, 1, &token, None);
    let first = send(&mut alice, 41, "once").expect("taken");
    assert_eq!((first.status, first.seq), (AckStatus::New, 1));
    let again = send(&mut alice, 41, "once").expect("taken");
    assert_eq!(
        again,
        Ack {
            status: AckStatus::Duplicate,
            ..first
        }
    );
    assert_eq!(send(&mut alice, 41, "twice"), Err(Code::ID_REUSED));
    assert_eq!(texts(&mut alice), ["once"]);

    server.kill();
    let server = serve(data.path(), &[]);
    let (mut alice, _) = Peer::connect(server.listen, 1, &token, None);
    let after = send(&mut alice, 41, "once").expect("taken");
    assert_eq!(
        after,
        Ack {
            status: AckStatus::Duplicate,
            ..first
        }
    );
    assert_eq!(send(&mut alice, 41, "twice"), Err(Code::ID_REUSED));
    assert_eq!(texts(&mut alice), ["once"], "no row was added");
    let next = send(&mut alice, 42, "next").expect("taken");
    assert_eq!((next.status, next.seq), (AckStatus::New, 2));
}

#[test]
fn another_device_may_use_the_same_id() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let token = server.token(ALICE);
    let (mut phone, _) = Peer::connect(server.listen, 1, &token, None);
    let (mut laptop, _) = Peer::connect(server.listen, 2, &token, None);
    assert_eq!(send(&mut phone, 1, "from the phone").expect("taken").seq, 1);
    assert_eq!(
        send(&mut laptop, 1, "from the laptop").expect("taken").seq,
        2
    );
}

fn send(peer: &mut Peer, id: u64, text: &str) -> Result<Ack, Code> {
    peer.send_text(BOB, id, text);
    peer.answer(id)
}

/// Everything in the conversation, oldest first.
fn texts(peer: &mut Peer) -> Vec<String> {
    let conversation = with(BOB);
    peer.tell(&Frame::History(History {
        rid: 3,
        conversation,
        from: From::After(0),
        limit: 100,
    }));
    peer.expect("HISTORY page", |frame| match frame {
        Frame::HistoryPage(page) if page.rid == 3 => {
            assert!(page.end);
            let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
            Some(
                page.records
                    .iter()
                    .map(|record| text(record.payload))
                    .collect(),
            )
        }
        _ => None,
    })
}
