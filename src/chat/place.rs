//! Where a chat keeps its device id, its cursor and what is not acknowledged: one small file for each pair of people, so
//! that one person can hold two conversations in two terminals.

use super::Arguments;
use anyhow::{Context as _, Result, bail};
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    /// Held as long as the chat runs: two that share a device would push each other out.
    _lock: File,
}

pub(super) fn of(arguments: &Arguments) -> Result<Place> {
    let pair = format!("{}-{}", arguments.me, arguments.to);
    let file = if arguments.token.is_none() {
        arguments.secret.data.join("chat").join(pair)
    } else {
        let server = arguments
            .server
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_");
        let device = arguments.device;
        let device = device.map_or_else(String::new, |device| format!("-{device}"));
        state_home()?
            .join("millpond/chat")
            .join(format!("{server}-{pair}{device}"))
    };
    let lock =
        lock(&file).with_context(|| format!("the state of this chat in {}", file.display()))?;
    Ok(Place { file, _lock: lock })
}

/// What the base directory specification of freedesktop.org says.
fn state_home() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    home.context(
        "wanted a home folder to keep this chat's state in, found none; set HOME or XDG_STATE_HOME",
    )
}

fn lock(file: &Path) -> Result<File> {
    let folder = file.parent().expect("it was joined from folder and name");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // The name holds dots of an address, so nothing of it may be taken for an extension and replaced.
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let lock = File::create(name)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("this chat is already open in another terminal"),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
