//! A gateway with a router in miniature behind it: over real sockets, and over the ring's double with faults.

pub(crate) mod mill;
mod model;
mod sockets;
