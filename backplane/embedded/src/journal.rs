//! A look at the engine's journals before it opens them.
//!
//! The engine takes a journal's first bad byte for its end and cuts the file off there, whatever follows: damage in the
//! middle would silently take acknowledged rows away. And it refuses to open at all when a power cut tore the last
//! batch in such a way that its end marker is there but its middle is not. So the journals are walked here first.
//! A torn tail is cut off: it was never acknowledged. Damage anywhere else is an error.
//!
//! ```text
//! batch   1 u8 | rows u32 | number u64 | rows × row | 3 u8 | xxh3 of the rows u64 | "FJL" 3      little-endian
//! row     2 u8 | kind u8 | compression u8 | table u64 | key bytes u16 | value bytes u32 | stored bytes u32 | key | stored
//! ```

use crate::OpenError;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Cuts off what a crash tore; `synced` says whether the last run had at most one batch under way at any moment.
pub(crate) fn check(rows: &Path, synced: bool) -> Result<(), OpenError> {
    let mut journals = list(rows).map_err(|error| at(rows, error))?;
    let Some((_, last)) = journals.pop() else {
        return Ok(());
    };
    for (_, sealed) in journals {
        // It was synced whole before the next one was begun, whatever the mode.
        if let Some(damage) = damage_of(&sealed)? {
            return Err(damage.refused(sealed));
        }
    }
    match damage_of(&last)? {
        Some(damage) if synced && damage.batch_follows => Err(damage.refused(last)),
        Some(damage) => cut_off(&last, &damage).map_err(|error| at(&last, error)),
        None => Ok(()),
    }
}

/// By number, ascending.
fn list(rows: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for file in fs::read_dir(rows)? {
        let path = file?.path();
        let journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(number)) = (journal, number) {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

struct Damage {
    offset: usize,
    /// A whole batch stands somewhere behind it.
    batch_follows: bool,
}

impl Damage {
    fn refused(self, path: PathBuf) -> OpenError {
        OpenError::Journal {
            path,
            offset: self.offset,
        }
    }
}

/// One journal is in memory at a time; its size is bounded by when the engine begins the next one.
fn damage_of(journal: &Path) -> Result<Option<Damage>, OpenError> {
    let bytes = fs::read(journal).map_err(|error| at(journal, error))?;
    Ok(find_damage(&bytes))
}

fn find_damage(bytes: &[u8]) -> Option<Damage> {
    let (mut offset, mut last) = (0, None);
    while let Some(batch) = Batch::at(&bytes[offset..]) {
        offset += batch.bytes;
        last = Some(batch.number);
    }
    let rest = &bytes[offset..];
    // The engine lengthens a new journal with zeros.
    if rest.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(Damage {
        offset,
        batch_follows: batch_follows(rest, last),
    })
}

/// Whether a whole batch stands somewhere in what follows the batch numbered `last`.
///
/// What a client has sent may look like a batch, so two things are asked of one: that it does not lie inside a row of
/// the damaged batch that can still be told apart, and that its number is one the engine can have come to there.
fn batch_follows(rest: &[u8], last: Option<u64>) -> bool {
    let follows = |start: usize| {
        let batch = Batch::at(&rest[start..]);
        batch.is_some_and(|batch| batch.rows > 0 && is_plausible(batch.number, last, start))
    };
    (readable(rest)..rest.len()).any(|start| rest[start] == BATCH && follows(start))
}

/// The bytes of a damaged batch up to where its rows cannot be told apart any more; at least one.
fn readable(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let Some((_, rows)) = header(&mut rest) else {
        return 1;
    };
    for _ in 0..rows {
        let mut after = rest;
        let is_ours = Row::take(&mut after).is_some_and(|row| row.is_ours());
        if !is_ours || !may_follow_a_row(after) {
            break;
        }
        rest = after;
    }
    bytes.len() - rest.len()
}

/// Another row, the end of the batch, or what never came; anything else says that the length before it is damaged.
fn may_follow_a_row(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&ROW | &END)) || bytes.iter().all(|byte| *byte == 0)
}

/// Whether a batch so many bytes behind the one numbered `last` can have this number.
fn is_plausible(number: u64, last: Option<u64>, bytes_between: usize) -> bool {
    let between = (bytes_between / BATCH_BYTES_MIN) as u64;
    last.is_none_or(|last| number > last && number - last <= between + OWN_NUMBERS_MAX)
}

fn cut_off(journal: &Path, damage: &Damage) -> io::Result<()> {
    tracing::warn!(
        journal = %journal.display(),
        offset = damage.offset,
        "cutting off a batch that a crash tore; it was never acknowledged"
    );
    let file = OpenOptions::new().write(true).open(journal)?;
    file.set_len(damage.offset as u64)?;
    file.sync_all()
}

fn at(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        error,
    }
}

const BATCH: u8 = 1;
const ROW: u8 = 2;
const END: u8 = 3;
const MAGIC: [u8; 4] = *b"FJL\x03";

/// More than any key of ours has.
const KEY_BYTES_MAX: u16 = 64;
/// A batch of one row without key and value.
const BATCH_BYTES_MIN: usize = 13 + 21 + 13;
/// Numbers that the engine may use between two batches for changes of its tables; in truth it is a handful.
const OWN_NUMBERS_MAX: u64 = 1024;

/// A whole batch with the right checksum.
struct Batch {
    number: u64,
    rows: u32,
    bytes: usize,
}

impl Batch {
    fn at(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let (number, rows) = header(&mut rest)?;
        let all_rows = rest;
        for _ in 0..rows {
            Row::take(&mut rest)?;
        }
        let all_rows = &all_rows[..all_rows.len() - rest.len()];
        tag(&mut rest, END)?;
        let checksum = u64::from_le_bytes(array(&mut rest)?);
        let whole = array(&mut rest)? == MAGIC && checksum == xxh3_64(all_rows);
        whole.then_some(Self {
            number,
            rows,
            bytes: bytes.len() - rest.len(),
        })
    }
}

/// The number of a batch and how many rows it says it has.
fn header(rest: &mut &[u8]) -> Option<(u64, u32)> {
    tag(rest, BATCH)?;
    let rows = u32::from_le_bytes(array(rest)?);
    let number = u64::from_le_bytes(array(rest)?);
    Some((number, rows))
}

/// The lengths of a row.
struct Row {
    key_bytes: u16,
    value_bytes: u32,
    stored_bytes: u32,
}

impl Row {
    fn take(rest: &mut &[u8]) -> Option<Self> {
        tag(rest, ROW)?;
        let _kind_compression_table: [u8; 10] = array(rest)?;
        let row = Self {
            key_bytes: u16::from_le_bytes(array(rest)?),
            value_bytes: u32::from_le_bytes(array(rest)?),
            stored_bytes: u32::from_le_bytes(array(rest)?),
        };
        let stored_bytes = usize::try_from(row.stored_bytes).ok()?;
        let bytes = usize::from(row.key_bytes).checked_add(stored_bytes)?;
        *rest = rest.get(bytes..)?;
        Some(row)
    }

    /// Our keys are short and our journals not compressed, which tells a damaged length from one that was written.
    fn is_ours(&self) -> bool {
        self.key_bytes <= KEY_BYTES_MAX && self.value_bytes == self.stored_bytes
    }
}

fn tag(rest: &mut &[u8], wanted: u8) -> Option<()> {
    (array(rest)? == [wanted]).then_some(())
}

fn array<const BYTES: usize>(rest: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}

#[cfg(test)]
mod tests;
