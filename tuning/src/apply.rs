//! Writes what `check` found, whole or not at all, and takes it back.
//!
//! The old values are on disk, synced, before the first write, so that a power cut in the middle leaves something to revert.
//! A second apply keeps the first's old values. One at a time: the state's lock says who is at work. Called by
//! `millpond tune apply` and `revert`, which ask first; here nobody is asked.

mod file;
mod state;

use crate::check::{Change, Finding, memory_choice, sysctl_name};
use crate::root::Root;
use state::{Held, State};
use std::fmt::Write as _;
use std::io;

/// Where the old values are kept. Not in the server's own folder: who runs the server must not say what root writes.
pub const STATE_FILE: &str = "/var/lib/millpond-tuning/state.json";
/// What `--persist` writes: sysctls of every boot.
pub const SYSCTL_FILE: &str = "/etc/sysctl.d/90-millpond.conf";
/// How a file of ours begins; another's is never overwritten.
const SYSCTL_HEADER: &str =
    "# Written by `millpond tune apply --persist`; `millpond tune revert` removes it.\n";

/// Why nothing was changed; after [`ApplyError::Half`] alone something was, and it says what.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("T001 another apply or revert is at work (it holds {0})")]
    Busy(String),
    #[error("T002 {file}: {why}; nothing was changed")]
    State { file: String, why: String },
    #[error("T003 {file} is not of this command's making; nothing was changed")]
    Foreign { file: String },
    #[error("T004 writing {to:?} to {file} failed: {why}; what was written before is put back")]
    Refused {
        file: String,
        to: String,
        why: String,
    },
    #[error(
        "T005 writing {file} failed: {why}; and could not be put back: {left}. `millpond tune revert` tries again"
    )]
    Half {
        file: String,
        why: String,
        left: String,
    },
    #[error("T006 nothing to revert: {0} is not there")]
    Nothing(String),
}

/// What a revert did with each file.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Reverted {
    pub restored: Vec<Change>,
    /// Somebody has changed them since; they were left alone.
    pub left: Vec<Change>,
}

/// What `check` asks to be written.
#[must_use]
pub fn changes(findings: &[Finding]) -> Vec<Change> {
    let changes = findings.iter().filter_map(|finding| finding.change.clone());
    changes.collect()
}

/// Writes all changes, or none. `state_file` and all files are as on the machine, below `root`.
pub fn apply(
    root: &Root,
    state_file: &str,
    changes: &[Change],
    persist: bool,
) -> Result<(), ApplyError> {
    let held = Held::take(root, state_file)?;
    let before = held.read()?;
    if persist {
        own(root)?;
    }
    let mut after = before.clone().unwrap_or_default();
    after.add(changes, persist);
    held.write(&after)?;
    let mut done: Vec<&Change> = Vec::new();
    let written = changes.iter().try_for_each(|change| {
        done.push(change);
        write(root, &change.file, &change.to)
            .map_err(|error| (change.file.clone(), change.to.clone(), error))
    });
    let written = written.and_then(|()| match persist {
        true => file::replace(&root.path(SYSCTL_FILE), sysctl_text(&after).as_bytes())
            .map_err(|error| (SYSCTL_FILE.to_owned(), "the sysctls".to_owned(), error)),
        false => Ok(()),
    });
    let Err((failed, to, error)) = written else {
        return Ok(());
    };
    let left = put_back(root, &done);
    let why = error.to_string();
    if left.is_empty() {
        held.put(before.as_ref())?;
        return Err(ApplyError::Refused {
            file: failed,
            to,
            why,
        });
    }
    Err(ApplyError::Half {
        file: failed,
        why,
        left: left.join("; "),
    })
}

/// What was applied and not reverted: each file, its old value and the new one.
pub fn applied(root: &Root, state_file: &str) -> Result<Vec<Change>, ApplyError> {
    let state = Held::take(root, state_file)?.read()?;
    state
        .map(|state| state.changes)
        .ok_or_else(|| ApplyError::Nothing(state_file.to_owned()))
}

