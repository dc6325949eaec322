//! Client, network, server and application in one place, moved by one seed.

use crate::server::{DEVICE, Server};
use millpond_client::{
    Change, Config, Conversation, Core, Event, Kind, Now, Phase, Saved, Taken, UserId, Wish,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const STEPS_TO_REST_MAX: usize = 200_000;

pub(crate) struct World {
    pub(crate) server: Server,
    core: Core,
    rng: SmallRng,
    now: Duration,
    up: bool,
    to_server: Vec<u8>,
    saved: Saved,
    /// The application takes no events.
    pub(crate) lazy: bool,
    taken: Option<Taken>,
    /// What the application holds: cursor of the current epoch → conversation and sequence.
    pub(crate) held: BTreeMap<u64, (Conversation, u64)>,
    cursor: u64,
    /// `None` before the first message or reset.
    epoch: Option<u64>,
    pub(crate) enqueued: BTreeMap<u64, Conversation>,
    pub(crate) forbidden: BTreeSet<u64>,
    pub(crate) sent: BTreeMap<u64, u64>,
    pub(crate) failed: Vec<u64>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let saved = Saved::fresh(DEVICE);
        let config = Config {
            backoff_cap: Duration::from_secs(2),
            events_max: 32,
            outbox_messages_max: 64,
            ..Config::default()
        };
        let token = Some(b"token".to_vec());
        let mut core = Core::new(config, saved.clone(), token, seed, at(Duration::ZERO));
        core.start(at(Duration::ZERO));
        Self {
            server: Server::new(seed ^ 0xfeed),
            core,
            rng: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            up: false,
            to_server: Vec::new(),
            saved,
            lazy: false,
            taken: None,
            held: BTreeMap::new(),
            cursor: 0,
            epoch: None,
            enqueued: BTreeMap::new(),
            forbidden: BTreeSet::new(),
            sent: BTreeMap::new(),
            failed: Vec::new(),
        }
    }

    /// So many random steps; with `resets`, the inbox takes a new epoch now and then.
    pub(crate) fn live(&mut self, steps: usize, resets: bool) {
        for _ in 0..steps {
            match self.rng.random_range(0..100) {
                0..6 => {
                    let peer = self.rng.random_range(2..5);
                    self.enqueue(peer, b"hello");
                }
                6..12 => {
                    let peer = self.rng.random_range(2..5);
                    self.server.peer_sends(peer);
                }
                12..14 => self.cut(),
                14 if resets && self.rng.random_bool(0.5) => {
                    let head = self.rng.random_range(0..=self.server.rows.inbox.len());
                    self.server.lose_inbox(head);
                }
                15 => self
                    .core
                    .mark_read(direct(2), 1, at(self.now))
                    .then_some(())
                    .unwrap(),
                16 => self.core.probe(at(self.now)),
                _ => {}
            }
            self.step();
        }
    }

    /// No more accidents: everything has to come to its end.
    pub(crate) fn come_to_rest(&mut self) {
        self.server.mischief = false;
        for _ in 0..STEPS_TO_REST_MAX {
            self.step();
            let acked = self.server.rows.acked == self.server.head();
            let known = self.sent.len() + self.failed.len() == self.enqueued.len();
            if self.server.is_quiet() && acked && known && self.core.phase() == Phase::Live {
                return;
            }
        }
        let rest = (
            self.server.rows.acked,
            self.server.head(),
            self.sent.len(),
            self.enqueued.len(),
        );
        panic!(
            "no rest: acked, head, sent, enqueued = {rest:?}, {:#?}",
            self.core
        );
    }

    pub(crate) fn enqueue(&mut self, peer: u64, payload: &[u8]) {
        let conversation = direct(peer);
        let Ok(id) = self.core.enqueue(
            conversation,
            Kind::TEXT,
            payload.to_vec(),
            false,
            at(self.now),
        ) else {
            return;
        };
        if payload == b"forbidden" {
            self.forbidden.insert(id);
        }
        assert!(
            self.enqueued.insert(id, conversation).is_none(),
            "ids are never reused"
        );
    }

    fn cut(&mut self) {
        if self.up {
            self.up = false;
            self.core.disconnected(Some("cut".to_owned()), at(self.now));
        }
    }

    fn step(&mut self) {
        self.pass_time();
        self.settle();
        if self.up {
            let bytes = self.rng.random_range(0..2000).min(self.to_server.len());
            let bytes: Vec<u8> = self.to_server.drain(..bytes).collect();
            self.server.received(&bytes);
            self.server.work();
            if self.core.wants_bytes() {
                let bytes_max = self.rng.random_range(0..400);
                let bytes = self.server.take_output(bytes_max);
                self.core.received(&bytes, at(self.now));
            }
        }
        self.settle();
        if !self.lazy {
            self.take_some();
        }
    }

    fn pass_time(&mut self) {
        // Mostly a little; sometimes straight to whatever the core waits for.
        let small = Duration::from_millis(self.rng.random_range(0..20));
        let due = self
            .core
            .deadline()
            .filter(|_| !self.up || self.rng.random_bool(0.05));
        self.now = due
            .unwrap_or(self.now + small)
            .max(self.now)
            .min(self.now + Duration::from_secs(3));
        self.core.tick(at(self.now));
    }

    fn settle(&mut self) {
        for change in self.core.take_changes() {
            if let Change::Position(position) = &change {
                assert!(Some(position.epoch) != self.epoch || position.cursor <= self.cursor);
            }
            self.saved.apply(&change);
        }
        while let Some(wish) = self.core.poll_wish() {
            match wish {
                Wish::Connect { .. } => {
                    self.server.connect();
                    self.to_server.clear();
                    self.up = true;
                    self.core.connected(at(self.now));
                }
                Wish::Close { last_words } => {
                    assert!(last_words.is_empty(), "the server makes sense");
                    self.up = false;
                }
                Wish::Token => panic!("it has one"),
            }
        }
        self.to_server.extend(self.core.take_output());
    }

    fn take_some(&mut self) {
        for _ in 0..self.rng.random_range(0..8) {
            if let Some(taken) = self.taken.take() {
                self.core.take(taken, at(self.now));
            }
            let Some(polled) = self.core.poll_event() else {
                return;
            };
            self.taken = polled.taken;
            self.note(polled.event);
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Message(message) => {
                assert_eq!(message.epoch, *self.epoch.get_or_insert(message.epoch));
                assert_eq!(message.cursor, self.cursor + 1, "no gap and nothing twice");
                self.cursor += 1;
                self.held
                    .insert(message.cursor, (message.conversation, message.seq));
            }
            Event::Sent(sent) => {
                assert!(
                    self.sent.insert(sent.client_msg_id, sent.seq).is_none(),
                    "told once"
                );
            }
            Event::Failed { client_msg_id, .. } => self.failed.push(client_msg_id),
            Event::Reset { epoch, head, .. } => {
                self.held.split_off(&(head + 1));
                self.epoch = Some(epoch);
                self.cursor = head;
            }
            Event::Stopped { why } => panic!("{why}"),
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Synced
            | Event::Receipt { .. } => {}
        }
    }

    pub(crate) fn check_exact(&self) {
        assert_eq!(self.cursor, self.server.head());
        self.check_after_resets();
    }

    pub(crate) fn check_after_resets(&self) {
        for (cursor, row) in (1..).zip(&self.server.rows.inbox) {
            assert_eq!(self.held[&cursor], (row.conversation, row.seq), "{cursor}");
        }
        assert_eq!(self.held.len(), self.server.rows.inbox.len());
        self.check_sends();
        let position = self.saved.position.expect("saved");
        assert_eq!(
            (position.epoch, position.cursor),
            (self.server.rows.epoch, self.server.head())
        );
        assert!(self.saved.outbox.is_empty());
    }

    fn check_sends(&self) {
        let mut last = BTreeMap::new();
        for (id, conversation) in &self.enqueued {
            if self.forbidden.contains(id) {
                assert_eq!(self.failed.iter().filter(|failed| *failed == id).count(), 1);
                continue;
            }
            let seq = self.sent[id];
            assert_eq!(self.server.rows.taken[&(*conversation, *id)], seq);
            assert!(
                last.insert(conversation, seq) < Some(seq),
                "order of enqueueing"
            );
        }
    }
}

pub(crate) fn direct(user: u64) -> Conversation {
    Conversation::Direct(UserId::new(user).unwrap())
}

pub(crate) fn at(mono: Duration) -> Now {
    let unix_ms = 1_800_000_000_000 + u64::try_from(mono.as_millis()).unwrap();
    Now { mono, unix_ms }
}
