//! Holds the sockets: shards, sessions, outboxes.
