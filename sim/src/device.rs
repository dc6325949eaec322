//! A device of a user: the real SDK core, a storage, a socket, and an application that shows what comes. It can end at
//! any step and go on from what was saved. What it sends and sees goes to the checker.

mod heard;
mod past;

use crate::chance::Chance;
use crate::door::{Doors, Socket};
use crate::fault::{Fault, Faults};
use crate::gate::UNIX_MS;
use crate::notes::Notes;
use millpond_backplane::ConversationKey;
use millpond_checker as checker;
use millpond_client::{
    Change, Config, Conversation, Core, DeviceId, EnqueueError, From, Kind, Now, Phase, Position,
    Saved, Taken, UserId, Wish,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Bytes that one pump reads.
const READ_MAX: usize = 1 << 16;
/// Rows asked for in a page of history.
const HISTORY_ROWS: u64 = 40;

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) user: u64,
    pub(crate) name: u64,
    token: Vec<u8>,
    patience: Patience,
    core: Option<Core>,
    saved: Saved,
    wire: Option<Wire>,
    dialing: bool,
    /// Connections it has left without closing them.
    ghosts: Vec<Box<dyn Socket>>,
    /// Read by the application, in order, and not yet done with.
    reading: VecDeque<Taken>,
    /// What the application holds, in order.
    held: Vec<Held>,
    /// The highest sequence shown, by conversation.
    pub(crate) shown: BTreeMap<Conversation, u64>,
    /// The first thing it holds next comes behind this cursor, in whatever epoch.
    forgot_above: Option<u64>,
    backup: Option<Backup>,
    pub(crate) gate: usize,
    skew_ms: i64,
    /// Gone for good: the server has said so, or another device took over.
    pub(crate) retired: bool,
    pub(crate) live_since_us: Option<u64>,
    pub(crate) pages: VecDeque<Page>,
    asked: BTreeMap<u64, Conversation>,
}

/// How long it waits before it tries again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) stable_after: Duration,
    pub(crate) backoff_base: Duration,
    pub(crate) backoff_cap: Duration,
}

impl Patience {
    /// Where time costs nothing.
    pub(crate) const USUAL: Self = Self {
        stable_after: Duration::from_secs(5),
        backoff_base: Duration::from_millis(500),
        backoff_cap: Duration::from_secs(8),
    };
}

/// A page of history that came, or failed to.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) conversation: Conversation,
    /// Sequences, ascending, and whether nothing lies beyond; `None` when there is no answer.
    pub(crate) found: Option<(Vec<u64>, bool)>,
}

#[derive(Debug)]
struct Wire {
    socket: Box<dyn Socket>,
    out: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Held {
    operation: checker::Operation,
    epoch: u64,
    cursor: u64,
}

#[derive(Clone, Debug)]
struct Backup {
    saved: Saved,
    held: Vec<Held>,
}

/// What surrounds a device while it moves.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) notes: &'a mut Notes,
    pub(crate) doors: &'a mut dyn Doors,
    pub(crate) chance: &'a mut Chance,
    pub(crate) faults: Faults,
}

