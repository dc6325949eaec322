//! A router in miniature over memory drivers: gives sequences and cursors, writes rows, answers and delivers. No faults
//! of its own; what a test finds wrong is the gateway's doing.

use crate::token::Keys;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use millpond_backplane::link::{Downlink, DownlinkBody, Link};
use millpond_backplane::log::{Appender, Full};
use millpond_backplane::memory::{Atomicity, MemoryRoutes, MemoryStore, MeshLink};
use millpond_backplane::mesh::Sender;
use millpond_backplane::routes::{Route, Routes};
use millpond_backplane::row::{HistoryRow, InboxRow, UserRow};
use millpond_backplane::store::{Batch, Durability, Store, Write};
use millpond_backplane::{
    Address, Command, CommandBody, ConversationKey, Entry, InboxBody, InboxEntry, Message, Position,
};
use millpond_wire::{Ack, AckStatus, Code, DeviceId, Kind, Origin, Record, UserId, encode_record};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: [u8; 32] = [7; 32];

pub(crate) fn keys() -> Keys {
    Keys::hs256(&SECRET, None).unwrap()
}

pub(crate) fn token(user: UserId) -> String {
    token_until(user, 4_000_000_000)
}

pub(crate) fn token_until(user: UserId, exp: u64) -> String {
    let claims = serde_json::json!({ "sub": user.to_string(), "exp": exp });
    let key = EncodingKey::from_secret(&SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

pub(crate) fn user(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

/// What all shards' appenders share.
#[derive(Debug)]
pub(super) struct Mill {
    pub(super) store: Arc<MemoryStore>,
    pub(super) routes: Arc<MemoryRoutes>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    link: MeshLink,
    heads: BTreeMap<ConversationKey, u64>,
    inboxes: BTreeMap<UserId, u64>,
    known: BTreeMap<(UserId, DeviceId, u64), u64>,
    acked: BTreeMap<(UserId, DeviceId), u64>,
    /// How often an inbox began an epoch of its own.
    resets: BTreeMap<UserId, u32>,
    offset: u64,
    /// Where SENDs came from, connections that are gone included.
    seen: Vec<Address>,
}

impl Mill {
    pub(super) fn new(shards: Vec<Sender<Downlink>>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Batch)),
            routes: Arc::new(MemoryRoutes::new(Duration::from_secs(3_600))),
            state: Mutex::new(State {
                link: MeshLink::new(shards),
                heads: BTreeMap::new(),
                inboxes: BTreeMap::new(),
                known: BTreeMap::new(),
                acked: BTreeMap::new(),
                resets: BTreeMap::new(),
                offset: 0,
                seen: Vec::new(),
            }),
        })
    }

    pub(super) fn appender(self: &Arc<Self>, entries_max: usize) -> Box<dyn Appender> {
        Box::new(MillAppender {
            mill: Arc::clone(self),
            queued: Vec::new(),
            entries_max,
        })
    }

    /// The highest cursor that a device was told to keep.
    pub(super) fn acked(&self, user: UserId, device: DeviceId) -> Option<u64> {
        self.state
            .lock()
            .unwrap()
            .acked
            .get(&(user, device))
            .copied()
    }

    /// The newest cursor of an inbox.
    pub(super) fn head(&self, user: UserId) -> u64 {
        let state = self.state.lock().unwrap();
        state.inboxes.get(&user).copied().unwrap_or(0)
    }

    /// All routes.
    pub(super) fn routes(&self) -> Vec<Route> {
        let users: Vec<_> = (1..=100).map(user).collect();
        let mut routes = Vec::new();
        self.routes.find(&users, &mut routes).unwrap();
        routes
    }

    /// Connections that have sent something.
    pub(super) fn seen(&self) -> Vec<Address> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Those of them that are no longer the route of their device.
    pub(super) fn gone(&self) -> Vec<Address> {
        let seen = self.seen();
        let is_gone = |address: &Address| {
            let mut routes = Vec::new();
            self.routes.find(&[address.user], &mut routes).unwrap();
            routes.iter().all(|route| route.address != *address)
        };
        seen.into_iter().filter(is_gone).collect()
    }

    /// Hints of nobody in particular, for a test that lies.
    pub(super) fn hint(&self, downlink: Downlink) {
        let mut state = self.state.lock().unwrap();
        state.link.send(downlink);
        state.link.flush();
    }

    fn take(&self, entries: Vec<Entry>) {
        let mut state = self.state.lock().unwrap();
        for entry in entries {
            match entry {
                Entry::Command(command) => self.command(&mut state, command),
                Entry::Inbox(inbox) => self.inbox(&mut state, &inbox),
            }
        }
        state.link.flush();
    }

    fn inbox(&self, state: &mut State, inbox: &InboxEntry) {
        let head = state.inboxes.get(&inbox.user).copied().unwrap_or(0);
        match inbox.body {
            InboxBody::Acked { device, cursor } => {
                assert!(cursor <= head, "{cursor} of {head} was never shown");
                let acked = state.acked.entry((inbox.user, device)).or_default();
                *acked = cursor.max(*acked);
            }
            InboxBody::Ahead { epoch, cursor, .. } => {
                let resets = state.resets.get(&inbox.user).copied().unwrap_or(0);
                if cursor > head && epoch == self.store.epoch() + u64::from(resets) {
                    self.reset(state, inbox.user, resets + 1);
                }
            }
            InboxBody::Message { .. } => unreachable!("gateways send commands"),
        }
    }

    /// An epoch of its own for one inbox: all that the user's devices keep is void, and they are told.
    fn reset(&self, state: &mut State, user: UserId, resets: u32) {
        state.resets.insert(user, resets);
        state.offset += 1;
        let row = UserRow {
            position: Position {
                epoch: 1,
                offset: state.offset,
                index: 0,
            },
            resets,
            devices: Vec::new(),
        };
        let writes = vec![Write::User { user, row }];
        self.store.commit(&Batch { writes }).unwrap();
        let mut routes = Vec::new();
        self.routes.find(&[user], &mut routes).unwrap();
        for route in routes {
            state.link.send(Downlink {
                to: route.address,
                body: DownlinkBody::Kick(Code::UNKNOWN_EPOCH),
            });
        }
    }

    fn command(&self, state: &mut State, command: Command) {
        let CommandBody::Send {
            from,
            client_msg_id,
            kind,
            payload,
            ..
        } = command.body
        else {
            return;
        };
        state.seen.push(from);
        let id = (from.user, from.device, client_msg_id);
        if let Some(seq) = state.known.get(&id) {
            return ack(
                &mut state.link,
                from,
                client_msg_id,
                AckStatus::Duplicate,
                *seq,
            );
        }
        let seq = *state
            .heads
            .entry(command.conversation)
            .and_modify(|seq| *seq += 1)
            .or_insert(1);
        state.known.insert(id, seq);
        let message = Message {
            conversation: command.conversation,
            seq,
            sender: from.user,
            device: from.device,
            client_msg_id,
            server_ms: 1,
            kind,
            payload,
        };
        let deliveries = self.write(state, &message);
        ack(&mut state.link, from, client_msg_id, AckStatus::New, seq);
        deliveries
            .into_iter()
            .for_each(|downlink| state.link.send(downlink));
    }

    /// Rows first, then hints: as the real one.
    fn write(&self, state: &mut State, message: &Message) -> Vec<Downlink> {
        state.offset += 1;
        let position = Position {
            epoch: 1,
            offset: state.offset,
            index: 0,
        };
        let row = HistoryRow {
            position,
            message: message.clone(),
        };
        let mut writes = vec![Write::Message { row, hash: 0 }];
        let mut deliveries = Vec::new();
        for user in members(message.conversation) {
            let cursor = *state
                .inboxes
                .entry(user)
                .and_modify(|head| *head += 1)
                .or_insert(1);
            let row = InboxRow {
                position,
                conversation: message.conversation,
                seq: message.seq,
            };
            writes.push(Write::Inbox { user, cursor, row });
            let mut routes = Vec::new();
            self.routes.find(&[user], &mut routes).unwrap();
            let record: Arc<[u8]> = encoded(message, user).into();
            deliveries.extend(routes.iter().map(|route| Downlink {
                to: route.address,
                body: DownlinkBody::Deliver {
                    cursor,
                    record: Arc::clone(&record),
                },
            }));
        }
        self.store.commit(&Batch { writes }).unwrap();
        deliveries
    }
}

