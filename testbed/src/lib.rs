//! What tests of the whole program stand on: a server as a child process, which can be killed and frozen, real backends
//! beside it, and a disk whose power can be cut under it.
//!
//! It is never shipped, and panics where a test could only fail. Called by the end-to-end tests, and by the simulation
//! when it drives a real server.

mod backends;
mod disk;
mod server;

pub use backends::{Backends, skip};
pub use disk::Disk;
pub use server::{Server, eventually, eventually_within};