impl Device {
    pub(crate) fn new(
        user: u64,
        name: u64,
        token: Vec<u8>,
        gate: usize,
        patience: Patience,
    ) -> Self {
        Self {
            user,
            name,
            token,
            patience,
            core: None,
            saved: Saved::fresh(DeviceId(name)),
            wire: None,
            dialing: false,
            ghosts: Vec::new(),
            reading: VecDeque::new(),
            held: Vec::new(),
            shown: BTreeMap::new(),
            forgot_above: None,
            backup: None,
            gate,
            skew_ms: 0,
            retired: false,
            live_since_us: None,
            pages: VecDeque::new(),
            asked: BTreeMap::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.core.as_ref().map_or(Phase::Stopped, Core::phase)
    }

    /// For a person who wonders why nothing moves.
    pub(crate) fn inside(&self) -> String {
        let out = self.wire.as_ref().map(|wire| wire.out.len());
        format!("{:?}, bytes to write {out:?}", self.core)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.core.is_some()
    }

    /// Where its storage says that it stands.
    pub(crate) fn position(&self) -> Option<Position> {
        self.saved.position
    }

    /// The epoch and cursor of the last thing it was shown.
    pub(crate) fn last(&self) -> Option<(u64, u64)> {
        self.held.last().map(|held| (held.epoch, held.cursor))
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.saved.outbox.len()
    }

    pub(crate) fn is_settled(&self) -> bool {
        let core = self.core.as_ref();
        core.is_some_and(|core| core.phase() == Phase::Live && !core.has_event())
            && self.saved.outbox.is_empty()
            && self.reading.is_empty()
            && self.asked.is_empty()
    }

    fn now(&self, now_us: u64) -> Now {
        let unix_ms = (UNIX_MS + now_us / 1_000).saturating_add_signed(self.skew_ms);
        Now {
            mono: Duration::from_micros(now_us),
            unix_ms,
        }
    }

    /// When it wants to be pumped at the latest.
    pub(crate) fn deadline_us(&mut self) -> Option<u64> {
        let at = self.core.as_mut()?.deadline()?;
        Some(u64::try_from(at.as_micros()).expect("a short life"))
    }

    /// The application starts.
    pub(crate) fn start(&mut self, around: &mut Around<'_>) {
        if self.core.is_some() || self.retired {
            return;
        }
        let config = Config {
            events_max: 64,
            outbox_messages_max: 256,
            window_records: *around.chance.of(&[4, 16, 256]),
            sync_bytes: *around.chance.of(&[64, 2_048, 64 * 1024]),
            stable_after: self.patience.stable_after,
            backoff_base: self.patience.backoff_base,
            backoff_cap: self.patience.backoff_cap,
            ..Config::default()
        };
        let now = self.now(around.notes.now_us);
        let seed = around.chance.next();
        let token = Some(self.token.clone());
        let mut core = Core::new(config, self.saved.clone(), token, seed, now);
        core.start(now);
        self.core = Some(core);
        self.tell(around.notes, || "starts".to_owned());
        self.settle(around);
    }

    /// The application ends without a word; what was not saved is gone.
    pub(crate) fn kill(&mut self, notes: &mut Notes) {
        if self.core.take().is_none() {
            return;
        }
        self.tell(notes, || "is killed".to_owned());
        self.ended(notes);
    }

    /// Moves bytes, time and events as far as they go.
    pub(crate) fn pump(&mut self, around: &mut Around<'_>) {
        if self.core.is_none() {
            return;
        }
        self.dial(around);
        self.read(around);
        let now = self.now(around.notes.now_us);
        if let Some(core) = &mut self.core {
            core.tick(now);
        }
        self.settle(around);
        self.take_events(around);
        self.settle(around);
        self.write(around);
    }

    fn dial(&mut self, around: &mut Around<'_>) {
        if !self.dialing || around.chance.one_in(4) {
            return;
        }
        self.dialing = false;
        let now = self.now(around.notes.now_us);
        let Some(core) = &mut self.core else { return };
        if around.chance.one_in(3) {
            self.gate = around.chance.index(around.doors.count());
        }
        match around.doors.connect(self.gate) {
            Some(socket) => {
                self.wire = Some(Wire {
                    socket,
                    out: Vec::new(),
                });
                core.connected(now);
            }
            None => {
                self.gate = (self.gate + 1) % around.doors.count();
                core.disconnected(Some("refused".to_owned()), now);
            }
        }
    }

    fn read(&mut self, around: &mut Around<'_>) {
        let now = self.now(around.notes.now_us);
        let (Some(core), Some(wire)) = (&mut self.core, &mut self.wire) else {
            return;
        };
        if !core.wants_bytes() {
            return;
        }
        let most = if around.faults.has(Fault::SplitBytes) && around.chance.one_in(2) {
            around.notes.fault(Fault::SplitBytes);
            1 + around.chance.index(64)
        } else {
            READ_MAX
        };
        match wire.socket.read_at_most(most) {
            Ok(bytes) if !bytes.is_empty() => core.received(&bytes, now),
            Ok(_) if wire.socket.is_answered() => {}
            Ok(_) => self.lost(Some("reset"), around.notes),
            Err(_) => self.lost(None, around.notes),
        }
    }

    fn lost(&mut self, error: Option<&str>, notes: &mut Notes) {
        self.wire = None;
        self.live_since_us = None;
        let now = self.now(notes.now_us);
        if let Some(core) = &mut self.core {
            core.disconnected(error.map(str::to_owned), now);
        }
        self.tell(notes, || "lost its connection".to_owned());
    }

    fn write(&mut self, around: &mut Around<'_>) {
        let Some(wire) = &mut self.wire else { return };
        if wire.out.is_empty() {
            return;
        }
        let most = if around.faults.has(Fault::SplitBytes) && around.chance.one_in(2) {
            around.notes.fault(Fault::SplitBytes);
            (1 + around.chance.index(64)).min(wire.out.len())
        } else {
            wire.out.len()
        };
        match wire.socket.write(&wire.out[..most]) {
            Ok(bytes) => {
                wire.out.drain(..bytes);
            }
            Err(_) => self.lost(Some("reset"), around.notes),
        }
    }

    /// What the transport does after every input: changes, replies, wishes, output.
    fn settle(&mut self, around: &mut Around<'_>) {
        let Some(core) = &mut self.core else { return };
        for change in core.take_changes() {
            self.saved.apply(&change);
            if matches!(change, Change::Removed(_)) {
                around.notes.tally.messages += 1;
            }
        }
        let mut replies = Vec::new();
        while let Some(reply) = core.poll_reply() {
            replies.push(reply);
        }
        while let Some(wish) = core.poll_wish() {
            match wish {
                Wish::Connect { .. } => self.dialing = true,
                Wish::Close { last_words } => {
                    self.dialing = false;
                    self.live_since_us = None;
                    if let Some(mut wire) = self.wire.take()
                        && !last_words.is_empty()
                    {
                        let words = [&wire.out[..], &last_words].concat();
                        // What does not fit is lost, as with a real socket.
                        let _ = wire.socket.write(&words);
                        around.notes.see_frames(&last_words);
                    }
                }
                Wish::Token => core.token(
                    Ok(self.token.clone()),
                    Now {
                        mono: Duration::from_micros(around.notes.now_us),
                        unix_ms: UNIX_MS,
                    },
                ),
            }
        }
        let output = core.take_output();
        if let Some(wire) = &mut self.wire
            && !output.is_empty()
        {
            around.notes.see_frames(&output);
            wire.out.extend_from_slice(&output);
        }
        for reply in replies {
            self.reply(reply, around.notes);
        }
    }

    fn take_events(&mut self, around: &mut Around<'_>) {
        let slow = around.faults.has(Fault::SlowReader);
        let now = self.now(around.notes.now_us);
        loop {
            if slow && around.chance.one_in(3) {
                around.notes.fault(Fault::SlowReader);
                break;
            }
            let Some(core) = &mut self.core else { return };
            let Some(polled) = core.poll_event() else {
                break;
            };
            self.reading.extend(polled.taken);
            self.event(polled.event, around.notes);
        }
        while let Some(taken) = self.reading.front().copied() {
            if slow && around.chance.one_in(3) {
                break;
            }
            self.reading.pop_front();
            if let Some(core) = &mut self.core {
                core.take(taken, now);
            }
        }
    }

    /// Sends a message to a user.
    pub(crate) fn send(&mut self, to: u64, kind: Kind, payload: Vec<u8>, around: &mut Around<'_>) {
        let now = self.now(around.notes.now_us);
        let Some(core) = &mut self.core else { return };
        let to = UserId::new(to).expect("users are small numbers");
        let hash = content(kind, &payload);
        let conversation = Conversation::Direct(to);
        match core.enqueue(conversation, kind, payload, false, now) {
            Ok(id) => {
                self.note_sent(id, conversation, hash, around.notes);
                self.settle(around);
            }
            Err(EnqueueError::Full | EnqueueError::Stopped) => {}
            Err(other) => unreachable!("{other}"),
        }
    }

    fn note_sent(&self, id: u64, conversation: Conversation, payload: u64, notes: &mut Notes) {
        let conversation = self.named(conversation);
        self.tell(notes, || format!("sends {id} to {conversation}"));
        notes.note(checker::Operation::Sent {
            user: self.user,
            device: self.name,
            id,
            conversation,
            payload,
            at: notes.now_us,
        });
    }

    pub(crate) fn mark_read(&mut self, conversation: Conversation, seq: u64, now_us: u64) {
        let now = self.now(now_us);
        if let Some(core) = &mut self.core {
            core.mark_read(conversation, seq, now);
        }
    }

    pub(crate) fn ask_history(&mut self, conversation: Conversation, from: From, now_us: u64) {
        let now = self.now(now_us);
        if let Some(core) = &mut self.core
            && let Ok(rid) = core.history(conversation, from, HISTORY_ROWS, now)
        {
            self.asked.insert(rid, conversation);
        }
    }

    pub(crate) fn probe(&mut self, now_us: u64) {
        let now = self.now(now_us);
        if let Some(core) = &mut self.core {
            core.probe(now);
        }
    }

    /// The network changes: the old connection is dropped, or left standing as a ghost.
    pub(crate) fn disconnect(&mut self, ghost: bool, around: &mut Around<'_>) {
        let now = self.now(around.notes.now_us);
        if ghost && let Some(wire) = self.wire.take() {
            self.ghosts.truncate(3);
            self.ghosts.push(wire.socket);
            self.gate = (self.gate + 1) % around.doors.count();
        }
        if let Some(core) = &mut self.core {
            core.disconnect(now);
        }
        self.settle(around);
    }

    /// The network cuts the connection: neither side says why.
    pub(crate) fn cut(&mut self, notes: &mut Notes) {
        if let Some(wire) = self.wire.take() {
            wire.socket.reset();
            self.lost(Some("reset"), notes);
        }
    }

    /// The other side is gone: what had reached the application is told, and the connection is cut.
    pub(crate) fn hear_the_last(&mut self, notes: &mut Notes) {
        while let Some(polled) = self.core.as_mut().and_then(Core::poll_event) {
            self.reading.extend(polled.taken);
            self.event(polled.event, notes);
        }
        self.cut(notes);
    }

    /// Ends with BYE.
    pub(crate) fn close(&mut self, around: &mut Around<'_>) {
        let now = self.now(around.notes.now_us);
        if let Some(core) = &mut self.core {
            core.close(now);
        }
        self.settle(around);
        while let Some(polled) = self.core.as_mut().and_then(Core::poll_event) {
            self.event(polled.event, around.notes);
        }
    }

    pub(crate) fn set_clock(&mut self, skew_ms: i64) {
        self.skew_ms = skew_ms;
    }

    /// The conversation by its name on all sides.
    pub(crate) fn named(&self, conversation: Conversation) -> checker::Conversation {
        named(self.user, conversation)
    }

    fn tell(&self, notes: &mut Notes, what: impl FnOnce() -> String) {
        let (user, name) = (self.user, self.name);
        notes.tell(|| (format!("user {user} device {name}"), what()));
    }
}

/// What `user` calls `conversation`, by its name on all sides.
pub(crate) fn named(user: u64, conversation: Conversation) -> checker::Conversation {
    match conversation {
        Conversation::Direct(peer) => checker::Conversation::direct(user, peer.value()),
        Conversation::Group(group) => checker::Conversation::Group(group),
    }
}

pub(crate) fn key(conversation: checker::Conversation) -> Option<ConversationKey> {
    match conversation {
        checker::Conversation::Direct(low, high) => Some(ConversationKey::direct(
            UserId::new(low)?,
            UserId::new(high)?,
        )),
        checker::Conversation::Group(_) => None,
    }
}

/// A hash of kind and payload (FNV-1a).
pub(crate) fn content(kind: Kind, payload: &[u8]) -> u64 {
    let mix = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let start = mix(0xcbf2_9ce4_8422_2325, &kind.0);
    payload.iter().fold(start, mix)
}
