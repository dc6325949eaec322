//! How the two ends of a stream prove to each other that they know the cluster's secret. Bytes in, bytes out.
//!
//! ```text
//! router → gateway   "MPLK" | version 1 | nonce 16 | gateway u32 | epoch u32
//! gateway → router   verdict u8 | nonce 16 | proof 32
//! router → gateway   proof 32, after verdict 0
//! then frames        length u32 of what follows | seal 16 | batch of hints
//! ```
//!
//! A proof is HMAC-SHA-256 (RFC 2104) under the secret of a label and all that was said before; a seal is the first half of one
//! under a key of this stream, of the frame's number and its batch. So nobody without the secret is listened to, can speak
//! for either end, or can change, repeat or leave out a frame. Nothing is hidden from who can read the network.

use hmac::{Hmac, Mac};
use sha2::Sha256;

pub(crate) const HELLO_BYTES: usize = 29;
pub(crate) const ANSWER_BYTES: usize = 49;
pub(crate) const PROOF_BYTES: usize = 32;
pub(crate) const SEAL_BYTES: usize = 16;

const MAGIC: [u8; 5] = *b"MPLK\x01";
const GATEWAY: &[u8] = b"millpond link, gateway";
const ROUTER: &[u8] = b"millpond link, router";
const FRAMES: &[u8] = b"millpond link, frames";

pub(crate) type Nonce = [u8; 16];

/// Why a greeting fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Not our protocol, or another version of it.
    Stranger,
    /// The other end has another secret.
    Secret,
    /// The gateway is another one, or in another epoch.
    Elsewhere,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stranger => "does not speak this version of the link",
            Self::Secret => "has another cluster secret",
            Self::Elsewhere => "is another gateway, or in another epoch",
        })
    }
}

/// Seals frames, or checks their seals.
#[derive(Clone)]
pub(crate) struct Sealer {
    key: Hmac<Sha256>,
    frame: u64,
}

/// The router's words.
pub(crate) fn hello(nonce: Nonce, gateway: u32, epoch: u32) -> [u8; HELLO_BYTES] {
    let mut hello = [0; HELLO_BYTES];
    hello[..5].copy_from_slice(&MAGIC);
    hello[5..21].copy_from_slice(&nonce);
    hello[21..25].copy_from_slice(&gateway.to_be_bytes());
    hello[25..].copy_from_slice(&epoch.to_be_bytes());
    hello
}

/// The gateway's answer, also to who looks for another one.
pub(crate) fn answer(
    secret: &[u8],
    hello: &[u8; HELLO_BYTES],
    nonce: Nonce,
    gateway: u32,
    epoch: u32,
) -> Result<[u8; ANSWER_BYTES], Refused> {
    if hello[..5] != MAGIC {
        return Err(Refused::Stranger);
    }
    let mut answer = [0; ANSWER_BYTES];
    let mine = hello[21..25] == gateway.to_be_bytes() && hello[25..] == epoch.to_be_bytes();
    answer[0] = u8::from(!mine);
    answer[1..17].copy_from_slice(&nonce);
    let proof = mac(secret, &[GATEWAY, hello, &answer[..17]]).finalize();
    answer[17..].copy_from_slice(&proof.into_bytes());
    Ok(answer)
}

/// The router's proof.
pub(crate) fn proof(
    secret: &[u8],
    hello: &[u8; HELLO_BYTES],
    answer: &[u8; ANSWER_BYTES],
) -> Result<[u8; PROOF_BYTES], Refused> {
    mac(secret, &[GATEWAY, hello, &answer[..17]])
        .verify_slice(&answer[17..])
        .map_err(|_| Refused::Secret)?;
    if answer[0] != 0 {
        return Err(Refused::Elsewhere);
    }
    let proof = mac(secret, &[ROUTER, hello, answer]).finalize();
    Ok(proof.into_bytes().into())
}

/// The gateway looks at the proof.
pub(crate) fn check(
    secret: &[u8],
    hello: &[u8; HELLO_BYTES],
    answer: &[u8; ANSWER_BYTES],
    proof: &[u8; PROOF_BYTES],
) -> Result<(), Refused> {
    if answer[0] != 0 {
        return Err(Refused::Elsewhere);
    }
    let expected = mac(secret, &[ROUTER, hello, answer]);
    expected.verify_slice(proof).map_err(|_| Refused::Secret)
}

