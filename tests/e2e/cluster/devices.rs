//! One user's devices on different gateways, and one device that changes between them.

use super::Cluster;
use crate::peer::{End, Peer, hello};
use millpond_wire::{Code, CursorAck, Frame, PREFACE, encode};

const SENDER: u64 = 41;
const READER: u64 = 42;
/// Messages while a device changes its gateway.
const MEANWHILE: u64 = 60;

pub(super) fn devices_meet_across_gateways(cluster: &Cluster) {
    let at = |gateway: usize| cluster.gateways[gateway].listen;
    let (sender, reader) = (
        cluster.gateways[0].token(SENDER),
        cluster.gateways[0].token(READER),
    );
    let (mut author, ..) = Peer::join(at(1), 1, &sender);
    let mut devices = [(1, 0), (2, 1), (3, 0)].map(|(device, gateway)| {
        let (peer, epoch, inbox) = Peer::join(at(gateway), device, &reader);
        assert_eq!(inbox, []);
        (peer, epoch)
    });
    author.send_text(READER, 1, "to all of you");
    author.answer(1).expect("taken");
    for (peer, _) in &mut devices {
        assert_eq!(peer.record().text, "to all of you");
        peer.tell(&Frame::CursorAck(CursorAck { cursor: 1 }));
    }
    let [_, (older, epoch), _] = &mut devices;
    let newer = change_gateway(&mut author, older, *epoch, at(0), &reader);
    stays_through_what_comes_late(&mut author, newer, at(1), &reader);
}

/// It comes back at another gateway while messages are sent: the old connection is told, and no cursor is missing.
fn change_gateway(
    author: &mut Peer,
    older: &mut Peer,
    epoch: u64,
    to: std::net::SocketAddr,
    token: &[u8],
) -> Peer {
    for id in 2..2 + MEANWHILE / 2 {
        author.send_text(READER, id, "meanwhile");
    }
    let (mut newer, same) = Peer::connect(to, 2, token, Some((epoch, 1)));
    assert_eq!(same, epoch);
    for id in 2 + MEANWHILE / 2..2 + MEANWHILE {
        author.send_text(READER, id, "meanwhile");
    }
    let mut next = 2;
    while next < 2 + MEANWHILE {
        let (first, count) = newer.expect("DELIVER", |frame| match frame {
            Frame::Deliver(deliver) => Some((deliver.first_cursor, deliver.records.iter().count())),
            _ => None,
        });
        assert_eq!(first, next, "no gap, nothing twice");
        next += count as u64;
        newer.tell(&Frame::CursorAck(CursorAck { cursor: next - 1 }));
    }
    assert_eq!(older.refusal(), Code::REPLACED);
    newer
}

/// The route of the old connection is removed after the new one was written, and an older attempt arrives at last.
fn stays_through_what_comes_late(
    author: &mut Peer,
    mut newer: Peer,
    at: std::net::SocketAddr,
    token: &[u8],
) {
    let mut late = Peer::open(at);
    let mut bytes = PREFACE.to_vec();
    let mut of_long_ago = hello(2, token, None);
    of_long_ago.attempt = 0;
    encode(&Frame::Hello(of_long_ago), &mut bytes);
    late.write(&bytes);
    assert_eq!(late.refusal(), Code::REPLACED);
    author.send_text(READER, 1_000, "still there?");
    assert_eq!(newer.record().text, "still there?");
    newer.stream.set_nonblocking(true).expect("a live socket");
    assert_eq!(newer.next(|_| ()), Err(End::Quiet), "and not told to go");
}
