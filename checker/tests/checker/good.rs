//! Histories without a fault, made by a small server that has none.

use millpond_checker::{Checker, Conversation, Operation, Report};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

const USERS: u64 = 4;
const DEVICES: u64 = 2;
const GROUP: Conversation = Conversation::Group(1);
const EPOCH: u64 = 3;

struct Row {
    conversation: Conversation,
    seq: u64,
    sender: u64,
    device: u64,
    id: u64,
    payload: u64,
}

/// Users with two devices each, who write to each other and into a group; some answers are lost, some sends repeated,
/// some devices reset, if that is wanted.
pub(crate) fn history(seed: u64, steps: usize, resets: bool) -> Vec<Operation> {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.at += 1000;
        match world.rng.random_range(0..10) {
            0..4 => world.send(),
            4..9 => world.deliver_one(),
            _ if resets => world.reset(),
            _ => {}
        }
    }
    world.end();
    world.operations
}

pub(crate) fn judge(operations: &[Operation]) -> Report {
    let mut checker = Checker::new();
    operations
        .iter()
        .for_each(|operation| checker.note(*operation));
    checker.finish()
}

struct World {
    rng: SmallRng,
    operations: Vec<Operation>,
    at: u64,
    next_id: u64,
    logs: BTreeMap<Conversation, Vec<(u64, u64)>>,
    inboxes: BTreeMap<u64, Vec<Row>>,
    /// Of each device: its epoch and cursor.
    cursors: BTreeMap<(u64, u64), (u64, usize)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let member = |user| Operation::Member {
            conversation: GROUP,
            user,
            after: 0,
        };
        Self {
            rng: SmallRng::seed_from_u64(seed),
            operations: (1..=USERS).map(member).collect(),
            at: 0,
            next_id: 1,
            logs: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }

    fn send(&mut self) {
        let (user, device) = self.anybody();
        let peer = self.rng.random_range(1..=USERS);
        let in_group = self.rng.random_bool(0.3);
        let conversation = if in_group {
            GROUP
        } else {
            Conversation::direct(user, peer)
        };
        let (id, payload) = (self.next_id, self.rng.random());
        self.next_id += 1;
        let at = self.at;
        let sent = Operation::Sent {
            user,
            device,
            id,
            conversation,
            payload,
            at,
        };
        self.operations.push(sent);
        match self.rng.random_range(0..20) {
            // It never arrived, or was refused.
            0 => return,
            1 => {
                let code = 1002;
                let refused = Operation::Refused {
                    user,
                    device,
                    id,
                    code,
                    at,
                };
                return self.operations.push(refused);
            }
            2 => self.operations.push(sent),
            _ => {}
        }
        let seq = self.store(conversation, (user, device), id, payload);
        // Some answers are lost, and never asked for again.
        if self.rng.random_bool(0.95) {
            let acked = Operation::Acked {
                user,
                device,
                id,
                seq,
                at,
            };
            self.operations.push(acked);
        }
    }

    fn store(
        &mut self,
        conversation: Conversation,
        from: (u64, u64),
        id: u64,
        payload: u64,
    ) -> u64 {
        let log = self.logs.entry(conversation).or_default();
        log.push((from.0, payload));
        let seq = log.len() as u64;
        for user in members(conversation) {
            self.inboxes.entry(user).or_default().push(Row {
                conversation,
                seq,
                sender: from.0,
                device: from.1,
                id,
                payload,
            });
        }
        seq
    }

    fn deliver_one(&mut self) {
        let (user, device) = self.anybody();
        self.deliver(user, device);
    }

    fn deliver(&mut self, user: u64, device: u64) -> bool {
        let (epoch, cursor) = *self.cursors.entry((user, device)).or_insert((EPOCH, 0));
        let Some(row) = self.inboxes.get(&user).and_then(|rows| rows.get(cursor)) else {
            return false;
        };
        let stub = (row.sender, row.device) == (user, device);
        self.operations.push(Operation::Delivered {
            user,
            device,
            epoch,
            cursor: cursor as u64 + 1,
            conversation: row.conversation,
            seq: row.seq,
            sender: row.sender,
            origin: (row.sender == user).then_some((row.device, row.id)),
            payload: (!stub).then_some(row.payload),
            at: self.at,
        });
        self.cursors.insert((user, device), (epoch, cursor + 1));
        true
    }

    /// A device is sent back; its user's other devices follow when they are told.
    fn reset(&mut self) {
        if !self.rng.random_bool(0.05) {
            return;
        }
        let (user, _) = self.anybody();
        for device in 1..=DEVICES {
            let (epoch, cursor) = *self.cursors.entry((user, device)).or_insert((EPOCH, 0));
            let head = self.rng.random_range(0..=cursor);
            self.operations.push(Operation::Reset {
                user,
                device,
                epoch: epoch + 1,
                head: head as u64,
                at: self.at,
            });
            self.cursors.insert((user, device), (epoch + 1, head));
        }
    }

    fn end(&mut self) {
        let at = self.at;
        for user in 1..=USERS {
            for device in 1..=DEVICES {
                while self.deliver(user, device) {}
                self.operations
                    .push(Operation::CaughtUp { user, device, at });
            }
        }
        for (&conversation, log) in &self.logs {
            for reader in members(conversation) {
                for (seq, &(sender, payload)) in (1..).zip(log) {
                    self.operations.push(Operation::History {
                        reader,
                        conversation,
                        seq,
                        sender,
                        payload,
                        at,
                    });
                }
            }
            let seq = log.len() as u64;
            self.operations.push(Operation::Head {
                conversation,
                seq,
                at,
            });
        }
    }

    fn anybody(&mut self) -> (u64, u64) {
        (
            self.rng.random_range(1..=USERS),
            self.rng.random_range(1..=DEVICES),
        )
    }
}

fn members(conversation: Conversation) -> Vec<u64> {
    match conversation {
        Conversation::Direct(low, high) if low == high => vec![low],
        Conversation::Direct(low, high) => vec![low, high],
        Conversation::Group(_) => (1..=USERS).collect(),
    }
}

#[test]
fn good_histories_pass() {
    for seed in 0..200 {
        let report = judge(&history(seed, 300, true));
        assert!(report.is_clean(), "seed {seed}: {report}");
        assert_eq!(report.counts.devices_unfollowed, 0);
    }
}

#[test]
fn a_long_history_passes_too() {
    let operations = history(1, 100_000, true);
    let report = judge(&operations);
    assert!(report.is_clean(), "{report}");
    assert!(report.counts.acked > 20_000);
}
