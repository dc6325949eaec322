//! What may block, outside the shards: a bounded pool of threads that read rows and write routes. Shards ask by a queue
//! and get answers by another; a question is answered once, and one user's questions in order, because they go to one
//! reader. Full means refused: the session says 2001 or tries again. The only place of the gateway that holds the store
//! and the routes.

mod answer;
mod counts;
mod desk;
mod reader;

pub(crate) use answer::page_reading_bytes;
pub(crate) use counts::RouteCounts;
pub(crate) use desk::{Desk, HEADS_WAITING_MAX};
pub(crate) use reader::{BATCH_MAX, Reader, pool, spawn};

use crate::close::Reason;
use millpond_backplane::routes::Route;
use millpond_backplane::{Address, ConversationKey};
use millpond_wire::{Code, From};

/// A question to the readers.
#[derive(Debug)]
pub(crate) enum Ask {
    Open(OpenAsk),
    Page(PageAsk),
    History(HistoryAsk),
    /// Whether the inbox has grown, or has taken a new epoch; and whether this route still stands, or has to be written again.
    Head(Route),
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
    /// It was not even asked.
    OpenRefused,
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
    Head {
        epoch: u64,
        head: u64,
    },
    HeadFailed,
    Closed,
    /// Not an answer: a newer connection of the same device has taken this one's route.
    Displaced,
    /// Not an answer, and for the whole shard: all routes were lost.
    RoutesLost,
}

#[derive(Debug)]
pub(crate) struct Opened {
    /// A newer attempt of the same device holds the route.
    pub(crate) older: bool,
    pub(crate) epoch: u64,
    pub(crate) head: u64,
    /// The cursor up to which the device is known to keep everything.
    pub(crate) kept: u64,
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
            Self::Head(route) | Self::Close(route) => route.address,
        }
    }

    /// The route that it makes visible.
    fn opened(&self) -> Option<Route> {
        match self {
            Self::Open(open) => Some(open.route),
            Self::Page(_) | Self::History(_) | Self::Head(_) | Self::Close(_) => None,
        }
    }

    /// The route that its connection takes for its own.
    fn asserted(&self) -> Option<Route> {
        match self {
            Self::Head(route) => Some(*route),
            Self::Open(_) | Self::Page(_) | Self::History(_) | Self::Close(_) => None,
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
            Self::Head(_) => ReplyBody::HeadFailed,
            Self::Close(_) => ReplyBody::Closed,
        };
        Reply {
            to: self.from(),
            body,
        }
    }

    /// The answer when no reader ever saw it.
    pub(crate) fn refused(&self) -> Reply {
        match self {
            Self::Open(_) => Reply {
                to: self.from(),
                body: ReplyBody::OpenRefused,
            },
            Self::Page(_) | Self::History(_) | Self::Head(_) | Self::Close(_) => self.failed(),
        }
    }
}

impl Reply {
    /// What a displaced connection is ended with.
    pub(crate) const DISPLACED: Reason = Reason::Replaced;
}
