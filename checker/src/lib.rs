//! Judges a history of operations.
