//! Behaviour of the whole program over real sockets, real disks and real crashes. One binary, one room per behaviour.
//! Every server is a child process of the built `millpond`, on ports the kernel chose, stopped by its own id.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for one frame among whatever else a server may send"
)]

#[cfg(feature = "cluster")]
mod cluster;
mod devices;
mod exchange;
mod first_light;
mod hostile;
mod judge;
mod load;
mod peer;
mod resend;
mod server;
mod simulated;
mod stopping;
mod terminals;
mod verify;
