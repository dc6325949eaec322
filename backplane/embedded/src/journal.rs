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
    let follows = |start: usize| {
        let batch = Batch::at(&rest[start..]);
        batch.is_some_and(|batch| batch.rows > 0 && Some(batch.number) > last)
    };
    Some(Damage {
        offset,
        batch_follows: (1..rest.len()).any(|start| rest[start] == BATCH && follows(start)),
    })
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

/// A whole batch with the right checksum.
struct Batch {
    number: u64,
    rows: u32,
    bytes: usize,
}

impl Batch {
    fn at(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        tag(&mut rest, BATCH)?;
        let rows = u32::from_le_bytes(array(&mut rest)?);
        let number = u64::from_le_bytes(array(&mut rest)?);
        let all_rows = rest;
        for _ in 0..rows {
            skip_row(&mut rest)?;
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

fn skip_row(rest: &mut &[u8]) -> Option<()> {
    tag(rest, ROW)?;
    let _kind_compression_table: [u8; 10] = array(rest)?;
    let key_bytes = u16::from_le_bytes(array(rest)?);
    let _value_bytes: [u8; 4] = array(rest)?;
    let stored_bytes = u32::from_le_bytes(array(rest)?);
    let bytes = usize::from(key_bytes).checked_add(usize::try_from(stored_bytes).ok()?)?;
    *rest = rest.get(bytes..)?;
    Some(())
}

fn tag(rest: &mut &[u8], wanted: u8) -> Option<()> {
    (array(rest)? == [wanted]).then_some(())
}

fn array<const BYTES: usize>(rest: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}