fn members(conversation: ConversationKey) -> Vec<UserId> {
    match conversation {
        ConversationKey::Direct(low, high) if low == high => vec![low],
        ConversationKey::Direct(low, high) => vec![low, high],
        ConversationKey::Group(_) => Vec::new(),
    }
}

fn encoded(message: &Message, viewer: UserId) -> Vec<u8> {
    let mine = message.sender == viewer;
    let mut bytes = Vec::new();
    let record = Record {
        kind: message.kind,
        origin: mine.then_some(Origin {
            device: message.device,
            client_msg_id: message.client_msg_id,
        }),
        stub: false,
        counts: message.kind == Kind::TEXT && !mine,
        conversation: message.conversation.seen_by(viewer),
        seq: message.seq,
        sender: None,
        server_ms: message.server_ms,
        payload: &message.payload,
    };
    encode_record(&record, &mut bytes);
    bytes
}

fn ack(link: &mut MeshLink, to: Address, client_msg_id: u64, status: AckStatus, seq: u64) {
    let body = DownlinkBody::Ack(Ack {
        client_msg_id,
        status,
        seq,
        server_ms: 1,
    });
    link.send(Downlink { to, body });
}

#[derive(Debug)]
struct MillAppender {
    mill: Arc<Mill>,
    queued: Vec<Entry>,
    entries_max: usize,
}

impl Appender for MillAppender {
    fn append(&mut self, entry: Entry) -> Result<(), Full> {
        if self.queued.len() == self.entries_max {
            return Err(Full(entry));
        }
        self.queued.push(entry);
        Ok(())
    }

    fn flush(&mut self) {
        let entries = std::mem::take(&mut self.queued);
        if !entries.is_empty() {
            self.mill.take(entries);
        }
    }
}
