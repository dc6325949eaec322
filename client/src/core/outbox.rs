//! What waits for its acknowledgement. Ids grow and are never reused; within a conversation messages are on the way in
//! the order of their ids, each naming the one before it while that one is unacknowledged, so the server can refuse one
//! without letting the next overtake it. After a refusal to be repeated nothing of that conversation is sent until all
//! that is on the way has been answered; then it goes on in order. So no SEND is on the way twice.

use super::backoff::{doubled, uniform};
use crate::{Conversation, Kind, Stored};
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The wait of a line after its first refusal that names no time is uniform up to this; each further one doubles it.
const REFUSAL_WAIT: Duration = Duration::from_millis(50);
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(10);
/// Flights that have ended are swept out when there are this many beside twice those that have not.
const STALE_FLIGHTS_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Outbox {
    entries: BTreeMap<u64, Entry>,
    lines: BTreeMap<Conversation, Line>,
    waiting: BTreeSet<u64>,
    /// Refused lines of which nothing is on the way, by the end of their wait.
    held: BTreeSet<(Duration, Conversation)>,
    /// When what was sent, the oldest first; those that were answered since are stale.
    flights: VecDeque<(Duration, u64)>,
    in_flight: usize,
    next_id: u64,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) conversation: Conversation,
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
    /// Somebody waits for the outcome, so it is no event.
    pub(crate) awaited: bool,
    sent_at: Option<Duration>,
}

/// The messages of one conversation, in order.
#[derive(Debug, Default)]
struct Line {
    ids: VecDeque<u64>,
    in_flight: usize,
    /// Set by a refusal: nothing is sent before this.
    held_until: Option<Duration>,
    refusals: u32,
}

impl Outbox {
    /// `first_id` is above every id this device has ever used.
    pub(crate) fn new(stored: Vec<Stored>, first_id: u64) -> Self {
        let mut outbox = Self {
            entries: BTreeMap::new(),
            lines: BTreeMap::new(),
            waiting: BTreeSet::new(),
            held: BTreeSet::new(),
            flights: VecDeque::new(),
            in_flight: 0,
            next_id: first_id,
        };
        for message in stored {
            assert!(message.client_msg_id < first_id, "ids grow");
            outbox.add(message, false);
        }
        outbox
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = id.checked_add(1).expect("2^64 ids are never used up");
        id
    }

    pub(crate) fn add(&mut self, message: Stored, awaited: bool) {
        let id = message.client_msg_id;
        let line = self.lines.entry(message.conversation).or_default();
        assert!(line.ids.back() < Some(&id), "ids grow");
        line.ids.push_back(id);
        self.waiting.insert(id);
        let entry = Entry {
            conversation: message.conversation,
            kind: message.kind,
            payload: message.payload,
            awaited,
            sent_at: None,
        };
        assert!(self.entries.insert(id, entry).is_none(), "ids are unique");
    }

    /// The ids to send now, in order, so that at most `window` are on the way.
    pub(crate) fn due(&self, window: usize) -> Vec<u64> {
        let room = window.saturating_sub(self.in_flight);
        let open = |id: &&u64| self.line_of(**id).held_until.is_none();
        let due = self.waiting.iter().filter(open);
        due.take(room).copied().collect()
    }

    /// `id` is being sent: the entry, and the id it comes after.
    pub(crate) fn send(&mut self, id: u64, now: Duration) -> (&Entry, Option<u64>) {
        assert!(self.waiting.remove(&id), "only what waits is sent");
        self.in_flight += 1;
        self.flights.push_back((now, id));
        let entry = self.entries.get_mut(&id).expect("what waits is there");
        entry.sent_at = Some(now);
        let line = self.lines.get_mut(&entry.conversation);
        let line = line.expect("every entry has a line");
        line.in_flight += 1;
        let place = line.place(id);
        let after = place.checked_sub(1).map(|before| line.ids[before]);
        (entry, after)
    }