impl Sealer {
    pub(crate) fn new(
        secret: &[u8],
        hello: &[u8; HELLO_BYTES],
        answer: &[u8; ANSWER_BYTES],
    ) -> Self {
        let key = mac(secret, &[FRAMES, hello, answer]).finalize();
        Self {
            key: keyed(&key.into_bytes()),
            frame: 0,
        }
    }

    /// The seal of the next frame.
    pub(crate) fn seal(&mut self, batch: &[u8]) -> [u8; SEAL_BYTES] {
        let seal = self.next(batch).finalize().into_bytes();
        *seal.first_chunk().expect("32 bytes are more than 16")
    }

    /// Whether this is the next frame, whole.
    pub(crate) fn holds(&mut self, seal: &[u8; SEAL_BYTES], batch: &[u8]) -> bool {
        self.next(batch).verify_truncated_left(seal).is_ok()
    }

    fn next(&mut self, batch: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        mac.update(&self.frame.to_be_bytes());
        mac.update(batch);
        self.frame += 1;
        mac
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("frame", &self.frame)
            .finish_non_exhaustive()
    }
}

/// Parts have fixed lengths, or come last, so that no two lists of them run together to the same bytes.
fn mac(secret: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = keyed(secret);
    parts.iter().for_each(|part| mac.update(part));
    mac
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of the cluster";

    fn greet(ours: &[u8], theirs: &[u8], epoch: u32) -> Result<(Sealer, Sealer), Refused> {
        let hello = hello([1; 16], 7, epoch);
        let answer = answer(theirs, &hello, [2; 16], 7, 9)?;
        let proof = proof(ours, &hello, &answer)?;
        check(theirs, &hello, &answer, &proof)?;
        let sealer = |secret| Sealer::new(secret, &hello, &answer);
        Ok((sealer(ours), sealer(theirs)))
    }

    #[test]
    fn those_with_one_secret_understand_each_other() {
        let (mut router, mut gateway) = greet(SECRET, SECRET, 9).unwrap();
        for batch in [&b"first"[..], b"", b"third"] {
            let seal = router.seal(batch);
            assert!(gateway.holds(&seal, batch));
        }
    }

    #[test]
    fn another_secret_or_epoch_is_refused() {
        assert_eq!(greet(SECRET, b"another", 9).unwrap_err(), Refused::Secret);
        assert_eq!(greet(SECRET, SECRET, 8).unwrap_err(), Refused::Elsewhere);
    }

    #[test]
    fn strangers_are_refused() {
        let mut hello = hello([1; 16], 7, 9);
        hello[4] = 2;
        let answer = answer(SECRET, &hello, [2; 16], 7, 9);
        assert_eq!(answer.unwrap_err(), Refused::Stranger);
    }

    /// Each byte of what is said, changed on its way, ends the greeting.
    #[test]
    fn whoever_changes_a_byte_is_found_out() {
        let hello = hello([1; 16], 7, 9);
        let answer = answer(SECRET, &hello, [2; 16], 7, 9).unwrap();
        for at in 0..ANSWER_BYTES {
            let mut changed = answer;
            changed[at] ^= 1;
            assert_eq!(proof(SECRET, &hello, &changed), Err(Refused::Secret));
        }
        let whole = proof(SECRET, &hello, &answer).unwrap();
        for at in 0..PROOF_BYTES {
            let mut changed = whole;
            changed[at] ^= 1;
            let checked = check(SECRET, &hello, &answer, &changed);
            assert_eq!(checked, Err(Refused::Secret));
        }
    }

    #[test]
    fn a_frame_is_not_changed_repeated_or_left_out() {
        let (mut router, gateway) = greet(SECRET, SECRET, 9).unwrap();
        let seals = [router.seal(b"one"), router.seal(b"two")];
        assert!(!gateway.clone().holds(&seals[0], b"ono"));
        assert!(
            !gateway.clone().holds(&seals[1], b"two"),
            "the first is left out"
        );
        let mut repeated = gateway.clone();
        assert!(repeated.holds(&seals[0], b"one"));
        assert!(!repeated.holds(&seals[0], b"one"));
    }
}
