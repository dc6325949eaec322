//! Who writes to whom: random users to one of their partners; every user acknowledges its inbox as a client does.

use millpond_backplane::{
    Address, Command, CommandBody, ConversationKey, Entry, GatewayId, Handle, InboxBody, InboxEntry,
};
use millpond_bench::Random;
use millpond_wire::{DeviceId, Kind, UserId};
use std::sync::Arc;

pub(super) struct Load {
    random: Random,
    users: Vec<User>,
    partners: u64,
    payload: Arc<[u8]>,
    /// Users who have received enough to acknowledge it.
    to_acknowledge: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct User {
    messages_sent: u64,
    /// Records in its inbox that are durable, its own messages included; so it is its newest cursor as well.
    cursor: u64,
    acknowledged: u64,
}

/// A message that was handed to the core.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    from: u32,
    to: u32,
}

/// Records after which a client acknowledges its cursor.
pub(super) const ACK_EVERY: u64 = 16;
const SEED: u64 = 7;

impl Load {
    pub(super) fn new(users: u32, partners: u32, payload_bytes: u32) -> Self {
        Self {
            random: Random::new(SEED),
            users: vec![User::default(); users as usize],
            partners: partners.into(),
            payload: vec![0xA5; payload_bytes as usize].into(),
            to_acknowledge: Vec::new(),
        }
    }

    /// Appends this many SENDs, and the acknowledgements that are due.
    pub(super) fn fill(&mut self, messages: usize, entries: &mut Vec<Entry>) -> Vec<Sent> {
        let sent = (0..messages).map(|_| self.choose()).collect::<Vec<_>>();
        for one in &sent {
            entries.push(self.send(*one));
        }
        for at in std::mem::take(&mut self.to_acknowledge) {
            entries.push(self.acknowledge(at));
        }
        sent
    }

    /// These are durable now.
    pub(super) fn committed(&mut self, sent: &[Sent]) {
        for at in sent.iter().flat_map(|one| [one.from, one.to]) {
            let user = &mut self.users[at as usize];
            user.cursor += 1;
            if user.cursor - user.acknowledged == ACK_EVERY {
                self.to_acknowledge.push(at);
            }
        }
    }

    /// All SENDs so far.
    pub(super) fn sent(&self) -> u64 {
        self.users.iter().map(|user| user.messages_sent).sum()
    }

    fn choose(&mut self) -> Sent {
        let users = self.users.len() as u64;
        let from = self.random.word() % users;
        let to = (from + 1 + self.random.word() % self.partners) % users;
        let short = |at| u32::try_from(at).expect("users are counted in 32 bits");
        Sent {
            from: short(from),
            to: short(to),
        }
    }

    fn send(&mut self, sent: Sent) -> Entry {
        let (user, device) = named(sent.from);
        let sender = &mut self.users[sent.from as usize];
        sender.messages_sent += 1;
        let from = Address {
            gateway: GatewayId(1),
            gateway_epoch: 1,
            handle: Handle {
                shard: 0,
                slot: sent.from,
                generation: 1,
            },
            user,
            device,
        };
        Entry::Command(Command {
            conversation: ConversationKey::direct(user, named(sent.to).0),
            body: CommandBody::Send {
                from,
                client_msg_id: sender.messages_sent,
                after: None,
                kind: Kind::TEXT,
                payload: self.payload.clone(),
            },
        })
    }

    fn acknowledge(&mut self, at: u32) -> Entry {
        let (user, device) = named(at);
        let state = &mut self.users[at as usize];
        state.acknowledged = state.cursor;
        Entry::Inbox(InboxEntry {
            user,
            body: InboxBody::Acked {
                device,
                cursor: state.cursor,
            },
        })
    }
}

/// User ids begin at 1; everybody has one device.
fn named(at: u32) -> (UserId, DeviceId) {
    let id = u64::from(at) + 1;
    let user = UserId::new(id).expect("32 bits and one are below 2^63, and not 0");
    (user, DeviceId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two users with one partner each: every message lies in both inboxes.
    #[test]
    fn inboxes_are_acknowledged_at_cursors_that_are_durable() {
        let mut load = Load::new(2, 1, 8);
        let mut entries = Vec::new();
        let sent = load.fill(20, &mut entries);
        assert_eq!((sent.len(), entries.len(), load.sent()), (20, 20, 20));
        load.committed(&sent);
        entries.clear();
        load.fill(0, &mut entries);
        let cursors = entries.iter().map(|entry| {
            let Entry::Inbox(InboxEntry { body, .. }) = entry else {
                panic!("{entry:?} is no acknowledgement");
            };
            let InboxBody::Acked { cursor, .. } = body else {
                panic!("{body:?} is no acknowledgement");
            };
            *cursor
        });
        assert_eq!(cursors.collect::<Vec<_>>(), [20, 20]);
        load.fill(0, &mut entries);
        assert_eq!(entries.len(), 2, "once is enough");
    }

    #[test]
    fn nobody_writes_to_oneself() {
        let mut load = Load::new(5, 4, 0);
        let sent = load.fill(1_000, &mut Vec::new());
        assert!(sent.iter().all(|one| one.from != one.to));
    }
}
