//! A batch of questions, answered with batched reads: pointers, heads and history pages first, then the messages that the
//! pointers name, a few at a time until a page is full. So what is held at once is bounded in bytes, not only in rows.

use super::{Ask, Found, HistoryAsk, Opened, Page, PageAsk, Reply, ReplyBody};
use millpond_backplane::row::{HistoryRow, InboxRow, UserRow};
use millpond_backplane::store::{Answer, PayloadBound, Read, Store, StoreError};
use millpond_wire::{DeviceId, From, PAYLOAD_BYTES_MAX, Reset, UserId, encode_record};

/// Replies to `asks`, in order. Routes were written before.
pub(super) fn answer(
    store: &dyn Store,
    asks: &[Placed<'_>],
    replies: &mut Vec<Reply>,
) -> Result<(), StoreError> {
    let mut reads = Vec::new();
    asks.iter()
        .for_each(|placed| first_reads(placed.ask, &mut reads));
    let mut answers = store.read(&reads)?.into_iter();
    let mut drafts: Vec<_> = asks
        .iter()
        .map(|placed| draft(store.epoch(), placed, &mut answers))
        .collect();
    read_pointed(store, &mut drafts)?;
    for (placed, draft) in asks.iter().zip(drafts) {
        let to = placed.ask.from();
        let body = draft.finish(placed.ask);
        replies.push(Reply { to, body });
    }
    Ok(())
}

/// Reads what the pointers name, in rounds, until every page is full or has all.
fn read_pointed(store: &dyn Store, drafts: &mut [Draft]) -> Result<(), StoreError> {
    loop {
        let mut reads = Vec::new();
        drafts.iter().for_each(|draft| draft.next_reads(&mut reads));
        if reads.is_empty() {
            return Ok(());
        }
        let mut answers = store.read(&reads)?.into_iter();
        let atomic = store.batches_are_atomic();
        for draft in &mut *drafts {
            draft.take(&mut answers, atomic)?;
        }
    }
}

/// Runs of pointers that one page reads in one round: each brings at most a page, and one message more.
const RUNS_PER_ROUND: usize = 8;

/// What one question may hold while it is answered with a page of at most so many bytes.
pub(crate) const fn page_reading_bytes(page_bytes: usize) -> usize {
    let read = page_bytes + PAYLOAD_BYTES_MAX;
    read + RUNS_PER_ROUND * read
}

/// A question, after what it does to the routes was done.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) ask: &'a Ask,
    /// Of an open: a newer attempt holds the route.
    pub(super) older: bool,
}

/// Answered already, or as far as pointers go.
enum Draft {
    Done(ReplyBody),
    Pointers(Pointers),
}

/// A page on its way from pointers to messages.
struct Pointers {
    epoch: u64,
    rows: Vec<(u64, InboxRow)>,
    /// Nothing lies behind the pointers.
    end: bool,
    /// A pointer was there before its message, and they end before it.
    behind: bool,
    /// Of the first pointers, as many as were read.
    found: Vec<HistoryRow>,
    bytes: usize,
    bound: PayloadBound,
}

fn first_reads(ask: &Ask, reads: &mut Vec<Read>) {
    match ask {
        Ask::Open(open) => {
            let user = open.route.address.user;
            reads.extend([Read::InboxHead(user), Read::User(user)]);
        }
        Ask::Page(page) => {
            let user = page.from.user;
            let (after, rows) = (page.after, page.rows);
            reads.extend([
                Read::InboxAfter { user, after, rows },
                Read::InboxHead(user),
                Read::User(user),
            ]);
        }
        Ask::History(history) => reads.push(history_read(history)),
        Ask::Head(route) => {
            let user = route.address.user;
            reads.extend([Read::InboxHead(user), Read::User(user)]);
        }
        Ask::Close(_) => {}
    }
}

fn history_read(history: &HistoryAsk) -> Read {
    let (conversation, rows, bytes) = (history.conversation, history.rows, history.bytes);
    match history.start {
        From::Before(before) => Read::HistoryBefore {
            conversation,
            before,
            rows,
            bytes,
        },
        From::After(after) => Read::HistoryAfter {
            conversation,
            after,
            rows,
            bytes,
        },
    }
}

