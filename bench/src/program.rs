//! What only the program knows: where its executable is, and how tokens of its servers are signed. Handed in by
//! `millpond bench`, so that this crate needs neither configuration nor signatures.

use millpond_wire::{DeviceId, UserId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Program {
    /// Servers are started from it.
    pub executable: PathBuf,
    /// Version, and commit where known; for the report.
    pub version: String,
    /// Makes the signer of the server that keeps its data in this folder.
    pub tokens: fn(&Path) -> anyhow::Result<Tokens>,
    pub stop: Stop,
}

/// Signs a token for one device of one user.
pub type Tokens = Box<dyn Fn(UserId, DeviceId) -> anyhow::Result<String>>;

/// Somebody wants the run to end early; its report is still written. Set by a signal, read once per turn.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Program")
            .field("executable", &self.executable)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
