//! Delivery. Live delivery is only a hint; inbox and cursor are the truth: exactly the next record is sent as it comes,
//! and whoever is behind is fed pages, one question at a time, until it has caught up. Nothing is queued for a client but
//! its position.

use super::{Action, Around, BUSY_RETRY_MS, Live, SharedRecord, refuse};
use crate::config::TAKEN_BYTES_MAX;
use crate::pages::{Ask, Found, Page, PageAsk, SyncAsk};
use crate::planted;
use millpond_wire::{Code, Deliver, Frame, Mode, Records, Reset, Scope, Sync, SyncDone};

/// How an open session gets its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Feed {
    /// All that the inbox is known to hold was sent. `head_asked`: whether it has grown unnoticed is being asked.
    Live { head_asked: bool },
    /// Behind; a page is being read. `announce`: the client waits for SYNC_DONE with rid 0. `dirty`: a hint came
    /// meanwhile, so the end that the page finds may be old.
    Reading { announce: bool, dirty: bool },
    /// Behind; the window or the outbox is full, or a reading failed.
    Waiting { announce: bool },
    /// A SYNC is being read.
    Syncing { dirty: bool },
    /// Nothing is delivered until the client sends SYNC.
    Suspended,
}

/// Records of one DELIVER: what every client takes, less flags and cursor.
const RECORDS_BYTES_MAX: usize = TAKEN_BYTES_MAX - 1 - 10;

impl Live {
    /// Begins behind the cursor that HELLO named.
    pub(super) fn resume(
        &mut self,
        head: u64,
        dirty: bool,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        if self.sent == head && !dirty {
            self.caught_up(true, act);
        } else {
            self.behind(true, around, act);
        }
    }

