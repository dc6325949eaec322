//! A small store as the real router leaves it, on a real disk.

use millpond_backplane::store::Store as _;
use millpond_backplane::{
    Address, Command, CommandBody, ConversationKey, Entry, GatewayId, Handle, InboxBody, InboxEntry,
};
use millpond_embedded::{FjallStore, Options};
use millpond_router::fused::{Config, FusedCore, Now};
use millpond_wire::{DeviceId, Kind, UserId};
use std::path::Path;
use std::sync::Arc;

pub(crate) fn user(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn direct(a: u64, b: u64) -> ConversationKey {
    ConversationKey::direct(user(a), user(b))
}

/// When the first message was taken.
pub(crate) const START_MS: u64 = 1_767_225_600_000;

/// 1 talks with 2, 3 and 4, 3 keeps a note, 5 and 6 talk and never acknowledge. Of 1-2 there are ten messages, of which
/// 2 has eight on device 21 and three on device 22, and has read five. Each turn is one commit.
pub(crate) fn make(data: &Path) {
    let store = Arc::new(FjallStore::open(data, &Options::default()).unwrap());
    let mut core = FusedCore::open(Config::default(), store.clone()).unwrap();
    let mut now = START_MS;
    for turn in turns() {
        let turn = core.run(&mut turn.clone(), at(now)).unwrap();
        store.commit(&turn.batch).unwrap();
        core.committed(turn.number, None);
        now += 1_500;
    }
    let last = core.run_last(at(now));
    store.commit(&last.batch).unwrap();
}

pub(crate) fn at(ms: u64) -> Now {
    Now {
        wall_ms: ms,
        steady_ms: ms,
    }
}

fn turns() -> Vec<Vec<Entry>> {
    let mut turns: Vec<Vec<Entry>> = (1..=5)
        .map(|round| vec![send(1, 11, 2, round), send(2, 21, 1, round)])
        .collect();
    turns.push(vec![
        send(1, 11, 3, 6),
        send(1, 12, 4, 1),
        send(3, 31, 3, 1),
        send(4, 41, 1, 1),
    ]);
    turns.push(vec![
        send(5, 51, 6, 1),
        send(6, 61, 5, 1),
        send(5, 51, 6, 2),
        send(5, 51, 6, 3),
    ]);
    // Resends leave no rows.
    turns.push(vec![send(1, 11, 2, 5), send(1, 11, 2, 1)]);
    turns.push(vec![
        acked(2, 21, 8),
        acked(2, 22, 3),
        read(2, 1, 5),
        acked(1, 11, 12),
        acked(3, 31, 2),
    ]);
    turns.push(vec![send(1, 11, 3, 7)]);
    turns
}

pub(crate) fn send(from: u64, device: u64, to: u64, id: u64) -> Entry {
    let body = CommandBody::Send {
        from: Address {
            gateway: GatewayId(1),
            gateway_epoch: 1,
            handle: Handle {
                shard: 0,
                slot: 1,
                generation: 1,
            },
            user: user(from),
            device: DeviceId(device),
        },
        client_msg_id: id,
        after: None,
        kind: Kind::TEXT,
        payload: format!("{from} to {to}: {id}").as_bytes().into(),
    };
    Entry::Command(Command {
        conversation: direct(from, to),
        body,
    })
}

fn acked(id: u64, device: u64, cursor: u64) -> Entry {
    Entry::Inbox(InboxEntry {
        user: user(id),
        body: InboxBody::Acked {
            device: DeviceId(device),
            cursor,
        },
    })
}

fn read(reader: u64, peer: u64, up_to: u64) -> Entry {
    Entry::Command(Command {
        conversation: direct(reader, peer),
        body: CommandBody::Read {
            user: user(reader),
            up_to,
        },
    })
}
