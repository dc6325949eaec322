//! Quiet, and what must be true after it: everything acknowledged is at every device within a heartbeat, histories are
//! whole, marks are where clients put them.

use crate::device::{Around, Device, key};
use crate::fault::{Fault, Faults};
use crate::world::{Outcome, World};
use millpond_backplane::row::MemberMarks;
use millpond_backplane::store::{Answer, Read, Store};
use millpond_checker as checker;
use millpond_client::{Conversation, From, Phase};
use millpond_wire::UserId;
use std::collections::BTreeMap;

/// A heartbeat of an active client and its slack, and the answer to it.
const HEARTBEAT_US: u64 = 40_000_000;
/// Where nothing loses hints, a device that takes itself for up to date has everything after this. A SYNC that found no
/// room is repeated each second for as long as others take the places, so whoever catches up has a heartbeat's time.
const PROMPT_US: u64 = 4_000_000;
/// By when everybody is back and has everything.
const REST_US: u64 = 900_000_000;
/// For marks to be written and told, and how often they are repeated where there was no room for them.
const MARKS_US: u64 = 5_000_000;
const MARKS_TRIES_MAX: usize = 20;
/// Pages of one history that are asked for.
const PAGES_MAX: usize = 5_000;
/// Turns of a gateway for what stands in front of it.
const TURNS: usize = 6;

impl World {
    /// No more accidents, except that hints may be dropped: everything has to come to its end.
    pub(crate) fn come_to_rest(&mut self) {
        self.crowd.drop_probers();
        let drops = self.plan.faults.has(Fault::DropHint);
        self.faults = Faults::default();
        if drops {
            self.faults = self.faults.with(Fault::DropHint);
        }
        self.server.mend(&mut self.chance, &mut self.notes);
        self.server
            .start(self.faults, &mut self.chance, &mut self.notes);
        self.notes
            .tell(|| ("world".to_owned(), "comes to rest".to_owned()));
        let began_us = self.notes.now_us;
        if !self.wait(began_us, |world| world.has_everything()) {
            return;
        }
        if !self.be_read() {
            return;
        }
        self.faults = Faults::default();
        self.read_histories();
        self.server.stir_and_bury(&mut self.chance);
        for what in self.server.store.take_wrong() {
            self.notes.find("RowWentBack", what);
        }
        if let Some(what) = self.marks_wrong() {
            self.notes.find("MarksWrong", what);
        }
        self.server.drain_seen(&mut self.notes);
    }

    /// Everybody reads everything, and again where a gateway had no room for that: marks are hints.
    fn be_read(&mut self) -> bool {
        for _ in 0..MARKS_TRIES_MAX {
            self.read_all();
            let until_us = self.notes.now_us + MARKS_US;
            let began_us = self.notes.now_us;
            let done = |world: &Self| {
                let right = world.has_everything() && world.marks_wrong().is_none();
                right || world.notes.now_us > until_us
            };
            if !self.wait(began_us, done) {
                return false;
            }
            if self.marks_wrong().is_none() {
                return true;
            }
        }
        let what = self.unrest();
        self.notes.find("MarksWrong", what);
        false
    }

    /// Goes on until `done`, or finds what is missing.
    fn wait(&mut self, began_us: u64, done: impl Fn(&Self) -> bool) -> bool {
        let prompt = self.plan.faults.keep_hints();
        let mut fed: BTreeMap<u64, Fed> = BTreeMap::new();
        loop {
            let idle = self.turn_all();
            if idle && done(self) {
                return true;
            }
            if let Some(what) = self.late(began_us, prompt, &mut fed) {
                self.notes.find("Late", what);
                return false;
            }
            if self.notes.now_us > began_us + REST_US {
                let what = self.unrest();
                self.notes.find("Stuck", what);
                return false;
            }
            self.pass_time();
        }
    }

    /// Everything that can happen now; true when the routers have nothing left.
    fn turn_all(&mut self) -> bool {
        for gate in &mut self.server.gates {
            if gate.is_drained() {
                gate.crash();
            }
        }
        self.server.mend(&mut self.chance, &mut self.notes);
        self.server
            .start(self.faults, &mut self.chance, &mut self.notes);
        let mut around = Around {
            notes: &mut self.notes,
            doors: &mut self.server.gates,
            chance: &mut self.chance,
            faults: self.faults,
        };
        self.crowd.pump_all(&mut around);
        for _ in 0..TURNS {
            for gate in &mut self.server.gates {
                gate.turn(self.notes.now_us);
                gate.read_pages();
            }
        }
        let idle = self
            .server
            .settle(self.faults, &mut self.chance, &mut self.notes);
        for gate in &mut self.server.gates {
            gate.turn(self.notes.now_us);
        }
        idle
    }

