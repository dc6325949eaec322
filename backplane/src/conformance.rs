//! What every driver must do, whatever it is made of.
//!
//! Each suite makes fresh drivers with the function it is given and panics where one breaks a promise of its seam. A
//! driver crate calls them from its tests: `store_suite(promises, || MyStore::new())`.

mod log;
mod routes;
mod samples;
mod store;

pub use log::log_suite;
pub use routes::routes_suite;
pub use samples::{history_row, inbox_row, marks_row, message_write, user};
pub use store::{StorePromises, store_suite};
