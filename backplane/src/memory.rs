//! Drivers that keep everything in memory, one for each seam.
//!
//! [`MemoryRoutes`] and [`MeshLink`] are what the embedded program runs on. [`MemoryStore`] and [`MemoryLog`] are for
//! tests and the simulation: same promises as the real drivers, with faults that a test orders one by one and a model
//! of a crash. They never fail by themselves. [`RecordingLink`] keeps what it is given.

mod clock;
mod link;
mod log;
mod routes;
mod store;

pub use clock::{Clock, ManualClock, MonotonicClock, WallClock};
pub use link::{LinkDrops, MeshLink, RecordingLink};
pub use log::{AppendFault, MemoryAppender, MemoryLog};
pub use routes::{MemoryRoutes, ROUTES_PER_USER_MAX};
pub use store::{Atomicity, CommitFault, Crash, MemoryStore};