    /// Whether a device goes by an epoch that its inbox has left.
    fn is_stale(&self, device: &Device) -> bool {
        let Some((epoch, _)) = device.last() else {
            return false;
        };
        let user = UserId::new(device.user).expect("users are small numbers");
        match self.server.store.read(&[Read::User(user)]).as_deref() {
            Ok([Answer::User(Some(row))]) => {
                epoch < self.server.store.epoch() + u64::from(row.resets)
            }
            _ => false,
        }
    }

    /// To the next thing that is due, at most half a second: the shards have timers too.
    fn pass_time(&mut self) {
        let now_us = self.notes.now_us;
        let dues = self
            .crowd
            .devices
            .iter_mut()
            .filter_map(|it| it.deadline_us());
        let next = dues.chain(self.server.next_hint_us()).min();
        let calm = self
            .crowd
            .devices
            .iter()
            .all(|it| it.phase() == Phase::Live);
        let most = if calm { 500_000 } else { 100_000 };
        let step = next.map_or(most, |due| due.saturating_sub(now_us).clamp(1_000, most));
        self.notes.now_us += step;
        self.server.tick(self.notes.now_us);
    }

    /// A device that has been connected for long enough, is behind, and gets nothing.
    fn late(&self, began_us: u64, prompt: bool, fed: &mut BTreeMap<u64, Fed>) -> Option<String> {
        let now_us = self.notes.now_us;
        for device in self.crowd.in_use() {
            let (Some(live_us), Some(head)) = (device.live_since_us, self.head(device.user)) else {
                continue;
            };
            let at = device.last();
            let fed = fed.entry(device.name).or_insert(Fed { at, us: now_us });
            let there = at.is_some_and(|(_, cursor)| cursor >= head) && !self.is_stale(device);
            if fed.at != at || head == 0 || there {
                *fed = Fed { at, us: now_us };
                continue;
            }
            let bound_us = if prompt && device.phase() == Phase::Live {
                PROMPT_US
            } else {
                HEARTBEAT_US
            };
            if now_us > live_us.max(began_us).max(fed.us) + bound_us {
                return Some(format!(
                    "user {} device {} is connected and stands at {at:?}, its inbox at {head}; {}",
                    device.user,
                    device.name,
                    self.inside(device)
                ));
            }
        }
        None
    }

    /// For a person who looks at one seed.
    fn inside(&self, device: &Device) -> String {
        let gates = self.notes.timeline.as_ref().map(|_| &self.server.gates);
        let routes = self.server.routes_of(device.user);
        format!("{} routes {routes:?} {gates:?}", device.inside())
    }

    fn unrest(&self) -> String {
        let mut parts = Vec::new();
        for device in self.crowd.in_use() {
            parts.push(format!(
                "user {} device {}: {:?}, {} unanswered, shown {:?}, saved {:?}",
                device.user,
                device.name,
                device.phase(),
                device.unanswered(),
                device.last(),
                device.position(),
            ));
        }
        if let Some(what) = self.marks_wrong() {
            parts.push(what);
        }
        parts.push(format!("zombies {}", self.server.zombies()));
        parts.join("; ")
    }

    fn has_everything(&self) -> bool {
        let mut devices = self.crowd.in_use();
        devices.all(|device| {
            let head = self.head(device.user);
            let there = head.is_none_or(|head| {
                let shown = device.last().map_or(0, |(_, cursor)| cursor);
                let saved = device.position().map_or(0, |position| position.cursor);
                shown.max(saved) >= head
            });
            device.is_settled() && there && !self.is_stale(device)
        })
    }

    /// The newest cursor of an inbox.
    fn head(&self, user: u64) -> Option<u64> {
        let reads = [Read::InboxHead(UserId::new(user)?)];
        match self.server.store.read(&reads).as_deref() {
            Ok([Answer::Inbox(rows)]) => Some(rows.first().map_or(0, |(cursor, _)| *cursor)),
            _ => None,
        }
    }

    /// Everybody reads everything.
    fn read_all(&mut self) {
        let now_us = self.notes.now_us;
        let mut conversations = self.conversations();
        conversations.retain(|conversation| self.mark_wrong(*conversation).is_some());
        for device in self
            .crowd
            .devices
            .iter_mut()
            .filter(|device| !device.retired)
        {
            for (conversation, head) in &conversations {
                if let Some(named) = seen_by(device.user, *conversation) {
                    device.mark_read(named, *head, now_us);
                }
            }
        }
    }

