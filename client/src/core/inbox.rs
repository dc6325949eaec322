//! Where this device stands in its user's inbox, and how it catches up. A gap is never silent: it starts a SYNC.
//!
//! Three cursors: `received` was handed to the application's queue, `taken` the application has finished with, `acked`
//! the server was told on this connection. An acknowledgement never runs ahead of the application.

use crate::Position;
use std::time::Duration;

/// Before the same SYNC is sent again that brought nothing.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// So often; then the server's word counts that the inbox ends there.
const RETRIES_MAX: u32 = 3;

#[derive(Debug)]
pub(crate) struct Inbox {
    epoch: Option<u64>,
    received: u64,
    taken: u64,
    acked: u64,
    /// Since when something is taken and not acknowledged.
    ack_wanted: Option<Duration>,
    /// Grows with every reset, so that what the application finishes late is not taken for the new inbox.
    generation: u32,
    /// Whether the application has seen the last reset.
    reset_seen: bool,
    /// The highest cursor that the server has spoken of.
    known: u64,
    catch_up: CatchUp,
    retries: u32,
}

/// What the client waits for before it is up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// Nothing: up to date, or no connection.
    Done,
    /// SYNC is to be sent at this time.
    Wanted { at: Duration },
    /// The end of what a resumed HELLO brings.
    Resumed { from: u64, deadline: Duration },
    /// The end of the SYNC with this rid, which began behind `from`.
    Asked {
        rid: u64,
        from: u64,
        deadline: Duration,
    },
    /// RESET, which WELCOME has announced.
    Reset { deadline: Duration },
}

/// What a DELIVER means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// Skip this many records, the rest is new.
    New { skip: u64 },
    /// Nothing of it can be used.
    Gap,
}

/// Something the application has got: how far it has come when it is through with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    generation: u32,
    cursor: u64,
}

impl Inbox {
    pub(crate) fn new(position: Option<Position>) -> Self {
        let cursor = position.map_or(0, |position| position.cursor);
        Self {
            epoch: position.map(|position| position.epoch),
            received: cursor,
            taken: cursor,
            acked: 0,
            ack_wanted: None,
            generation: 0,
            reset_seen: true,
            known: cursor,
            catch_up: CatchUp::Done,
            retries: 0,
        }
    }

    /// Where a resumed HELLO and a SYNC go on.
    pub(crate) fn received(&self) -> Option<Position> {
        let cursor = self.received;
        self.epoch.map(|epoch| Position { epoch, cursor })
    }

    /// What has to be kept: the application is through with it.
    pub(crate) fn taken(&self) -> Option<Position> {
        let cursor = self.taken;
        let epoch = self.epoch.filter(|_| self.reset_seen);
        epoch.map(|epoch| Position { epoch, cursor })
    }

    pub(crate) fn catch_up(&self) -> CatchUp {
        self.catch_up
    }

    pub(crate) fn set_catch_up(&mut self, catch_up: CatchUp) {
        self.catch_up = catch_up;
    }

    pub(crate) fn mark(&self, cursor: u64) -> Taken {
        let generation = self.generation;
        Taken { generation, cursor }
    }

    /// The first epoch this device hears of.
    pub(crate) fn begin(&mut self, epoch: u64) {
        assert!(self.epoch.is_none(), "an epoch changes only by a reset");
        self.epoch = Some(epoch);
    }

    pub(crate) fn reset(&mut self, epoch: u64, head: u64) -> Taken {
        self.epoch = Some(epoch);
        self.received = head;
        self.known = head;
        self.acked = 0;
        self.ack_wanted = None;
        self.generation = self.generation.wrapping_add(1);
        self.reset_seen = false;
        self.retries = 0;
        self.mark(head)
    }

    /// A DELIVER of `count` records came.
    pub(crate) fn delivered(&mut self, first: u64, count: u64) -> Delivered {
        let last = first.saturating_add(count).saturating_sub(1);
        self.known = self.known.max(last);
        match first.checked_sub(self.received) {
            Some(1) => Delivered::New { skip: 0 },
            None | Some(0) => {
                let known = self.received - first;
                let skip = known.saturating_add(1);
                Delivered::New { skip }
            }
            Some(_) => Delivered::Gap,
        }
    }

    /// The next record goes to the application.
    pub(crate) fn receive(&mut self) -> (Position, Taken) {
        self.received = self.received.checked_add(1).expect("cursors were checked");
        let epoch = self.epoch.expect("nothing is delivered before an epoch");
        let cursor = self.received;
        (Position { epoch, cursor }, self.mark(cursor))
    }

    /// A SYNC, or the catch-up of a resumed HELLO that began behind `from`, has ended at `cursor`. What is wanted then.
    pub(crate) fn done(&mut self, more: bool, cursor: u64, from: u64, now: Duration) -> CatchUp {
        self.known = self.known.max(cursor);
        let progress = self.received > from;
        let complete = !more && self.received >= self.known;
        if complete || (!progress && !more && self.retries >= RETRIES_MAX) {
            self.known = self.received;
            self.retries = 0;
            return CatchUp::Done;
        }
        self.retries = if progress {
            0
        } else {
            self.retries.saturating_add(1)
        };
        let wait = if progress { Duration::ZERO } else { RETRY_WAIT };
        CatchUp::Wanted { at: now + wait }
    }

    /// The application is through with everything up to `taken`.
    pub(crate) fn take(&mut self, taken: Taken, now: Duration) {
        if taken.generation != self.generation {
            return;
        }
        assert!(taken.cursor <= self.received, "only what came is taken");
        if !self.reset_seen {
            self.reset_seen = true;
            self.taken = taken.cursor;
        }
        self.taken = self.taken.max(taken.cursor);
        if self.taken > self.acked {
            self.ack_wanted.get_or_insert(now);
        }
    }

    /// When an acknowledgement is due, if one may be sent at all.
    pub(crate) fn ack_due(&self, records: u64, after: Duration) -> Option<Duration> {
        let since = self.ack_wanted.filter(|_| self.may_ack())?;
        if self.taken - self.acked >= records {
            return Some(since);
        }
        Some(since + after)
    }

    /// The cursor to acknowledge; from now on it counts as acknowledged. `None` while the server would not know it.
    pub(crate) fn acknowledge(&mut self) -> Option<u64> {
        if !self.may_ack() {
            return None;
        }
        self.ack_wanted = None;
        self.acked = self.taken;
        Some(self.taken)
    }

    /// A server knows a cursor only once HELLO or SYNC has named one.
    fn may_ack(&self) -> bool {
        let named = !matches!(
            self.catch_up,
            CatchUp::Wanted { .. } | CatchUp::Reset { .. }
        );
        named && self.reset_seen
    }

    /// Whether the application is behind; then the server may rightly wait.
    pub(crate) fn is_application_behind(&self) -> bool {
        !self.reset_seen || self.taken < self.received
    }

    pub(crate) fn connection_lost(&mut self, now: Duration) {
        self.catch_up = CatchUp::Done;
        self.retries = 0;
        // Acknowledgements may have been lost with the connection.
        self.acked = 0;
        self.ack_wanted = (self.taken > 0).then_some(now);
    }
}