    /// Asks for the next page, or waits for room.
    fn behind(&mut self, announce: bool, around: &Around<'_>, act: &mut impl FnMut(Action<'_>)) {
        if !self.window_open() || around.room_bytes == 0 {
            self.feed = Feed::Waiting { announce };
            act(Action::Retime);
            return;
        }
        self.feed = Feed::Reading {
            announce,
            dirty: false,
        };
        let window_left = usize::from(self.window - self.unacked);
        let rows = window_left.min(around.limits.page_rows_max);
        self.ask(rows, around.limits.page_bytes_max, None, around, act);
    }

    fn ask(
        &mut self,
        rows: usize,
        bytes: usize,
        sync: Option<SyncAsk>,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        self.stamp = self.stamp.wrapping_add(1);
        act(Action::Ask(Ask::Page(PageAsk {
            from: around.address(self.user, self.device),
            stamp: self.stamp,
            after: self.sent,
            rows,
            bytes,
            sync,
        })));
    }

    /// Room in the window, room in the outbox, or time for another try.
    pub(super) fn read_on(&mut self, around: &Around<'_>, act: &mut impl FnMut(Action<'_>)) {
        if let Feed::Waiting { announce } = self.feed
            && self.window_open()
            && around.room_bytes > 0
        {
            self.behind(announce, around, act);
        }
    }

    fn caught_up(&mut self, announce: bool, act: &mut impl FnMut(Action<'_>)) {
        self.feed = Feed::LIVE;
        if announce {
            self.sync_done(0, false, act);
        }
    }

    fn sync_done(&self, rid: u64, more: bool, act: &mut impl FnMut(Action<'_>)) {
        act(Action::Frame(Frame::SyncDone(SyncDone {
            more,
            rid,
            cursor: self.sent,
        })));
    }

    pub(super) fn hints(
        &mut self,
        first: u64,
        records: &[SharedRecord],
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        match &mut self.feed {
            Feed::Live { .. } => self.deliver(first, records, around, act),
            Feed::Reading { dirty, .. } | Feed::Syncing { dirty } => {
                *dirty = !planted::is(planted::Bug::CatchUpRace);
            }
            Feed::Waiting { .. } | Feed::Suspended => {}
        }
    }

    /// Sends those hints that come next and fit; a gap or what does not fit makes the session behind.
    fn deliver(
        &mut self,
        first: u64,
        records: &[SharedRecord],
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        let next = self.sent + 1;
        let known = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        let Some(mut news) = records.get(known..).filter(|news| !news.is_empty()) else {
            return;
        };
        let mut around = *around;
        while first <= next && !news.is_empty() {
            let fits = self.fitting(news, around.room_bytes);
            if fits == 0 {
                break;
            }
            let (records, rest) = news.split_at(fits);
            act(Action::Deliver {
                first: self.sent + 1,
                records,
            });
            self.count_sent(fits);
            around.room_bytes = around.room_bytes.saturating_sub(bytes(records));
            news = rest;
        }
        if !news.is_empty() {
            self.behind(false, &around, act);
        }
    }

    /// How many of the next records one frame takes. The first always fits where there is any room.
    fn fitting(&self, news: &[SharedRecord], room_bytes: usize) -> usize {
        let window_left = if room_bytes == 0 {
            0
        } else {
            self.window - self.unacked
        };
        let bytes_max = room_bytes.min(RECORDS_BYTES_MAX);
        let mut bytes = 0;
        let fits = |(index, record): &(usize, &SharedRecord)| {
            bytes += record.len();
            *index == 0 || bytes <= bytes_max
        };
        let some = news.iter().take(usize::from(window_left)).enumerate();
        some.take_while(fits).count()
    }

    fn count_sent(&mut self, records: usize) {
        let records = u16::try_from(records).expect("a page has at most `page_rows_max` rows");
        self.sent += u64::from(records);
        self.unacked = self.unacked.saturating_add(records);
    }

    /// The inbox' epoch and head, after a PING with a cursor. Whoever missed the kick to a new epoch learns of it here.
    pub(super) fn head(
        &mut self,
        epoch: u64,
        head: u64,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        self.head_answered();
        if self.feed != Feed::LIVE {
            return;
        }
        if !self.told.is_epoch(epoch) {
            self.reset(epoch, Reset::EPOCH, head, act);
        } else if head > self.sent {
            self.behind(false, around, act);
        }
    }

    pub(super) fn head_answered(&mut self) {
        if let Feed::Live { head_asked } = &mut self.feed {
            *head_asked = false;
        }
    }

    pub(super) fn sync(
        &mut self,
        sync: &Sync,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        let scope = Scope::Request(sync.rid);
        if sync.rid == 0 {
            return refuse(scope, Code::BAD_REQUEST, 0, act);
        }
        if matches!(self.feed, Feed::Syncing { .. }) {
            return refuse(scope, Code::BUSY, 0, act);
        }
        if around.room_bytes == 0 {
            return refuse(scope, Code::BUSY, BUSY_RETRY_MS, act);
        }
        if sync.cursor < self.sent {
            self.told = self.told.rewound();
        }
        self.sent = sync.cursor;
        self.unacked = 0;
        self.feed = Feed::Syncing { dirty: false };
        let rows = usize::from(self.window).min(around.limits.page_rows_max);
        let bytes_max = around.limits.page_bytes_max;
        let bytes = match usize::try_from(sync.max_bytes) {
            Ok(0) | Err(_) => bytes_max,
            Ok(asked) => asked.min(bytes_max),
        };
        let asked = SyncAsk {
            rid: sync.rid,
            epoch: sync.epoch,
        };
        self.ask(rows, bytes, Some(asked), around, act);
    }

    pub(super) fn page(
        &mut self,
        page: &Page,
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        if page.stamp != self.stamp {
            return;
        }
        let feed = self.feed;
        let (end, dirty) = match (&page.found, feed) {
            (_, Feed::Live { .. } | Feed::Waiting { .. } | Feed::Suspended) => return,
            (Found::Reset { reason, head }, _) => {
                if *reason == Reset::AHEAD {
                    self.ahead(page.epoch, self.sent, act);
                }
                return self.reset(page.epoch, *reason, *head, act);
            }
            (Found::Rows { .. } | Found::Nothing, Feed::Reading { .. })
                if !self.told.is_epoch(page.epoch) =>
            {
                return self.reset(page.epoch, Reset::EPOCH, 0, act);
            }
            (Found::Rows { first, .. }, _) if *first != self.sent + 1 => {
                return self.reset(page.epoch, Reset::EXPIRED, *first - 1, act);
            }
            (Found::Rows { count, records, .. }, _) => {
                act(Action::Frame(Frame::Deliver(Deliver {
                    mode: Mode::Sync,
                    first_cursor: self.sent + 1,
                    records: Records::from_encoded(records),
                })));
                self.count_sent(*count);
                (page.end, feed.is_dirty())
            }
            (Found::Nothing, _) => (true, feed.is_dirty()),
        };
        match (feed, page.rid) {
            (Feed::Reading { announce, .. }, _) if end && !dirty => self.caught_up(announce, act),
            (Feed::Reading { announce, .. }, _) => self.behind(announce, around, act),
            (_, rid) => self.sync_read(rid, page.epoch, (end, dirty), around, act),
        }
    }

    /// The end of an answer to SYNC; the cursor it named turned out to be good, and so an acknowledgement.
    fn sync_read(
        &mut self,
        rid: Option<u64>,
        epoch: u64,
        (end, dirty): (bool, bool),
        around: &Around<'_>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        if self.acked() > 0 {
            act(Action::Acked(self.acked()));
        }
        self.told = self.told.in_epoch(epoch);
        let rid = rid.expect("the stamp says that this page answers the SYNC");
        self.sync_done(rid, !end, act);
        if !end {
            self.feed = Feed::Suspended;
        } else if dirty {
            self.behind(false, around, act);
        } else {
            self.feed = Feed::LIVE;
        }
    }

    /// The client's cursor cannot be used: it goes on from `head`, with SYNC.
    pub(super) fn reset(
        &mut self,
        epoch: u64,
        reason: u8,
        head: u64,
        act: &mut impl FnMut(Action<'_>),
    ) {
        // Of another epoch nothing can be compared, so nothing the client keeps may stand.
        let head = if reason == Reset::EPOCH { 0 } else { head };
        self.sent = head;
        self.unacked = 0;
        self.told = self.told.in_epoch(epoch).rewound();
        self.feed = Feed::Suspended;
        act(Action::Frame(Frame::Reset(Reset {
            epoch,
            reason,
            head,
        })));
    }

    pub(super) fn page_failed(
        &mut self,
        stamp: u8,
        rid: Option<u64>,
        act: &mut impl FnMut(Action<'_>),
    ) {
        if stamp != self.stamp {
            return;
        }
        match self.feed {
            Feed::Reading { announce, .. } => {
                self.feed = Feed::Waiting { announce };
                act(Action::Retime);
            }
            Feed::Syncing { .. } => {
                self.feed = Feed::Suspended;
                let rid = rid.expect("the stamp says that this page answers the SYNC");
                refuse(Scope::Request(rid), Code::UNAVAILABLE, 1_000, act);
            }
            Feed::Live { .. } | Feed::Waiting { .. } | Feed::Suspended => {}
        }
    }
}

fn bytes(records: &[SharedRecord]) -> usize {
    records.iter().map(|record| record.len()).sum()
}

impl Feed {
    pub(super) const LIVE: Self = Self::Live { head_asked: false };

    fn is_dirty(self) -> bool {
        match self {
            Self::Reading { dirty, .. } | Self::Syncing { dirty } => dirty,
            Self::Live { .. } | Self::Waiting { .. } | Self::Suspended => false,
        }
    }
}
