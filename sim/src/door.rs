//! Where clients connect: to gateways over the ring's double, or to a real server over loopback. Clients know nothing
//! beyond this, so both are driven by the same ones.

use std::fmt::Debug;

/// The places at which a client can knock, numbered from 0.
pub(crate) trait Doors: Debug {
    fn count(&self) -> usize;

    /// A connection; `None` when nobody listens there.
    fn connect(&mut self, place: usize) -> Option<Box<dyn Socket>>;
}

/// A client's end of a connection. Nothing here blocks; dropping it closes it.
pub(crate) trait Socket: Debug {
    /// At most `most` bytes of what has come; nothing when there is nothing yet.
    fn read_at_most(&mut self, most: usize) -> Result<Vec<u8>, Ended>;

    /// Writes as much as fits; says how much that was.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Ended>;

    /// Goes without a word.
    fn reset(self: Box<Self>);

    /// False when the other end has died without being able to say so.
    fn is_answered(&self) -> bool;
}

/// Nothing more comes, and nothing more is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended;
