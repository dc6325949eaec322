//! Identifiers as they travel.

/// A user: never 0, below 2^63, so that it fits a signed 64-bit integer everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UserId(u64);

impl UserId {
    /// `None` for 0 and for values of 2^63 and above.
    pub const fn new(id: u64) -> Option<Self> {
        if id == 0 || id >= 1 << 63 {
            None
        } else {
            Some(Self(id))
        }
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

/// Set in front of a group id.
const GROUP_BIT: u64 = 1 << 63;

impl Conversation {
    /// The u64 that travels: a user id, or a group id with the top bit set.
    ///
    /// # Panics
    /// When a group id has more than 63 bits.
    pub const fn to_wire(self) -> u64 {
        match self {
            Self::Direct(user) => user.value(),
            Self::Group(group) => {
                assert!(group < GROUP_BIT, "a group id has 63 bits");
                group | GROUP_BIT
            }
        }
    }

    /// `None` for 0: nobody has that id.
    pub const fn from_wire(bits: u64) -> Option<Self> {
        if bits & GROUP_BIT != 0 {
            return Some(Self::Group(bits & !GROUP_BIT));
        }
        match UserId::new(bits) {
            Some(user) => Some(Self::Direct(user)),
            None => None,
        }
    }
}
