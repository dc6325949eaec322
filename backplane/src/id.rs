//! Identifiers inside the house. Those of the wire are `wire::{UserId, DeviceId}`.

use millpond_wire::{Conversation, DeviceId, UserId};

/// A conversation as a key: the same for all its members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConversationKey {
    /// Two users, the lower id first; equal ids are notes to self.
    Direct(UserId, UserId),
    /// A group, below 2^63, not 0.
    Group(u64),
}

impl ConversationKey {
    /// The conversation of two users; notes to self when both are the same.
    pub fn direct(a: UserId, b: UserId) -> Self {
        Self::Direct(a.min(b), a.max(b))
    }

    /// What `user` means when it says `conversation`.
    pub fn named_by(user: UserId, conversation: Conversation) -> Self {
        match conversation {
            Conversation::Direct(peer) => Self::direct(user, peer),
            Conversation::Group(id) => Self::Group(id),
        }
    }

    /// What `user`, a member, calls this conversation.
    pub fn seen_by(self, user: UserId) -> Conversation {
        match self {
            Self::Direct(low, high) => Conversation::Direct(if user == low { high } else { low }),
            Self::Group(id) => Conversation::Group(id),
        }
    }

    /// 16 bytes that sort like the key: the two ids big-endian; a group has a zero first half.
    pub fn to_bytes(self) -> [u8; 16] {
        let (first, second) = match self {
            Self::Direct(low, high) => (low.value(), high.value()),
            Self::Group(id) => (0, id),
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[8..].copy_from_slice(&second.to_be_bytes());
        bytes
    }

    /// `None` for bytes that [`Self::to_bytes`] never makes.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let (first, second) = bytes.split_at(8);
        let first = u64::from_be_bytes(first.try_into().ok()?);
        let second = u64::from_be_bytes(second.try_into().ok()?);
        if first == 0 {
            return UserId::new(second).map(|id| Self::Group(id.value()));
        }
        let (low, high) = (UserId::new(first)?, UserId::new(second)?);
        (low <= high).then_some(Self::Direct(low, high))
    }
}

/// One of 256 partitions, fixed for ever, as a field of records; a driver maps them onto few real ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VirtualPartition(pub u8);

impl VirtualPartition {
    pub fn of_conversation(key: ConversationKey) -> Self {
        match key {
            ConversationKey::Direct(low, high) => Self::of_words(low.value(), high.value()),
            ConversationKey::Group(id) => Self::of_words(0, id),
        }
    }

    pub fn of_user(user: UserId) -> Self {
        Self::of_words(0, user.value())
    }

    /// The top byte of a 128-bit multiply-mix. Part of the stored format: it must never change.
    fn of_words(high: u64, low: u64) -> Self {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = (high.wrapping_mul(ODD) ^ low).wrapping_mul(ODD);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(ODD);
        Self(mixed.to_be_bytes()[0])
    }
}

/// A gateway process, as its lease names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GatewayId(pub u32);

/// One connection of one gateway: where it lives and which life of that slot is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle {
    pub shard: u16,
    pub slot: u32,
    pub generation: u32,
}

/// A connection with everything a gateway compares before a byte leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    pub gateway: GatewayId,
    pub gateway_epoch: u32,
    pub handle: Handle,
    pub user: UserId,
    pub device: DeviceId,
}
