//! Who a client is: a JWT of the operator's own issuer, signed with HS256, or later a resume token. Tokens are never logged. The signature is
//! compared in constant time by the library; the time is the caller's, so that sessions stay pure.

use crate::resume::Seals;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use millpond_wire::{DeviceId, UserId};
use serde::Deserialize;

/// The keys a gateway accepts.
#[derive(Clone)]
pub struct Keys {
    key: DecodingKey,
    validation: Validation,
    pub(crate) seals: Seals,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Fewer bytes can be guessed.
const SECRET_BYTES_MIN: usize = 32;

impl Keys {
    /// `previous` is the secret before this one: resume tokens that were sealed under it still open; JWTs do not.
    /// `None` for a secret below 32 bytes.
    pub fn hs256(secret: &[u8], previous: Option<&[u8]>) -> Option<Self> {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are judged here, against the shard's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let long = |secret: &[u8]| secret.len() >= SECRET_BYTES_MIN;
        (long(secret) && previous.is_none_or(long)).then(|| Self {
            key: DecodingKey::from_secret(secret),
            validation,
            seals: Seals::new(secret, previous),
        })
    }

    /// The user of a token that `device` shows at `now_s`.
    pub(crate) fn verify(
        &self,
        token: &[u8],
        device: DeviceId,
        now_s: u64,
    ) -> Result<Verified, Refused> {
        let claims = decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|_| Refused::Invalid)?
            .claims;
        if claims.exp <= now_s {
            return Err(Refused::Expired);
        }
        let of_another = claims.device.is_some_and(|id| id.0 != device.0);
        let too_early = claims.nbf.is_some_and(|nbf| nbf > now_s);
        if of_another || too_early {
            return Err(Refused::Invalid);
        }
        let user = canonical(&claims.sub).and_then(UserId::new);
        Ok(Verified {
            user: user.ok_or(Refused::Invalid)?,
            ttl_s: claims.exp - now_s,
        })
    }
}

/// One user has one name: neither signs nor leading zeros.
fn canonical(decimal: &str) -> Option<u64> {
    let number: u64 = decimal.parse().ok()?;
    (number.to_string() == decimal).then_some(number)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verified {
    pub(crate) user: UserId,
    /// Seconds the token is still good.
    pub(crate) ttl_s: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    Expired,
    Invalid,
}

#[derive(Deserialize)]
struct Claims {
    /// The user id, decimal.
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    /// When present, the only device this token is good for.
    device: Option<Device>,
}

/// A device id, as a number or (where 64 bits do not fit a JSON number) as decimal text.
struct Device(u64);

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Number(id) => Ok(Self(id)),
            Form::Text(text) => canonical(&text)
                .map(Self)
                .ok_or_else(|| serde::de::Error::custom("no device id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde::Serialize;

    #[derive(Serialize)]
    struct Made<'a> {
        sub: &'a str,
        exp: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<&'a str>,
    }

    const SECRET: [u8; 32] = [7; 32];

    fn token(algorithm: Algorithm, claims: &Made<'_>) -> Vec<u8> {
        let key = EncodingKey::from_secret(&SECRET);
        encode(&Header::new(algorithm), claims, &key)
            .unwrap()
            .into_bytes()
    }

    fn verify(algorithm: Algorithm, claims: &Made<'_>) -> Result<Verified, Refused> {
        let keys = Keys::hs256(&SECRET, None).unwrap();
        keys.verify(&token(algorithm, claims), DeviceId(5), 1_000)
    }

    #[test]
    fn a_good_token_names_its_user() {
        for device in [None, Some("5")] {
            let made = Made {
                sub: "42",
                exp: 1_060,
                device,
            };
            let verified = verify(Algorithm::HS256, &made).unwrap();
            assert_eq!((verified.user.value(), verified.ttl_s), (42, 60));
        }
    }

    #[test]
    fn every_other_token_is_refused() {
        let good = |sub, exp, device| Made { sub, exp, device };
        let hs256 = Algorithm::HS256;
        assert_eq!(
            verify(hs256, &good("42", 1_000, None)),
            Err(Refused::Expired)
        );
        for (algorithm, made) in [
            (Algorithm::HS512, good("42", 2_000, None)),
            (hs256, good("42", 2_000, Some("6"))),
            (hs256, good("42", 2_000, Some("+5"))),
            (hs256, good("0", 2_000, None)),
            (hs256, good("9223372036854775808", 2_000, None)),
            (hs256, good("ann", 2_000, None)),
            (hs256, good("+42", 2_000, None)),
            (hs256, good("042", 2_000, None)),
            (hs256, good(" 42", 2_000, None)),
        ] {
            assert_eq!(
                verify(algorithm, &made),
                Err(Refused::Invalid),
                "{}",
                made.sub
            );
        }
        let mut forged = token(hs256, &good("42", 2_000, None));
        let middle = forged.len() / 2;
        forged[middle] ^= 1;
        let keys = Keys::hs256(&SECRET, None).unwrap();
        let judged = keys.verify(&forged, DeviceId(5), 1_000);
        assert_eq!(judged, Err(Refused::Invalid));
        assert_eq!(keys.verify(b"", DeviceId(5), 1_000), Err(Refused::Invalid));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Keys::hs256(&[1; 31], None).is_none());
        assert!(Keys::hs256(&SECRET, Some(&[1; 31])).is_none());
    }
}
