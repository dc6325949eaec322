//! What was changed, on disk: the old value of each file, and whether sysctls were made to last.

use super::{ApplyError, file};
use crate::check::Change;
use crate::root::Root;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;

const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    pub(super) persisted: bool,
    /// In the order of writing; each file once.
    pub(super) changes: Vec<Change>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            persisted: false,
            changes: Vec::new(),
        }
    }
}

impl State {
    /// A file that was changed before keeps its first old value.
    pub(super) fn add(&mut self, changes: &[Change], persist: bool) {
        self.persisted |= persist;
        for change in changes {
            match self.changes.iter_mut().find(|it| it.file == change.file) {
                Some(known) => known.to.clone_from(&change.to),
                None => self.changes.push(change.clone()),
            }
        }
    }
}

/// What a revert may write at all.
fn is_parameter(file: &str) -> bool {
    let inside = file.starts_with("/proc/sys/") || file.starts_with("/sys/");
    inside && !file.split('/').any(|part| part == "..")
}

/// The state, while nobody else may touch it.
pub(super) struct Held<'a> {
    root: &'a Root,
    file: &'a str,
    /// Unlocks when dropped.
    _lock: File,
}

impl<'a> Held<'a> {
    pub(super) fn take(root: &'a Root, file: &'a str) -> Result<Self, ApplyError> {
        let lock = format!("{file}.lock");
        let failed = |why: String| ApplyError::State {
            file: lock.clone(),
            why,
        };
        let path = root.path(&lock);
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        let opened = File::options().create(true).append(true).open(&path);
        let opened = opened.map_err(|error| failed(error.to_string()))?;
        match opened.try_lock() {
            Ok(()) => Ok(Self {
                root,
                file,
                _lock: opened,
            }),
            Err(TryLockError::WouldBlock) => Err(ApplyError::Busy(lock)),
            Err(TryLockError::Error(error)) => Err(failed(error.to_string())),
        }
    }

    fn failed(&self, why: &dyn ToString) -> ApplyError {
        ApplyError::State {
            file: self.file.to_owned(),
            why: why.to_string(),
        }
    }

    /// `None` where nothing was applied. What cannot be understood is never overwritten.
    pub(super) fn read(&self) -> Result<Option<State>, ApplyError> {
        let text = match self.root.text(self.file) {
            Ok(text) => text,
            Err(unknown) if unknown.is_missing() => return Ok(None),
            Err(unknown) => return Err(self.failed(&unknown.why)),
        };
        let state: State = serde_json::from_str(&text).map_err(|error| self.failed(&error))?;
        if state.version != VERSION {
            let why = format!("version {}, this program knows {VERSION}", state.version);
            return Err(self.failed(&why));
        }
        if let Some(change) = state
            .changes
            .iter()
            .find(|change| !is_parameter(&change.file))
        {
            let why = format!("{:?} is no parameter of the kernel", change.file);
            return Err(self.failed(&why));
        }
        Ok(Some(state))
    }

    pub(super) fn write(&self, state: &State) -> Result<(), ApplyError> {
        let text = serde_json::to_string_pretty(state).map_err(|error| self.failed(&error))?;
        let path = self.root.path(self.file);
        file::replace(&path, text.as_bytes()).map_err(|error| self.failed(&error))
    }

    /// As it was before.
    pub(super) fn put(&self, before: Option<&State>) -> Result<(), ApplyError> {
        match before {
            Some(state) => self.write(state),
            None => {
                let path = self.root.path(self.file);
                file::remove(&path).map_err(|error| self.failed(&error))
            }
        }
    }
}
