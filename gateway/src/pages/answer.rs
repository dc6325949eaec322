//! A batch of questions, answered with at most two batched reads: pointers, heads and history pages first, then the
//! messages that the pointers name.

use super::{Ask, Found, HistoryAsk, OpenAsk, Opened, Page, PageAsk, Reply, ReplyBody};
use millpond_backplane::row::{HistoryRow, InboxRow, UserRow};
use millpond_backplane::store::{Answer, Read, Store, StoreError};
use millpond_wire::{From, Reset, UserId, encode_record};

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
    let drafts: Vec<_> = asks
        .iter()
        .map(|placed| draft(store.epoch(), placed, &mut answers))
        .collect();
    let mut pointed = Vec::new();
    drafts
        .iter()
        .for_each(|draft| draft.second_reads(&mut pointed));
    let mut messages = store.read(&pointed)?.into_iter();
    for (placed, draft) in asks.iter().zip(drafts) {
        let body = draft.finish(placed.ask, &mut messages)?;
        let to = placed.ask.from();
        replies.push(Reply { to, body });
    }
    Ok(())
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
    Pointers {
        epoch: u64,
        rows: Vec<(u64, InboxRow)>,
        end: bool,
    },
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
        Ask::Head { from } => reads.push(Read::InboxHead(from.user)),
        Ask::Close(_) => {}
    }
}

fn history_read(history: &HistoryAsk) -> Read {
    let (conversation, rows) = (history.conversation, history.rows);
    match history.start {
        From::Before(before) => Read::HistoryBefore {
            conversation,
            before,
            rows,
        },
        From::After(after) => Read::HistoryAfter {
            conversation,
            after,
            rows,
        },
    }
}

fn draft(epoch: u64, placed: &Placed<'_>, answers: &mut impl Iterator<Item = Answer>) -> Draft {
    match placed.ask {
        Ask::Open(open) => {
            let head = head(&inbox(answers));
            let epoch = epoch + resets(user(answers));
            Draft::Done(opened(open, placed.older, epoch, head))
        }
        Ask::Page(page) => {
            let rows = inbox(answers);
            let head = head(&inbox(answers));
            let epoch = epoch + resets(user(answers));
            page_draft(page, epoch, head, rows)
        }
        Ask::History(ask) => Draft::Done(history_page(ask, &history(answers))),
        Ask::Head { .. } => Draft::Done(ReplyBody::Head(head(&inbox(answers)))),
        Ask::Close(_) => Draft::Done(ReplyBody::Closed),
    }
}

fn opened(open: &OpenAsk, older: bool, epoch: u64, head: u64) -> ReplyBody {
    ReplyBody::Opened(Opened {
        older,
        epoch,
        head,
        hail: open.hail,
    })
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
    Draft::Pointers { epoch, rows, end }
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
    fn second_reads(&self, reads: &mut Vec<Read>) {
        if let Self::Pointers { rows, .. } = self {
            reads.extend(runs(rows).map(|run| Read::HistoryAfter {
                conversation: run[0].1.conversation,
                after: run[0].1.seq - 1,
                rows: run.len(),
            }));
        }
    }

    fn finish(
        self,
        ask: &Ask,
        messages: &mut impl Iterator<Item = Answer>,
    ) -> Result<ReplyBody, StoreError> {
        let (epoch, rows, end) = match self {
            Self::Done(body) => return Ok(body),
            Self::Pointers { epoch, rows, end } => (epoch, rows, end),
        };
        let Ask::Page(page) = ask else {
            unreachable!("only pages read pointers")
        };
        let mut found = Vec::with_capacity(rows.len());
        for run in runs(&rows) {
            let there = history(messages);
            check_run(run, &there)?;
            found.extend(there);
        }
        let mut records = Vec::new();
        let count = encode_rows(page.from.user, page.bytes, &found, &mut records);
        let end = end && count == rows.len();
        let found = match rows.first() {
            None => Found::Nothing,
            Some((first, _)) => Found::Rows {
                first: *first,
                count,
                records,
            },
        };
        Ok(page_of(page, epoch, end, found))
    }
}

/// Pointers to consecutive messages of one conversation are one read.
fn runs(rows: &[(u64, InboxRow)]) -> impl Iterator<Item = &[(u64, InboxRow)]> {
    rows.chunk_by(|(_, a), (_, b)| a.conversation == b.conversation && a.seq + 1 == b.seq)
}

fn check_run(run: &[(u64, InboxRow)], found: &[HistoryRow]) -> Result<(), StoreError> {
    let same = |((_, pointer), row): (&(u64, InboxRow), &HistoryRow)| {
        pointer.seq == row.message.seq && pointer.conversation == row.message.conversation
    };
    if run.len() == found.len() && run.iter().zip(found).all(same) {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        table: "history",
        what: format!("a pointer without its message: {:?}", run[0]),
    })
}

fn history_page(ask: &HistoryAsk, rows: &[HistoryRow]) -> ReplyBody {
    let mut records = Vec::new();
    let count = encode_rows(ask.from.user, ask.bytes, rows, &mut records);
    ReplyBody::History {
        rid: ask.rid,
        end: count == rows.len() && rows.len() < ask.rows,
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

fn resets(row: Option<UserRow>) -> u64 {
    row.map_or(0, |row| u64::from(row.resets))
}

fn unexpected(answer: Option<&Answer>) -> ! {
    panic!("a store answers each read in kind and order, not {answer:?}")
}
