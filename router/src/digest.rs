//! The 32 bits by which a repeated client message id is told from a reused one. Part of the stored format (they lie in
//! every dedup row): the algorithm must never change.
//!
//! ```text
//! state = 0xcbf29ce484222325
//! for each word:  state = (state ^ word) * 0x9e3779b97f4a7c15;  state = state ^ (state >> 32)
//! words: the kind | the payload's length | the payload, 8 bytes little-endian each, the last one padded with zeros
//! result: the low 32 bits
//! ```
//!
//! It guards against mistakes, not against attackers: who reuses an id on purpose harms only the own message.

use millpond_wire::Kind;

/// Of a message's kind and payload.
pub fn digest(kind: Kind, payload: &[u8]) -> u32 {
    let state = mix(START, u64::from(kind.0));
    let mut state = mix(state, payload.len() as u64);
    let (words, rest) = payload.as_chunks::<8>();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state = mix(state, u64::from_le_bytes(last));
    }
    let [a, b, c, d, ..] = state.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

const START: u64 = 0xcbf2_9ce4_8422_2325;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(ODD);
    mixed ^ (mixed >> 32)
}
