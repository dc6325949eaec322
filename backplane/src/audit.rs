//! Judges a whole store by its rows alone: what an operator runs over a data folder, and a simulation over its store.
//!
//! Rows are read in the order of their keys, table by table, and nothing is changed. Memory is bounded by [`Limits`],
//! whatever the size of the store: a user with more conversations than fit is read several times. It needs the rows to
//! be at rest, as one atomic store has them between two batches; of a log it knows nothing. `docs/verify.md` lists the
//! codes of what it finds.

mod dedup;
mod history;
mod inbox;
mod judge;
mod partitions;
mod report;
mod states;

pub use report::{Code, Finding, Found, Report};

use crate::store::StoreError;
use judge::Judge;
use millpond_wire::Kind;

/// A kind of row, with its keys in an order of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    History,
    Dedup,
    Marks,
    Inbox,
    Users,
    Partitions,
}

impl Table {
    pub const ALL: [Self; 6] = [
        Self::History,
        Self::Dedup,
        Self::Marks,
        Self::Inbox,
        Self::Users,
        Self::Partitions,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Dedup => "dedup",
            Self::Marks => "marks",
            Self::Inbox => "inbox",
            Self::Users => "users",
            Self::Partitions => "partitions",
        }
    }
}

/// A row as it is kept: key and value, see `LOG.md`.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Rows by ascending key.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<KeyValue, StoreError>> + 'a>;

/// All rows of a store that nobody writes to meanwhile.
pub trait Rows {
    /// The rows of a table from the key `from` on, this included.
    fn scan(&self, table: Table, from: &[u8]) -> Scan<'_>;

    /// The value at exactly this key.
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The last row whose key begins with these bytes.
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<KeyValue>, StoreError>;
}

/// Computes the hash that dedup rows keep of a message.
pub type Digest = fn(Kind, &[u8]) -> u32;

/// What an audit may hold in memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Conversations of one user, or members of conversations, that are compared at a time; about 100 bytes each.
    pub conversations: usize,
    /// Places where something was amiss that are remembered to tell the cause from its consequences; about 64 bytes
    /// each. In a store with more of them one fault may be reported under two codes.
    pub places: usize,
    /// Findings of one code that are described; all are counted.
    pub findings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            conversations: 1 << 20,
            places: 1 << 16,
            findings: 20,
        }
    }
}

/// Reads every row and says what is wrong. `progress` hears now and then how many rows of which table were read.
pub fn audit(
    rows: &dyn Rows,
    limits: Limits,
    digest: Digest,
    progress: &mut dyn FnMut(Table, u64),
) -> Result<Report, StoreError> {
    let mut judge = Judge::new(rows, limits, progress);
    match all(&mut judge, digest) {
        Ok(()) => {}
        // The engine cannot give the row, and may not go on behind it: what was seen until here still counts.
        Err(StoreError::Corrupt { table, what }) => {
            judge.found(Code::UnreadableTable, || format!("{table}: {what}"));
        }
        Err(error @ StoreError::Failed(_)) => return Err(error),
    }
    Ok(judge.report())
}

fn all(judge: &mut Judge<'_>, digest: Digest) -> Result<(), StoreError> {
    let bounds = partitions::read(judge)?;
    let facts = history::check(judge, &bounds, digest)?;
    dedup::check(judge, &facts)?;
    inbox::check(judge, &bounds, &facts)?;
    states::check_marks(judge, &bounds)?;
    states::check_users(judge, &bounds)
}
