//! Clients that do nothing right: garbage, half frames, floods that nobody reads, silence, and sudden ends.

use super::chance::Chance;
use crate::tests::mill::{token, user};
use millpond_ring::{Net, Peer};
use millpond_wire::{Conversation, DeviceId, Echo, Frame, Hello, Kind, PREFACE, Send, encode};
use std::net::SocketAddr;

const DEVICE: DeviceId = DeviceId(7);

#[derive(Debug)]
pub(super) struct Bad {
    index: u16,
    peer: Option<Peer>,
    out: Vec<u8>,
}

impl Bad {
    pub(super) fn new(index: u16) -> Self {
        Self {
            index,
            peer: None,
            out: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, net: &Net, to: SocketAddr, chance: &mut Chance) {
        let Some(peer) = &mut self.peer else {
            let from = SocketAddr::from(([127, 0, 0, 9], self.index));
            self.peer = net.connect(to, from).ok();
            self.out = misdeed(chance);
            return;
        };
        let written = peer.write(&self.out).unwrap_or(self.out.len());
        self.out.drain(..written);
        let gone = chance.in_ten(2) && peer.read().is_err();
        if gone || chance.in_ten(1) {
            let peer = self.peer.take().unwrap();
            if chance.in_ten(5) {
                peer.reset();
            } else {
                peer.close();
            }
        }
    }
}

/// A handshake and so many ECHO of so many bytes.
pub(super) fn flood(echoes: usize, payload_bytes: usize) -> Vec<u8> {
    flood_of(DEVICE, echoes, payload_bytes)
}

pub(super) fn flood_of(device: DeviceId, echoes: usize, payload_bytes: usize) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    hello(device, &mut bytes);
    let payload = vec![0; payload_bytes];
    for _ in 0..echoes {
        encode(&Frame::Echo(Echo { payload: &payload }), &mut bytes);
    }
    bytes
}

/// A handshake and one SEND to itself.
pub(super) fn hello_and_a_message() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    hello(DEVICE, &mut bytes);
    let send = Frame::Send(Send {
        client_msg_id: 1,
        conversation: Conversation::Direct(user(66)),
        after: None,
        kind: Kind::TEXT,
        payload: b"note",
    });
    encode(&send, &mut bytes);
    bytes
}

fn misdeed(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    match chance.below(6) {
        0 => (0..chance.below(600))
            .map(|_| chance.next().to_be_bytes()[0])
            .collect(),
        1 => {
            hello(DEVICE, &mut bytes);
            bytes.truncate(chance.below(bytes.len()));
            bytes
        }
        2 => flood(60, 4_000),
        3 => {
            // A SEND that says it is long, and trickles.
            hello(DEVICE, &mut bytes);
            bytes.extend([0x10, 0xff, 0x3f]);
            bytes.resize(bytes.len() + chance.below(3_000), 0);
            bytes
        }
        4 => {
            hello(DEVICE, &mut bytes);
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
            bytes
        }
        _ => Vec::new(),
    }
}

fn hello(device: DeviceId, bytes: &mut Vec<u8>) {
    let token = token(user(66));
    let frame = Frame::Hello(Hello {
        background: false,
        no_push: false,
        proto_min: 1,
        proto_max: 3,
        features: 0,
        device,
        attempt: 1,
        auth_kind: Hello::AUTH_JWT,
        token: token.as_bytes(),
        agent: "",
        max_frame: 0,
        window: 0,
        resume: None,
    });
    encode(&frame, bytes);
}
