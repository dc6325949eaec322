//! What an operation is called while it is in the kernel. A completion of an earlier life of its slot is recognised by the
//! generation alone, without a map of what is in flight.
//!
//! ```text
//! bits 63–56: kind, below 0x80 | bits 55–32: generation | bits 31–0: slot of the slab
//! ```

use millpond_ring::Token;

/// Which operation of a connection, or of the shard itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Accept,
    Bell,
    /// Readiness to read, one-shot.
    Poll,
    Recv,
    RecvMulti,
    Send,
    /// Readiness to write, one-shot.
    Room,
    Cancel,
    Close,
    /// Of the listener.
    Shut,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Accept,
        Self::Bell,
        Self::Poll,
        Self::Recv,
        Self::RecvMulti,
        Self::Send,
        Self::Room,
        Self::Cancel,
        Self::Close,
        Self::Shut,
    ];
}

/// Lives of a slot that are told apart.
pub(crate) const GENERATIONS: u32 = 1 << 24;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag {
    pub(crate) kind: Kind,
    pub(crate) generation: u32,
    pub(crate) slot: u32,
}

impl Tag {
    /// An operation of the shard itself.
    pub(crate) fn of_shard(kind: Kind) -> Self {
        Self {
            kind,
            generation: 0,
            slot: 0,
        }
    }

    pub(crate) fn token(self) -> Token {
        assert!(self.generation < GENERATIONS, "a generation has 24 bits");
        let high = (u64::from(self.kind as u8) << 56) | (u64::from(self.generation) << 32);
        Token(high | u64::from(self.slot))
    }

    /// # Panics
    /// When the token is none of ours.
    pub(crate) fn of(token: Token) -> Self {
        let bytes = token.0.to_be_bytes();
        let [kind, g0, g1, g2, s0, s1, s2, s3] = bytes;
        Self {
            kind: *Kind::ALL
                .get(usize::from(kind))
                .expect("every token in this ring was made by Tag"),
            generation: u32::from_be_bytes([0, g0, g1, g2]),
            slot: u32::from_be_bytes([s0, s1, s2, s3]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_was_made_of_and_leaves_the_top_bit_to_the_ring() {
        for kind in Kind::ALL {
            for (generation, slot) in [(0, 0), (GENERATIONS - 1, u32::MAX), (77, 0x0102_0304)] {
                let tag = Tag {
                    kind,
                    generation,
                    slot,
                };
                assert_eq!(Tag::of(tag.token()), tag);
                assert_eq!(tag.token().0 >> 63, 0);
            }
        }
    }
}
