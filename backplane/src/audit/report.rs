//! What an audit found, under codes that never change their meaning.

use super::Table;
use std::collections::BTreeMap;
use std::fmt;

/// One invariant that rows alone can show to be broken. `docs/verify.md` is the table for people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    SequenceGap,
    HistoryPosition,
    ServerTime,
    StrangeAuthor,
    NoDedup,
    DedupDiffers,
    IdTwice,
    DedupAlone,
    CursorGap,
    InboxPosition,
    StrangeInbox,
    PointerToNothing,
    NotInInbox,
    TwiceInInbox,
    InboxOrder,
    MarksMembers,
    MarkBeyondHead,
    MarksVersion,
    ReadNotDelivered,
    TooManyDevices,
    DeviceBeyondHead,
    BeyondConsumed,
    BeyondTime,
    Undecodable,
    UnreadableTable,
}

impl Code {
    /// Every code with its number, and the invariant that is broken.
    pub const ALL: [(Self, &'static str, &'static str); 25] = [
        (
            Self::SequenceGap,
            "V001",
            "a conversation's sequences have no gap from 1",
        ),
        (
            Self::HistoryPosition,
            "V002",
            "positions grow along a conversation",
        ),
        (
            Self::ServerTime,
            "V003",
            "server times never fall along a conversation",
        ),
        (
            Self::StrangeAuthor,
            "V004",
            "a message's author is a member of its conversation",
        ),
        (Self::NoDedup, "V005", "every message has a dedup row"),
        (
            Self::DedupDiffers,
            "V006",
            "a dedup row repeats its message's sequence, time and hash",
        ),
        (
            Self::IdTwice,
            "V007",
            "a client message id has one sequence",
        ),
        (Self::DedupAlone, "V008", "every dedup row has its message"),
        (
            Self::CursorGap,
            "V010",
            "an inbox's cursors have no gap from 1",
        ),
        (Self::InboxPosition, "V011", "positions grow along an inbox"),
        (
            Self::StrangeInbox,
            "V012",
            "an inbox holds only conversations of its user",
        ),
        (
            Self::PointerToNothing,
            "V013",
            "an inbox points to messages that are there",
        ),
        (
            Self::NotInInbox,
            "V014",
            "every message is in every member's inbox",
        ),
        (Self::TwiceInInbox, "V015", "a message is in an inbox once"),
        (
            Self::InboxOrder,
            "V016",
            "an inbox has a conversation's messages in their order",
        ),
        (
            Self::MarksMembers,
            "V020",
            "marks are those of the conversation's members",
        ),
        (
            Self::MarkBeyondHead,
            "V021",
            "no mark is beyond the last sequence",
        ),
        (
            Self::MarksVersion,
            "V022",
            "the version of marks is at least 1",
        ),
        (
            Self::ReadNotDelivered,
            "V023",
            "what was read was delivered",
        ),
        (
            Self::TooManyDevices,
            "V030",
            "no user has more devices than are remembered",
        ),
        (
            Self::DeviceBeyondHead,
            "V031",
            "no device's cursor is beyond the inbox",
        ),
        (
            Self::BeyondConsumed,
            "V040",
            "no row is beyond what its partition has consumed",
        ),
        (
            Self::BeyondTime,
            "V041",
            "no message is later than its partition's time",
        ),
        (Self::Undecodable, "V050", "every row decodes"),
        (
            Self::UnreadableTable,
            "V051",
            "every table can be read to its end",
        ),
    ];

    pub fn number(self) -> &'static str {
        self.entry().1
    }

    /// The invariant.
    pub fn rule(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str) {
        let entry = Self::ALL.iter().find(|(code, ..)| *code == self);
        entry.expect("the list holds every code")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// One place that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub code: Code,
    pub place: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.place)
    }
}

/// All places that break one rule.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    pub count: u64,
    /// The first of them.
    pub places: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Rows read per table, the second and later times left out.
    pub rows: BTreeMap<Table, u64>,
    pub found: BTreeMap<Code, Found>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    pub fn findings(&self) -> u64 {
        self.found.values().map(|found| found.count).sum()
    }

    /// The described ones.
    pub fn described(&self) -> impl Iterator<Item = Finding> {
        self.found.iter().flat_map(|(code, found)| {
            found.places.iter().map(|place| Finding {
                code: *code,
                place: place.clone(),
            })
        })
    }
}
