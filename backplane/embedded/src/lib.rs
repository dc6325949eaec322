//! The embedded store: rows in one fjall database, in one directory, of one process.
//!
//! One [`Batch`](millpond_backplane::store::Batch) is one atomic batch of the engine and one sync. It holds what the
//! seam promises by these means: a lock file keeps a second process out, so positions only grow; reads of one call see
//! one snapshot; a failed commit ends the store until it is opened again, because what is on the disk is then unknown.
//! Back-pressure is ours, before a commit, because the engine's own sleeps a tenth of a second at a time and never
//! wakes when its workers have died. Called by the router's thread and by the gateways' pool of page readers.
#![forbid(unsafe_code)]

mod directory;
mod error;
mod failure;
mod identity;
mod journal;
mod metrics;
mod offline;
mod options;
mod read;
mod room;
mod store;
mod syncer;
mod tables;
mod write;

pub use error::OpenError;
pub use metrics::StoreMetrics;
pub use offline::OfflineRows;
pub use options::Options;
pub use store::FjallStore;
