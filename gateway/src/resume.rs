//! Resume tokens: who a client is, sealed by a server that has checked it before. A client that comes back shows one
//! instead of its JWT, so that a storm of reconnects costs no signature check, and any server with the same secret can
//! open it without looking anything up. Called by sessions, at HELLO and WELCOME.
//!
//! ```text
//! key id  u8       the first byte of the key's own derivation
//! nonce   12 bytes
//! sealed  24 bytes user, device, end (unix seconds), big-endian, under AES-256-GCM-SIV (RFC 8452)
//! tag     16 bytes
//! ```
//!
//! The nonce is made of the time and the connection's name; one that came twice would show that two tokens are the same,
//! and nothing else (that is what SIV is for). The key comes from the server's secret by HKDF-SHA256 (RFC 5869).

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use hkdf::Hkdf;
use millpond_backplane::Handle;
use millpond_wire::{DeviceId, UserId};
use sha2::Sha256;

/// No token is good for longer, whatever the JWT says.
const TTL_MAX_S: u64 = 24 * 60 * 60;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const PLAIN_BYTES: usize = 3 * size_of::<u64>();
const TOKEN_BYTES: usize = 1 + NONCE_BYTES + PLAIN_BYTES + TAG_BYTES;

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Resumed {
    pub(crate) user: UserId,
    /// Seconds the token is still good.
    pub(crate) ttl_s: u64,
}

/// Seals with the key of the current secret, and opens with that of the one before, too.
#[derive(Clone)]
pub(crate) struct Seals {
    current: Seal,
    previous: Option<Seal>,
}

#[derive(Clone)]
struct Seal {
    id: u8,
    cipher: Aes256GcmSiv,
}

impl Seal {
    fn of(secret: &[u8]) -> Self {
        let mut material = [0; KEY_BYTES + 1];
        Hkdf::<Sha256>::new(None, secret)
            .expand(b"millpond resume token 1", &mut material)
            .expect("HKDF gives this many bytes");
        let [key @ .., id] = &material;
        Self {
            id: *id,
            cipher: Aes256GcmSiv::new(key.into()),
        }
    }

    fn open(&self, id: u8, nonce: &[u8; NONCE_BYTES], sealed: &[u8]) -> Option<[u64; 3]> {
        if id != self.id {
            return None;
        }
        let payload = Payload {
            msg: sealed,
            aad: &[id],
        };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload).ok()?;
        let (words, rest) = plain.as_chunks::<8>();
        let words: &[[u8; 8]; 3] = words.try_into().ok()?;
        rest.is_empty().then(|| words.map(u64::from_be_bytes))
    }
}

impl Seals {
    pub(crate) fn new(secret: &[u8], previous: Option<&[u8]>) -> Self {
        Self {
            current: Seal::of(secret),
            previous: previous.map(Seal::of),
        }
    }

    /// A token for whoever has just shown a token that is good for `ttl_s` more seconds.
    pub(crate) fn seal(
        &self,
        (user, device): (UserId, DeviceId),
        ttl_s: u64,
        now_ms: u64,
        connection: Handle,
    ) -> Vec<u8> {
        let ends_s = now_ms / 1_000 + ttl_s.min(TTL_MAX_S);
        let words = [user.value(), device.0, ends_s].map(u64::to_be_bytes);
        let nonce = nonce(now_ms, connection);
        let payload = Payload {
            msg: words.as_flattened(),
            aad: &[self.current.id],
        };
        let sealed = self.current.cipher.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.expect("a token is far below the cipher's bound");
        let mut token = Vec::with_capacity(TOKEN_BYTES);
        token.push(self.current.id);
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&sealed);
        token
    }

    /// Who `device` is that shows a token; `None` for one that is too old, of another device, under a secret that we no
    /// longer know, or not ours: whoever shows it has to show a JWT again.
    pub(crate) fn open(&self, token: &[u8], device: DeviceId, now_s: u64) -> Option<Resumed> {
        let (id, rest) = token.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let mut seals = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten();
        let [user, of, ends_s] = seals.find_map(|seal| seal.open(*id, nonce, sealed))?;
        let ttl_s = ends_s.checked_sub(now_s).filter(|left| *left > 0)?;
        let user = UserId::new(user).filter(|_| of == device.0)?;
        Some(Resumed { user, ttl_s })
    }
}

/// The low 48 bits of the time, the shard's and the slot's number.
fn nonce(now_ms: u64, connection: Handle) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    nonce[6..8].copy_from_slice(&connection.shard.to_be_bytes());
    nonce[8..].copy_from_slice(&connection.slot.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const NOW_S: u64 = NOW_MS / 1_000;
    const DEVICE: DeviceId = DeviceId(5);
    const CONNECTION: Handle = Handle {
        shard: 1,
        generation: 2,
        slot: 3,
    };

    fn user() -> UserId {
        UserId::new(42).unwrap()
    }

    fn token(seals: &Seals, ttl_s: u64) -> Vec<u8> {
        seals.seal((user(), DEVICE), ttl_s, NOW_MS, CONNECTION)
    }

    #[test]
    fn a_sealed_token_opens_for_its_device_until_its_end() {
        let seals = Seals::new(&[7; 32], None);
        let token = token(&seals, 60);
        assert_eq!(token.len(), TOKEN_BYTES);
        let opened = seals.open(&token, DEVICE, NOW_S + 59).unwrap();
        assert_eq!((opened.user, opened.ttl_s), (user(), 1));
        assert_eq!(seals.open(&token, DEVICE, NOW_S + 60), None);
        assert_eq!(seals.open(&token, DEVICE, u64::MAX), None);
        assert_eq!(seals.open(&token, DeviceId(6), NOW_S), None);
    }

    #[test]
    fn no_token_is_good_for_more_than_a_day() {
        let seals = Seals::new(&[7; 32], None);
        let token = token(&seals, u64::MAX);
        assert_eq!(seals.open(&token, DEVICE, NOW_S).unwrap().ttl_s, TTL_MAX_S);
    }

    #[test]
    fn the_secret_before_still_opens_and_none_before_that() {
        let (old, new) = ([7; 32], [8; 32]);
        let token = token(&Seals::new(&old, None), 60);
        let rotated = Seals::new(&new, Some(&old));
        assert!(rotated.open(&token, DEVICE, NOW_S).is_some());
        assert_eq!(
            rotated.seal((user(), DEVICE), 60, NOW_MS, CONNECTION)[0],
            rotated.current.id
        );
        assert_eq!(Seals::new(&new, None).open(&token, DEVICE, NOW_S), None);
        assert_eq!(
            Seals::new(&[9; 32], Some(&new)).open(&token, DEVICE, NOW_S),
            None
        );
    }

    #[test]
    fn whatever_is_changed_or_cut_opens_nothing() {
        let seals = Seals::new(&[7; 32], Some(&[8; 32]));
        let token = token(&seals, 60);
        for place in 0..token.len() {
            for bit in 0..8 {
                let mut forged = token.clone();
                forged[place] ^= 1 << bit;
                assert_eq!(
                    seals.open(&forged, DEVICE, NOW_S),
                    None,
                    "bit {bit} of {place}"
                );
            }
            assert_eq!(seals.open(&token[..place], DEVICE, NOW_S), None);
        }
        let longer = [token, vec![0]].concat();
        assert_eq!(seals.open(&longer, DEVICE, NOW_S), None);
    }
}
