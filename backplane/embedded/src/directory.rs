//! The files around the engine's: who has the directory, and what format it holds.
//!
//! ```text
//! LOCK          held by the process that has the store open
//! store/STORE   "millpond store\nformat 1\ncreated_ms 1700000000000\n"
//! store/MODE    durability of the last run: "sync" or "weak"
//! store/rows/   the engine's
//! store.new/    a store that is being made; one rename makes it the store
//! ```

use crate::OpenError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The only format there is so far.
pub(crate) const FORMAT: u32 = 1;
const TITLE: &str = "millpond store";
const SYNC: &str = "sync\n";
const WEAK: &str = "weak\n";

/// A data directory that is ours alone for as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is not there, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        let at = |error| io_error(path, error);
        fs::create_dir_all(path).map_err(at)?;
        let lock = File::create(path.join("LOCK")).map_err(at)?;
        Self::locked(path, lock)
    }

    /// Locks a directory that a server has had, and makes nothing.
    pub(crate) fn lock_existing(path: &Path) -> Result<Self, OpenError> {
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path.join("LOCK"));
        match lock {
            Ok(lock) => Self::locked(path, lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::NoStore {
                path: path.to_owned(),
            }),
            Err(error) => Err(io_error(path, error)),
        }
    }

    fn locked(path: &Path, lock: File) -> Result<Self, OpenError> {
        let at = |error| io_error(path, error);
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(at(error)),
        }
    }

    /// Where the engine's files are, if there is a store of the right format.
    pub(crate) fn rows(&self) -> Result<Option<PathBuf>, OpenError> {
        let store = self.path.join("store");
        if !store
            .try_exists()
            .map_err(|error| io_error(&store, error))?
        {
            return Ok(None);
        }
        let text = match fs::read_to_string(store.join("STORE")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::NotAStore { path: store });
            }
            Err(error) => return Err(io_error(&store, error)),
        };
        match format_of(&text) {
            Some(format) if format == FORMAT.to_string() => Ok(Some(store.join("rows"))),
            found => Err(OpenError::Format {
                path: store,
                found: found.unwrap_or("unreadable").to_owned(),
                wanted: FORMAT,
            }),
        }
    }

    /// Whether the last run synced every commit. Without a word on it, the stricter answer.
    pub(crate) fn last_run_synced(&self) -> Result<bool, OpenError> {
        let path = self.path.join("store/MODE");
        match fs::read_to_string(&path) {
            Ok(mode) => Ok(mode != WEAK),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(io_error(&path, error)),
        }
    }

    /// Says it for the next run, on the disk before this one writes a row.
    pub(crate) fn this_run_syncs(&self, synced: bool) -> Result<(), OpenError> {
        let store = self.path.join("store");
        let new = store.join("MODE.new");
        let mode = if synced { SYNC } else { WEAK };
        File::create(&new)
            .and_then(|mut file| {
                file.write_all(mode.as_bytes())
                    .and_then(|()| file.sync_all())
            })
            .and_then(|()| fs::rename(&new, store.join("MODE")))
            .and_then(|()| sync_directory(&store))
            .map_err(|error| io_error(&new, error))
    }

    /// Where to make a new one. What an earlier attempt left there is taken away.
    pub(crate) fn start_making(&self) -> Result<PathBuf, OpenError> {
        let new = self.path.join("store.new");
        let at = |error| io_error(&new, error);
        if new.try_exists().map_err(at)? {
            fs::remove_dir_all(&new).map_err(at)?;
        }
        fs::create_dir(&new).map_err(at)?;
        Ok(new.join("rows"))
    }

    /// Makes the new store the store, so that a crash leaves either none or a whole one.
    pub(crate) fn finish_making(&self) -> Result<(), OpenError> {
        let (new, store) = (self.path.join("store.new"), self.path.join("store"));
        write_format(&new)
            .and_then(|()| sync_directory(&new))
            .and_then(|()| fs::rename(&new, &store))
            .and_then(|()| sync_directory(&self.path))
            .map_err(|error| io_error(&new, error))
    }
}

fn write_format(store: &Path) -> io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let created_ms = since.unwrap_or_default().as_millis();
    let mut file = File::create_new(store.join("STORE"))?;
    write!(file, "{TITLE}\nformat {FORMAT}\ncreated_ms {created_ms}\n")?;
    file.sync_all()
}

fn format_of(text: &str) -> Option<&str> {
    let mut lines = text.lines();
    (lines.next()? == TITLE).then_some(())?;
    lines.next()?.strip_prefix("format ")
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn io_error(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        error,
    }
}