fn draft(epoch: u64, placed: &Placed<'_>, answers: &mut impl Iterator<Item = Answer>) -> Draft {
    match placed.ask {
        Ask::Open(open) => {
            let head = head(&inbox(answers));
            let row = user(answers);
            let kept = kept(row.as_ref(), open.route.address.device);
            Draft::Done(ReplyBody::Opened(Opened {
                older: placed.older,
                epoch: epoch + resets(row),
                head,
                kept,
                hail: open.hail,
            }))
        }
        Ask::Page(page) => {
            let rows = inbox(answers);
            let head = head(&inbox(answers));
            let epoch = epoch + resets(user(answers));
            page_draft(page, epoch, head, rows)
        }
        Ask::History(ask) => Draft::Done(history_page(ask, &history(answers))),
        Ask::Head(_) => {
            let head = head(&inbox(answers));
            let epoch = epoch + resets(user(answers));
            Draft::Done(ReplyBody::Head { epoch, head })
        }
        Ask::Close(_) => Draft::Done(ReplyBody::Closed),
    }
}

fn page_draft(page: &PageAsk, epoch: u64, head: u64, rows: Vec<(u64, InboxRow)>) -> Draft {
    let reason = match page.sync {
        Some(sync) if sync.epoch != epoch => Some(Reset::EPOCH),
        Some(_) if page.after > head => Some(Reset::AHEAD),
        Some(_) | None => None,
    };
    if let Some(reason) = reason {
        return Draft::Done(page_of(page, epoch, true, Found::Reset { reason, head }));
    }
    let end = rows.len() < page.rows;
    Draft::Pointers(Pointers {
        epoch,
        rows,
        end,
        behind: false,
        found: Vec::new(),
        bytes: page.bytes,
        bound: PayloadBound::new(page.bytes),
    })
}

fn page_of(page: &PageAsk, epoch: u64, end: bool, found: Found) -> ReplyBody {
    ReplyBody::Page(Page {
        stamp: page.stamp,
        rid: page.sync.map(|sync| sync.rid),
        epoch,
        end,
        found,
    })
}

impl Draft {
    fn next_reads(&self, reads: &mut Vec<Read>) {
        if let Self::Pointers(pointers) = self {
            reads.extend(pointers.next_runs().map(|run| Read::HistoryAfter {
                conversation: run[0].1.conversation,
                after: run[0].1.seq - 1,
                rows: run.len(),
                bytes: pointers.bytes,
            }));
        }
    }

    /// Takes the answers to [`Draft::next_reads`].
    fn take(
        &mut self,
        answers: &mut impl Iterator<Item = Answer>,
        atomic: bool,
    ) -> Result<(), StoreError> {
        match self {
            Self::Done(_) => Ok(()),
            Self::Pointers(pointers) => pointers.take(answers, atomic),
        }
    }

    fn finish(self, ask: &Ask) -> ReplyBody {
        match (self, ask) {
            (Self::Done(body), _) => body,
            (Self::Pointers(pointers), Ask::Page(page)) => pointers.finish(page),
            (Self::Pointers(_), _) => unreachable!("only pages read pointers"),
        }
    }
}

impl Pointers {
    fn next_runs(&self) -> impl Iterator<Item = &[(u64, InboxRow)]> {
        let left = if self.bound.is_reached() {
            &[]
        } else {
            &self.rows[self.found.len()..]
        };
        runs(left).take(RUNS_PER_ROUND)
    }

    /// Where batches are not atomic, a pointer may be there before its message: the page ends before it.
    fn take(
        &mut self,
        answers: &mut impl Iterator<Item = Answer>,
        atomic: bool,
    ) -> Result<(), StoreError> {
        let mut found = Vec::new();
        let (mut whole, mut behind) = (true, false);
        for run in self.next_runs() {
            let mut there = history(answers);
            if let Err(error) = check_run(run, &there, self.bytes) {
                if atomic {
                    return Err(error);
                }
                let named = run
                    .iter()
                    .zip(&there)
                    .take_while(|(it, row)| names(it, row));
                let named = named.count();
                there.truncate(named);
                behind |= whole;
            }
            if whole {
                whole = there.len() == run.len();
                found.extend(there);
            }
        }
        found.iter().for_each(|row| self.bound.take(row));
        self.found.append(&mut found);
        if behind {
            self.rows.truncate(self.found.len());
            self.behind = true;
        }
        Ok(())
    }

