//! The functions of LOG.md, section 8, written down once more from its text.

use crate::files::{id, load};
use crate::grammar::hex;
use crate::render::{conversation_of, number_of, user_of};
use millpond_backplane::VirtualPartition;
use serde_json::Value;

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

pub(crate) fn with_partition(vector: &Value) -> Value {
    let mut vector = vector.clone();
    let (high, low) = match (&vector["user"], &vector["conversation"]) {
        (Value::String(user), _) => (0, user.parse().unwrap()),
        (_, conversation) => match conversation.get("direct") {
            Some(users) => (number_of(&users[0]), number_of(&users[1])),
            None => (0, number_of(&conversation["group"])),
        },
    };
    let mixed = (high.wrapping_mul(ODD) ^ low).wrapping_mul(ODD);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(ODD);
    vector["partition"] = mixed.to_be_bytes()[0].into();
    vector
}

pub(crate) fn with_hash(vector: &Value) -> Value {
    let mut vector = vector.clone();
    let payload = hex(vector["payload"].as_str().unwrap());
    let words = payload.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    let front = [vector["kind"].as_u64().unwrap(), payload.len() as u64];
    let mut state: u64 = 0xCBF2_9CE4_8422_2325;
    for word in front.into_iter().chain(words) {
        state = (state ^ word).wrapping_mul(ODD);
        state ^= state >> 32;
    }
    vector["hash"] = (state & 0xFFFF_FFFF).into();
    vector
}

#[test]
fn partitions_are_those_of_the_vectors() {
    for vector in load("v1/partitions") {
        let partition = match vector.get("user") {
            Some(user) => VirtualPartition::of_user(user_of(user)),
            None => VirtualPartition::of_conversation(conversation_of(&vector["conversation"])),
        };
        assert_eq!(vector["partition"], partition.0, "{}", id(&vector));
    }
}
