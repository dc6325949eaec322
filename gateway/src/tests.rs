//! A gateway with a router in miniature behind it: over real sockets, and over the ring's double with faults.

#![expect(
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm,
    reason = "drivers of the seams are shared; a test names what it expects and lumps the rest"
)]

pub(crate) mod mill;
mod model;
mod sockets;
