//! Where things lie in Redis. All of it is a part of what is kept: two programs that disagree here lose each other's routes.
//!
//! | key | what |
//! | --- | --- |
//! | `P:r:BUCKET` | a hash: the users of one bucket, each a field with its seats |
//! | `P:{gGATEWAY}:lease` | the gateway's epoch, for as long as the lease lives |
//! | `P:{gGATEWAY}:epoch` | the newest epoch that it has had |
//! | `P:format` | version, number of buckets, and a name of this life of the data |
//!
//! A user id is multiplied by an odd number modulo 2^63, which loses nothing: the upper bits name the bucket, the lower
//! ones are the field, so a field needs no more bytes than tell the users of one bucket apart.

use millpond_backplane::GatewayId;
use millpond_wire::UserId;

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
const ID_BITS: u32 = 63;

/// Names keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
    buckets_log2: u8,
}

/// A user's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) bucket: u32,
    field: u64,
    field_bytes: usize,
}

impl Keys {
    /// `buckets_log2` is at most 24.
    pub(crate) fn new(prefix: String, buckets_log2: u8) -> Self {
        Self {
            prefix,
            buckets_log2,
        }
    }

    pub(crate) fn place(&self, user: UserId) -> Place {
        let field_bits = ID_BITS - u32::from(self.buckets_log2);
        let mixed = user.value().wrapping_mul(ODD) & ((1 << ID_BITS) - 1);
        Place {
            bucket: u32::try_from(mixed >> field_bits).expect("at most 2^24 buckets"),
            field: mixed & ((1 << field_bits) - 1),
            field_bytes: field_bits.div_ceil(8) as usize,
        }
    }

    pub(crate) fn bucket(&self, bucket: u32) -> String {
        format!("{}:r:{bucket}", self.prefix)
    }

    pub(crate) fn lease(&self, gateway: GatewayId) -> String {
        format!("{}:{{g{}}}:lease", self.prefix, gateway.0)
    }

    pub(crate) fn epoch(&self, gateway: GatewayId) -> String {
        format!("{}:{{g{}}}:epoch", self.prefix, gateway.0)
    }

    pub(crate) fn format(&self) -> String {
        format!("{}:format", self.prefix)
    }

    /// What stands under [`Self::format`], before the name of the life.
    pub(crate) fn format_value(&self) -> String {
        format!("1 {}", self.buckets_log2)
    }
}

impl Place {
    pub(crate) fn field(&self) -> Vec<u8> {
        self.field.to_be_bytes()[8 - self.field_bytes..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn place(buckets_log2: u8, id: u64) -> Place {
        Keys::new("m".into(), buckets_log2).place(UserId::new(id).unwrap())
    }

    #[test]
    fn users_that_follow_each_other_spread_evenly() {
        let mut counts = BTreeMap::new();
        for id in 1..=100_000 {
            *counts.entry(place(10, id).bucket).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 1_024);
        assert!(
            counts.values().all(|count| (90..=106).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn places_are_never_shared() {
        for buckets_log2 in [0, 7, 13, 15, 24] {
            let ids = (1..=1_000).chain((1..=1_000).map(|id| id << 50));
            let ids = ids.chain((0..1_000).map(|back| (1 << 63) - 1 - back));
            let mut seen = BTreeSet::new();
            for id in ids {
                let place = place(buckets_log2, id);
                assert!(place.bucket < 1 << buckets_log2);
                assert!(seen.insert((place.bucket, place.field())), "{id}");
            }
        }
    }

    #[test]
    fn a_field_is_as_short_as_can_be() {
        let bytes = [0, 7, 8, 15, 16, 23, 24].map(|log2| place(log2, 1).field().len());
        assert_eq!(bytes, [8, 7, 7, 6, 6, 5, 5]);
    }

    /// Part of what is kept: it must never change.
    #[test]
    fn places_stay_where_they_are() {
        let known = [1, 2, 1_000_000, (1 << 63) - 1].map(|id| place(13, id));
        let known = known.map(|place| (place.bucket, place.field));
        let expected = [
            (1_933, 978_262_541_630_485),
            (3_867, 830_625_176_418_346),
            (8_007, 763_672_227_442_496),
            (6_258, 147_637_365_212_139),
        ];
        assert_eq!(known, expected);
    }
}
