//! Why a store does not open.

use millpond_backplane::store::StoreError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data directory {} is in use by another process; stop that one, or give this one a directory of its own",
        path.display()
    )]
    Locked { path: PathBuf },
    #[error(
        "{} holds files but no store of ours: wanted an empty directory or one with a file STORE in it",
        path.display()
    )]
    NotAStore { path: PathBuf },
    #[error("there is no store in {}: wanted the data directory of a server", path.display())]
    NoStore { path: PathBuf },
    #[error(
        "the store in {} has format {found:?}, this program reads format {wanted}; open it with the program that wrote it",
        path.display()
    )]
    Format {
        path: PathBuf,
        found: String,
        wanted: u32,
    },
    #[error("{}: {error}", path.display())]
    Io {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error(
        "the journal {} is damaged at byte {offset}, in the middle of what was synced; restore a backup, or give up \
         what follows by cutting the file off there",
        path.display()
    )]
    Journal { path: PathBuf, offset: usize },
    #[error("the engine cannot open {}: {error}", path.display())]
    Engine { path: PathBuf, error: fjall::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a caller of an open store sees of an engine's error.
pub(crate) fn store_error(table: &'static str, error: &fjall::Error) -> StoreError {
    let corrupt = matches!(
        error,
        fjall::Error::Storage(
            fjall::LsmError::ChecksumMismatch { .. }
                | fjall::LsmError::InvalidTag(_)
                | fjall::LsmError::InvalidTrailer
                | fjall::LsmError::InvalidHeader(_)
                | fjall::LsmError::Decompress(_)
        ) | fjall::Error::Decompress(_)
            | fjall::Error::InvalidTrailer
            | fjall::Error::InvalidTag(_)
    );
    if corrupt {
        StoreError::Corrupt {
            table,
            what: error.to_string(),
        }
    } else {
        StoreError::Failed(format!("{table}: {error}"))
    }
}
