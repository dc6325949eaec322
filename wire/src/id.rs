//! Identifiers as they travel.

/// A user: never 0, below 2^63, so that it fits a signed 64-bit integer everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UserId(u64);

impl UserId {
    /// `None` for 0 and for values of 2^63 and above.
    pub const fn new(id: u64) -> Option<Self> {
        if id == 0 || id >= 1 << 63 { None } else { Some(Self(id)) }
    }

    pub const fn value(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for UserId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A device of one user: any value the client chose, unique among that user's installations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceId(pub u64);

/// A conversation seen from one side: 8 bytes on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Conversation {
    /// A direct conversation with this user; with my own id, notes to self.
    Direct(UserId),
    /// A group: a 63-bit id, sent with the top bit set.
    Group(u64),
}