    /// Conversations with messages, and their heads.
    fn conversations(&self) -> Vec<(checker::Conversation, u64)> {
        let users = 1..=self.plan.users;
        let pairs = users.flat_map(|low| (low..=self.plan.users).map(move |high| (low, high)));
        let named = pairs.map(|(low, high)| checker::Conversation::direct(low, high));
        named
            .filter_map(|conversation| {
                let head = self.conversation_head(conversation);
                (head > 0).then_some((conversation, head))
            })
            .collect()
    }

    fn conversation_head(&self, conversation: checker::Conversation) -> u64 {
        let key = key(conversation).expect("a direct one");
        match self.server.store.read(&[Read::HistoryHead(key)]).as_deref() {
            Ok([Answer::History(rows)]) => rows.first().map_or(0, |row| row.message.seq),
            _ => 0,
        }
    }

    /// Whoever has everything and has read everything is marked so.
    fn marks_wrong(&self) -> Option<String> {
        let mut all = self.conversations().into_iter();
        all.find_map(|conversation| self.mark_wrong(conversation))
    }

    fn mark_wrong(&self, (conversation, head): (checker::Conversation, u64)) -> Option<String> {
        let row = self.server.store.marks(key(conversation)?);
        let members = row.map(|row| row.members).unwrap_or_default();
        let alone = members.len() == 1;
        let right = |marks: &MemberMarks| {
            !self.has_device(marks.user.value())
                || marks.read == head && (alone || marks.delivered == head)
        };
        let wrong = members.is_empty() || !members.iter().all(right);
        wrong.then(|| format!("{conversation}, head {head}, is marked {members:?}"))
    }

    fn has_device(&self, user: u64) -> bool {
        self.crowd
            .devices
            .iter()
            .any(|it| it.user == user && !it.retired)
    }

    /// One device of each user reads all history, page by page.
    fn read_histories(&mut self) {
        for (conversation, head) in self.conversations() {
            for place in 0..self.crowd.devices.len() {
                let user = self.crowd.devices[place].user;
                let mut devices = self.crowd.devices.iter();
                let first = devices.position(|it| it.user == user && !it.retired);
                let named = seen_by(user, conversation);
                if let (Some(named), true) = (named, first == Some(place)) {
                    self.read_history(place, named, head);
                }
            }
            self.notes.note(checker::Operation::Head {
                conversation,
                seq: head,
                at: self.notes.now_us,
            });
        }
    }

    fn read_history(&mut self, place: usize, conversation: Conversation, head: u64) {
        let mut after = 0;
        let mut tries = 0;
        self.crowd.devices[place].pages.clear();
        while after < head && tries < PAGES_MAX {
            tries += 1;
            let from = From::After(after);
            self.crowd.devices[place].ask_history(conversation, from, self.notes.now_us);
            for _ in 0..50 {
                self.turn_all();
                if !self.crowd.devices[place].pages.is_empty() {
                    break;
                }
                self.pass_time();
            }
            while let Some(page) = self.crowd.devices[place].pages.pop_front() {
                if let (true, Some((seqs, _))) = (page.conversation == conversation, page.found) {
                    after = seqs.into_iter().fold(after, u64::max);
                }
            }
        }
        if after < head {
            let what = format!("history of {conversation:?} ends at {after}, its head is {head}");
            self.notes.find("HistoryShort", what);
        }
    }

    /// The checker's word and our own.
    pub(crate) fn judge(mut self) -> Outcome {
        let at = self.notes.now_us;
        let whole = self.notes.findings.is_empty();
        for device in self.crowd.devices.iter().filter(|it| !it.retired && whole) {
            self.notes.note(checker::Operation::CaughtUp {
                user: device.user,
                device: device.name,
                at,
            });
        }
        self.notes.judge();
        let findings = self.notes.findings;
        let mut tally = self.notes.tally;
        tally.runs = 1;
        tally.virtual_us = at;
        Outcome {
            tally,
            findings,
            timeline: self.notes.timeline.unwrap_or_default(),
            seen: self.notes.seen.unwrap_or_default(),
        }
    }
}

/// What a device was shown last, and when.
struct Fed {
    at: Option<(u64, u64)>,
    us: u64,
}

/// What `user`, if a member, calls this conversation.
fn seen_by(user: u64, conversation: checker::Conversation) -> Option<Conversation> {
    let checker::Conversation::Direct(low, high) = conversation else {
        return None;
    };
    let peer = match user {
        _ if user == low => high,
        _ if user == high => low,
        _ => return None,
    };
    UserId::new(peer).map(Conversation::Direct)
}