    /// The server has answered the SEND of `id` for good. `None` when nothing waits for that.
    pub(crate) fn resolve(&mut self, id: u64) -> Option<Entry> {
        self.land(id);
        let entry = self.entries.remove(&id)?;
        self.waiting.remove(&id);
        let line = self.lines.get_mut(&entry.conversation);
        let line = line.expect("every entry has a line");
        line.refusals = 0;
        line.ids.remove(line.place(id));
        if line.ids.is_empty() {
            self.release(entry.conversation);
            self.lines.remove(&entry.conversation);
        }
        Some(entry)
    }

    /// The same, known from somewhere else than an answer: only what is not on the way, for else the answer comes.
    pub(crate) fn resolve_waiting(&mut self, id: u64) -> Option<Entry> {
        if !self.waiting.contains(&id) {
            return None;
        }
        self.resolve(id)
    }

    /// The server asks to repeat `id` later.
    pub(crate) fn repeat(&mut self, id: u64, now: Duration, after: Duration, rng: &mut SmallRng) {
        // A refusal that comes twice, or late, says nothing about a message that is not on the way.
        let flying = self
            .entries
            .get(&id)
            .filter(|entry| entry.sent_at.is_some());
        let Some(conversation) = flying.map(|entry| entry.conversation) else {
            return;
        };
        let line = self.lines.get_mut(&conversation);
        let line = line.expect("every entry has a line");
        // One refusal brings one for each message behind it: they are one step of the backoff, not many.
        if line.held_until.is_none() {
            line.refusals = line.refusals.saturating_add(1);
        }
        let bound = doubled(
            REFUSAL_WAIT,
            line.refusals.saturating_sub(1),
            REFUSAL_WAIT_MAX,
        );
        let until = now
            .saturating_add(after)
            .saturating_add(uniform(bound, rng));
        line.held_until = line.held_until.max(Some(until));
        self.land(id);
    }

    /// `id` is not on the way any more, if it was.
    fn land(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.sent_at.take().is_none() {
            return;
        }
        self.waiting.insert(id);
        self.in_flight -= 1;
        let line = self.lines.get_mut(&entry.conversation);
        let line = line.expect("every entry has a line");
        line.in_flight -= 1;
        if let (0, Some(until)) = (line.in_flight, line.held_until) {
            self.held.insert((until, entry.conversation));
        }
        self.sweep_flights();
    }

    pub(crate) fn connection_lost(&mut self) {
        let flights = std::mem::take(&mut self.flights);
        flights.iter().for_each(|&(_, id)| self.land(id));
        assert_eq!(self.in_flight, 0, "every flight was known");
        self.flights.clear();
        self.release_until(Duration::MAX);
    }

    /// Lines that have waited long enough go on.
    pub(crate) fn release_until(&mut self, now: Duration) {
        while let Some((until, conversation)) = self.held.first().copied() {
            if until > now {
                break;
            }
            self.release(conversation);
        }
    }

    fn release(&mut self, conversation: Conversation) {
        let line = self.lines.get_mut(&conversation);
        let line = line.expect("a line that ends is released first");
        if let Some(until) = line.held_until.take() {
            self.held.remove(&(until, conversation));
        }
    }

    /// When the oldest SEND on the way was sent.
    pub(crate) fn oldest_flight(&mut self) -> Option<Duration> {
        while let Some(&(at, id)) = self.flights.front() {
            if self.is_flying(at, id) {
                return Some(at);
            }
            self.flights.pop_front();
        }
        None
    }

    fn is_flying(&self, at: Duration, id: u64) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| entry.sent_at == Some(at))
    }

    /// One old flight at the front must not keep all stale ones behind it.
    fn sweep_flights(&mut self) {
        if self.flights.len() <= 2 * self.in_flight + STALE_FLIGHTS_MAX {
            return;
        }
        let mut flights = std::mem::take(&mut self.flights);
        flights.retain(|&(at, id)| self.is_flying(at, id));
        self.flights = flights;
    }

    /// When the next refused line goes on.
    pub(crate) fn next_release(&self) -> Option<Duration> {
        self.held.first().map(|(until, _)| *until)
    }

    fn line_of(&self, id: u64) -> &Line {
        &self.lines[&self.entries[&id].conversation]
    }
}

impl Line {
    fn place(&self, id: u64) -> usize {
        let place = self.ids.binary_search(&id);
        place.expect("every entry stands in its line")
    }
}
