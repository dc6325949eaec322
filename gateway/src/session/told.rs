//! What a client was told of its inbox beside cursors, in one byte: an idle connection costs a cache line.

/// Low bits of the epoch. That an inbox takes so many epochs between two heartbeats takes a client that does it to itself.
const EPOCH_MASK: u8 = 0x7F;
const REWOUND: u8 = 0x80;

/// The epoch that the client goes by, as far as one byte tells epochs apart, and whether SYNC or RESET went back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told(u8);

impl Told {
    pub(super) fn epoch(epoch: u64) -> Self {
        Self(epoch.to_le_bytes()[0] & EPOCH_MASK)
    }

    pub(super) fn is_epoch(self, epoch: u64) -> bool {
        self.0 & EPOCH_MASK == Self::epoch(epoch).0
    }

    /// The client may still acknowledge what lies above `sent`.
    pub(super) fn is_rewound(self) -> bool {
        self.0 & REWOUND != 0
    }

    #[must_use]
    pub(super) fn rewound(self) -> Self {
        Self(self.0 | REWOUND)
    }

    /// The client goes on in this epoch.
    #[must_use]
    pub(super) fn in_epoch(self, epoch: u64) -> Self {
        Self(self.0 & REWOUND | Self::epoch(epoch).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_differ_and_what_was_rewound_stays_so() {
        let told = Told::epoch(0x1_7F).rewound();
        assert!(told.is_epoch(0x1_7F) && !told.is_epoch(0x1_80));
        let told = told.in_epoch(0x1_80);
        assert!(told.is_epoch(0x1_80) && told.is_rewound());
        assert!(!Told::epoch(3).is_rewound());
    }
}
