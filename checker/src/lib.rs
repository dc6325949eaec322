//! Judges a history of operations: what clients did and saw, from one test, simulation or load run.
//!
//! The rules: nothing acknowledged is lost, one sequence per client message id, nothing doubled or altered, sequences
//! and cursors without gaps and the same for all readers, the order of every sender kept, nothing shown to strangers.
//! Knows nothing of sockets or frames and imports nothing of ours. Called by tests, simulation and bench.
//!
//! # Examples
//! ```
//! use millpond_checker::{Checker, Conversation, Operation};
//!
//! let conversation = Conversation::direct(7, 9);
//! let (user, device, id, payload) = (7, 1, 100, 0xfeed);
//! let mut checker = Checker::new();
//! checker.note(Operation::Sent { user, device, id, conversation, payload, at: 0 });
//! checker.note(Operation::Acked { user, device, id, seq: 1, at: 5 });
//! // Somebody reads all history there is, and finds nothing.
//! checker.note(Operation::Head { conversation, seq: 0, at: 9 });
//! let report = checker.finish();
//! assert!(!report.is_clean());
//! println!("{report}");
//! ```
#![forbid(unsafe_code)]

mod checker;
mod operation;
mod report;

pub use checker::Checker;
pub use operation::{Conversation, Operation};
pub use report::{Counts, Report, Rule, Violation};
