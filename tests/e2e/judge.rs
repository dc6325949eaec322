//! Holds what people saw against what the server has, by the rules of the checker.

use crate::load::{Seen, Sight};
use crate::peer::{Peer, Received, with};
use crate::server::Server;
use millpond_checker::{Checker, Conversation, Operation, Report};
use millpond_client::Message;
use millpond_wire::{Conversation as Named, Frame, From, History};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The device that reads everything once more, from the start.
const AUDITOR: u64 = 4_242;

/// The verdict over all that `sides` saw and what `server` now holds for them.
pub(crate) fn verdict(server: &Server, sides: &[Seen]) -> Report {
    let mut checker = Checker::new();
    for side in sides {
        side.seen
            .iter()
            .for_each(|sight| checker.note(operation(side, sight)));
    }
    for side in sides {
        audit(server, side, &mut checker);
    }
    checker.finish()
}

fn operation(side: &Seen, sight: &Sight) -> Operation {
    let (user, device, at) = (side.user, side.device, 0);
    match sight {
        Sight::Sending { id, text } => Operation::Sent {
            user,
            device,
            id: *id,
            conversation: Conversation::direct(user, side.peer),
            payload: hash(text.as_bytes()),
            at,
        },
        Sight::Acked(sent) => Operation::Acked {
            user,
            device,
            id: sent.client_msg_id,
            seq: sent.seq,
            at,
        },
        Sight::Received(message) => delivered(side, message),
        Sight::Reset { epoch, head } => Operation::Reset {
            user,
            device,
            epoch: *epoch,
            head: *head,
            at,
        },
    }
}

fn delivered(side: &Seen, message: &Message) -> Operation {
    Operation::Delivered {
        user: side.user,
        device: side.device,
        epoch: message.epoch,
        cursor: message.cursor,
        conversation: key(side.user, message.conversation),
        seq: message.seq,
        sender: message.author().map_or(side.user, |author| author.value()),
        origin: message
            .origin
            .map(|origin| (origin.device.0, origin.client_msg_id)),
        payload: (!message.stub).then(|| hash(&message.payload)),
        at: 0,
    }
}

/// Reads the whole inbox as a new device, and the whole conversation.
fn audit(server: &Server, side: &Seen, checker: &mut Checker) {
    let token = server.token(side.user);
    let (mut peer, epoch, inbox) = Peer::join(server.listen, AUDITOR, &token);
    for record in inbox {
        checker.note(Operation::Delivered {
            user: side.user,
            device: AUDITOR,
            epoch,
            cursor: record.cursor,
            conversation: key(side.user, record.conversation),
            seq: record.seq,
            sender: sender(side, &record),
            origin: record
                .origin
                .map(|origin| (origin.device.0, origin.client_msg_id)),
            payload: Some(hash(record.text.as_bytes())),
            at: 1,
        });
    }
    checker.note(Operation::CaughtUp {
        user: side.user,
        device: AUDITOR,
        at: 1,
    });
    checker.note(Operation::CaughtUp {
        user: side.user,
        device: side.device,
        at: 1,
    });
    let conversation = Conversation::direct(side.user, side.peer);
    let mut last = 0;
    for (seq, from_me, text) in history(&mut peer, side.peer) {
        last = seq;
        let sender = if from_me { side.user } else { side.peer };
        let payload = hash(text.as_bytes());
        checker.note(Operation::History {
            reader: side.user,
            conversation,
            seq,
            sender,
            payload,
            at: 2,
        });
    }
    checker.note(Operation::Head {
        conversation,
        seq: last,
        at: 2,
    });
}

fn sender(side: &Seen, record: &Received) -> u64 {
    if record.origin.is_some() {
        side.user
    } else {
        side.peer
    }
}

/// (seq, mine, text) of a whole conversation, oldest first.
fn history(peer: &mut Peer, with_user: u64) -> Vec<(u64, bool, String)> {
    let mut messages: Vec<(u64, bool, String)> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |(seq, ..)| *seq);
        let from = From::After(after);
        peer.tell(&Frame::History(History {
            rid: 9,
            conversation: with(with_user),
            from,
            limit: 200,
        }));
        let end = peer.expect("HISTORY page", |frame| match frame {
            Frame::HistoryPage(page) => {
                messages.extend(page.records.iter().map(|record| {
                    let text = String::from_utf8_lossy(record.payload).into_owned();
                    (record.seq, record.origin.is_some(), text)
                }));
                Some(page.end)
            }
            _ => None,
        });
        if end {
            return messages;
        }
    }
}

fn key(user: u64, named: Named) -> Conversation {
    match named {
        Named::Direct(peer) => Conversation::direct(user, peer.value()),
        Named::Group(id) => Conversation::Group(id),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