/// Puts the old values back where the new ones still stand, and removes the file of sysctls and the state.
pub fn revert(root: &Root, state_file: &str) -> Result<Reverted, ApplyError> {
    let held = Held::take(root, state_file)?;
    let Some(state) = held.read()? else {
        return Err(ApplyError::Nothing(state_file.to_owned()));
    };
    if state.persisted {
        remove_sysctl_file(root)?;
    }
    let mut reverted = Reverted::default();
    let mut failed = Vec::new();
    for change in state.changes.iter().rev() {
        match now(root, &change.file) {
            Ok(value) if value == normal(&change.to) => {
                match write(root, &change.file, &change.from) {
                    Ok(()) => reverted.restored.push(change.clone()),
                    Err(error) => failed.push((change.file.clone(), error.to_string())),
                }
            }
            Ok(value) if value == normal(&change.from) => reverted.restored.push(change.clone()),
            Ok(_) => reverted.left.push(change.clone()),
            Err(why) => failed.push((change.file.clone(), why)),
        }
    }
    if let Some((file, why)) = failed.first() {
        let left: Vec<_> = failed
            .iter()
            .map(|(file, why)| format!("{file}: {why}"))
            .collect();
        return Err(ApplyError::Half {
            file: file.clone(),
            why: why.clone(),
            left: left.join("; "),
        });
    }
    held.put(None)?;
    Ok(reverted)
}

/// A sysctl of the kernel takes what it likes and may make something else of it, so the value is read again.
fn write(root: &Root, file: &str, value: &str) -> io::Result<()> {
    file::overwrite(&root.path(file), value.as_bytes())?;
    match now(root, file) {
        Ok(found) if found == normal(value) => Ok(()),
        Ok(found) => Err(io::Error::other(format!("the kernel made {found:?} of it"))),
        Err(why) => Err(io::Error::other(why)),
    }
}

fn now(root: &Root, file: &str) -> Result<String, String> {
    root.text(file)
        .map(|text| normal(&text))
        .map_err(|unknown| unknown.why.to_string())
}

/// Two texts of one value agree: white space, the choice in brackets, leading zeros of a mask of cores.
fn normal(text: &str) -> String {
    if let Some(choice) = memory_choice(text) {
        return choice;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    match words.trim_start_matches(['0', ',']) {
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    }
}

/// The last first; returns what could not be put back.
fn put_back(root: &Root, done: &[&Change]) -> Vec<String> {
    let failed = done.iter().rev().filter_map(|change| {
        // What was refused, or is not there, has not changed.
        match root.text(&change.file) {
            Ok(text) if normal(&text) == normal(&change.from) => return None,
            Err(unknown) if unknown.is_missing() => return None,
            Ok(_) | Err(_) => {}
        }
        let error = write(root, &change.file, &change.from).err()?;
        Some(format!("{} to {:?}: {error}", change.file, change.from))
    });
    failed.collect()
}

fn own(root: &Root) -> Result<(), ApplyError> {
    match root.text(SYSCTL_FILE) {
        Ok(text) if text.starts_with(SYSCTL_HEADER.trim_end()) => Ok(()),
        Err(unknown) if unknown.is_missing() => Ok(()),
        Ok(_) => Err(ApplyError::Foreign {
            file: SYSCTL_FILE.to_owned(),
        }),
        Err(unknown) => Err(ApplyError::State {
            file: unknown.file,
            why: unknown.why.to_string(),
        }),
    }
}

fn remove_sysctl_file(root: &Root) -> Result<(), ApplyError> {
    own(root)?;
    file::remove(&root.path(SYSCTL_FILE)).map_err(|error| ApplyError::State {
        file: SYSCTL_FILE.to_owned(),
        why: error.to_string(),
    })
}

/// Only sysctls: huge pages and queues have no such file, `millpond tune check` finds them again after a boot.
fn sysctl_text(state: &State) -> String {
    let mut text = SYSCTL_HEADER.to_owned();
    for change in state.changes.iter().filter(|change| is_sysctl(change)) {
        let _never_fails = writeln!(text, "{} = {}", sysctl_name(&change.file), change.to);
    }
    text
}

/// Whether `--persist` can keep it over a boot.
#[must_use]
pub fn is_sysctl(change: &Change) -> bool {
    change.file.starts_with("/proc/sys/")
}

#[cfg(test)]
mod tests;
