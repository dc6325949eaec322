//! The load generator, its scenarios and reports.
