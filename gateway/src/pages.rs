//! What may block, outside the shards: a bounded pool of threads that read rows and write routes. Shards ask by a queue
//! and get answers by another; a question is answered once, and one user's questions in order, because they go to one
//! reader. Full means refused: the session says 2001 or tries again. The only place of the gateway that holds the store
//! and the routes.

mod answer;
mod reader;

#[cfg(test)]
pub(crate) use reader::Reader;
pub(crate) use reader::{pool, spawn};

use crate::close::Reason;
use millpond_backplane::mesh::{Receiver, Sender};
use millpond_backplane::routes::Route;
use millpond_backplane::{Address, ConversationKey};
use millpond_wire::{Code, From};

/// A question to the readers.
#[derive(Debug)]
pub(crate) enum Ask {
    Open(OpenAsk),
    Page(PageAsk),
    History(HistoryAsk),
    /// Whether the inbox has grown.
    Head {
        from: Address,
    },
    /// Removes a route.
    Close(Route),
}

/// Makes the route visible, then reads where the inbox stands.
#[derive(Debug)]
pub(crate) struct OpenAsk {
    pub(crate) route: Route,
    pub(crate) hail: Hail,
}

/// What HELLO asked for and only the answer needs: it travels with the question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hail {
    pub(crate) window: u16,
    pub(crate) background: bool,
    pub(crate) token_ttl_s: u64,
    /// Epoch and cursor.
    pub(crate) resume: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct PageAsk {
    pub(crate) from: Address,
    /// Comes back with the answer.
    pub(crate) stamp: u8,
    pub(crate) after: u64,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    /// Of a SYNC: its epoch and cursor are checked.
    pub(crate) sync: Option<SyncAsk>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncAsk {
    pub(crate) rid: u64,
    pub(crate) epoch: u64,
}

#[derive(Debug)]
pub(crate) struct HistoryAsk {
    pub(crate) from: Address,
    pub(crate) rid: u64,
    pub(crate) conversation: ConversationKey,
    pub(crate) start: From,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// An answer, or news from a reader, for one connection.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) to: Address,
    pub(crate) body: ReplyBody,
}

#[derive(Debug)]
pub(crate) enum ReplyBody {
    Opened(Opened),
    OpenFailed,
    Page(Page),
    PageFailed {
        stamp: u8,
        rid: Option<u64>,
    },
    History {
        rid: u64,
        end: bool,
        records: Vec<u8>,
    },
    HistoryFailed {
        rid: u64,
        code: Code,
    },
    Head(u64),
    HeadFailed,
    Closed,
    /// Not an answer: a newer connection of the same device has taken this one's route.
    Displaced,
}

#[derive(Debug)]
pub(crate) struct Opened {
    /// A newer attempt of the same device holds the route.
    pub(crate) older: bool,
    pub(crate) epoch: u64,
    pub(crate) head: u64,
    pub(crate) hail: Hail,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) stamp: u8,
    pub(crate) rid: Option<u64>,
    pub(crate) epoch: u64,
    /// Nothing lay behind it when it was read.
    pub(crate) end: bool,
    pub(crate) found: Found,
}

#[derive(Debug)]
pub(crate) enum Found {
    /// Records with consecutive cursors, encoded for their reader.
    Rows {
        first: u64,
        count: usize,
        records: Vec<u8>,
    },
    Nothing,
    /// The cursor that SYNC named is unusable.
    Reset {
        reason: u8,
        head: u64,
    },
}

impl Ask {
    /// Whose question it is.
    pub(crate) fn from(&self) -> Address {
        match self {
            Self::Open(open) => open.route.address,
            Self::Page(page) => page.from,
            Self::History(history) => history.from,
            Self::Head { from } => *from,
            Self::Close(route) => route.address,
        }
    }

    /// The answer when there is none.
    pub(crate) fn failed(&self) -> Reply {
        let body = match self {
            Self::Open(_) => ReplyBody::OpenFailed,
            Self::Page(page) => ReplyBody::PageFailed {
                stamp: page.stamp,
                rid: page.sync.map(|sync| sync.rid),
            },
            Self::History(history) => ReplyBody::HistoryFailed {
                rid: history.rid,
                code: Code::UNAVAILABLE,
            },
            Self::Head { .. } => ReplyBody::HeadFailed,
            Self::Close(_) => ReplyBody::Closed,
        };
        Reply {
            to: self.from(),
            body,
        }
    }
}

/// A shard's end of the pool.
#[derive(Debug)]
pub(crate) struct Desk {
    readers: Vec<Line>,
    asks_max: usize,
}

/// The two queues between one shard and one reader.
#[derive(Debug)]
struct Line {
    asks: Sender<Ask>,
    replies: Receiver<Reply>,
    /// Questions without their answer.
    open: usize,
}

impl Desk {
    /// Gives the question back when its reader has too many of this shard.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<(), Ask> {
        let readers = self.readers.len() as u64;
        let index = usize::try_from(ask.from().user.value() % readers).expect("readers are few");
        let line = &mut self.readers[index];
        if line.open >= self.asks_max {
            return Err(ask);
        }
        line.asks.push(ask)?;
        line.open += 1;
        Ok(())
    }

    pub(crate) fn flush(&mut self) {
        self.readers.iter_mut().for_each(|line| line.asks.flush());
    }

    pub(crate) fn reply(&mut self) -> Option<Reply> {
        self.readers.iter_mut().find_map(|line| {
            let reply = line.replies.pop()?;
            if !matches!(reply.body, ReplyBody::Displaced) {
                line.open -= 1;
            }
            Some(reply)
        })
    }

    pub(crate) fn has_replies(&self) -> bool {
        self.readers.iter().any(|line| !line.replies.is_empty())
    }

    /// Questions without their answer.
    pub(crate) fn open(&self) -> usize {
        self.readers.iter().map(|line| line.open).sum()
    }
}

impl Reply {
    /// What a displaced connection is ended with.
    pub(crate) const DISPLACED: Reason = Reason::Replaced;
}
