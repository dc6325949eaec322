//! The Rust SDK: a sans-IO core and a thin tokio transport.