    fn finish(self, page: &PageAsk) -> ReplyBody {
        if self.behind && self.rows.is_empty() {
            // Asked again a little later.
            return ReplyBody::PageFailed {
                stamp: page.stamp,
                rid: page.sync.map(|sync| sync.rid),
            };
        }
        let mut records = Vec::new();
        let count = encode_rows(page.from.user, page.bytes, &self.found, &mut records);
        let end = self.end && !self.behind && count == self.rows.len();
        let found = match self.rows.first() {
            None => Found::Nothing,
            Some((first, _)) => Found::Rows {
                first: *first,
                count,
                records,
            },
        };
        page_of(page, self.epoch, end, found)
    }
}

/// Pointers to consecutive messages of one conversation are one read.
fn runs(rows: &[(u64, InboxRow)]) -> impl Iterator<Item = &[(u64, InboxRow)]> {
    rows.chunk_by(|(_, a), (_, b)| a.conversation == b.conversation && a.seq + 1 == b.seq)
}

/// A run is there as far as its bound of bytes lets it be, and nothing else is.
fn check_run(
    run: &[(u64, InboxRow)],
    found: &[HistoryRow],
    bytes: usize,
) -> Result<(), StoreError> {
    let same = |(pointer, row): (&(u64, InboxRow), &HistoryRow)| names(pointer, row);
    let is_whole = run.len() == found.len() || (!found.is_empty() && reach(found, bytes));
    if is_whole && run.iter().zip(found).all(same) {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        table: "history",
        what: format!("a pointer without its message: {:?}", run[0]),
    })
}

fn names((_, pointer): &(u64, InboxRow), row: &HistoryRow) -> bool {
    pointer.seq == row.message.seq && pointer.conversation == row.message.conversation
}

/// Whether the payloads of `rows` are what ended a read of `bytes`.
fn reach(rows: &[HistoryRow], bytes: usize) -> bool {
    let mut bound = PayloadBound::new(bytes);
    rows.iter().for_each(|row| bound.take(row));
    bound.is_reached()
}

fn history_page(ask: &HistoryAsk, rows: &[HistoryRow]) -> ReplyBody {
    let mut records = Vec::new();
    let count = encode_rows(ask.from.user, ask.bytes, rows, &mut records);
    ReplyBody::History {
        rid: ask.rid,
        end: count == rows.len() && rows.len() < ask.rows && !reach(rows, ask.bytes),
        records,
    }
}

/// Encodes rows for `viewer` up to about `bytes`, at least one; says how many.
fn encode_rows(viewer: UserId, bytes: usize, rows: &[HistoryRow], out: &mut Vec<u8>) -> usize {
    let mut count = 0;
    for row in rows {
        let before = out.len();
        encode_record(&row.message.record_for(viewer), out);
        if count > 0 && out.len() > bytes {
            out.truncate(before);
            break;
        }
        count += 1;
    }
    count
}

fn inbox(answers: &mut impl Iterator<Item = Answer>) -> Vec<(u64, InboxRow)> {
    match answers.next() {
        Some(Answer::Inbox(rows)) => rows,
        other => unexpected(other.as_ref()),
    }
}

fn head(rows: &[(u64, InboxRow)]) -> u64 {
    rows.first().map_or(0, |(cursor, _)| *cursor)
}

fn history(answers: &mut impl Iterator<Item = Answer>) -> Vec<HistoryRow> {
    match answers.next() {
        Some(Answer::History(rows)) => rows,
        other => unexpected(other.as_ref()),
    }
}

fn user(answers: &mut impl Iterator<Item = Answer>) -> Option<UserRow> {
    match answers.next() {
        Some(Answer::User(row)) => row,
        other => unexpected(other.as_ref()),
    }
}

/// The row may lag, and then names less.
fn kept(row: Option<&UserRow>, device: DeviceId) -> u64 {
    let devices = row.map(|row| row.devices.as_slice()).unwrap_or_default();
    let known = devices.iter().find(|known| known.device == device);
    known.map_or(0, |known| known.cursor)
}

fn resets(row: Option<UserRow>) -> u64 {
    row.map_or(0, |row| u64::from(row.resets))
}

fn unexpected(answer: Option<&Answer>) -> ! {
    panic!("a store answers each read in kind and order, not {answer:?}")
}

#[cfg(test)]
mod tests;
