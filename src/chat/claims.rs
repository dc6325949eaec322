//! What a given token says of itself, read without its key. Only so that a person hears early, and in words, what could
//! not work or would be somebody else's: who is let in is the server's business, and nothing here is trusted.

use millpond_wire::UserId;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    device: Option<Value>,
}

/// What is wrong with using this token for this user on this device.
pub(super) fn check(token: &str, me: UserId, device: Option<u64>) -> Result<(), String> {
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| {
        "--token: wanted a JWT whose `sub` is a user id as text, found something else; \
         write for example: --token \"$(millpond token --user 7)\""
            .to_owned()
    })?;
    let sub = claims.sub.escape_debug().to_string();
    if claims.sub != me.to_string() {
        return Err(format!(
            "the token is of user {sub}, but --as says {me}; take a token of user {me}, or the right number behind --as"
        ));
    }
    let Some(named) = claims.device.as_ref().map(number) else {
        return Ok(());
    };
    match device {
        Some(device) if device.to_string() == named => Ok(()),
        Some(device) => Err(format!(
            "the token is for device {named} only, but --device says {device}; write: --device {named}"
        )),
        None => Err(format!(
            "the token is for device {named} only; write: --device {named}"
        )),
    }
}

/// A device id stands there as a number or as text.
fn number(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    fn wrong(claims: &Value, device: Option<u64>) -> String {
        let key = EncodingKey::from_secret(&[1; 32]);
        let token = jsonwebtoken::encode(&Header::default(), claims, &key).unwrap();
        let me = UserId::new(3).unwrap();
        check(&token, me, device).err().unwrap_or_default()
    }

    #[test]
    fn a_token_of_mine_is_right() {
        let most = json!({"sub": "3", "device": u64::MAX.to_string()});
        assert_eq!(wrong(&json!({"sub": "3"}), None), "");
        assert_eq!(wrong(&json!({"sub": "3"}), Some(5)), "");
        assert_eq!(wrong(&json!({"sub": "3", "device": 5}), Some(5)), "");
        assert_eq!(wrong(&most, Some(u64::MAX)), "");
    }

    #[test]
    fn another_user_or_device_is_named() {
        for (claims, device, wanted) in [
            (json!({"sub": "4"}), None, "of user 4, but --as says 3"),
            (json!({"sub": "03"}), None, "of user 03, but"),
            (json!({"sub": "a\u{1b}[2J"}), None, "a\\u{1b}[2J"),
            (json!({"sub": 3}), None, "wanted a JWT"),
            (json!({"device": 3}), None, "wanted a JWT"),
            (
                json!({"sub": "3", "device": "5"}),
                None,
                "device 5 only; write: --device 5",
            ),
            (
                json!({"sub": "3", "device": 5}),
                Some(6),
                "but --device says 6",
            ),
        ] {
            let wrong = wrong(&claims, device);
            assert!(wrong.contains(wanted), "{claims}: {wrong}");
        }
        let me = UserId::new(3).unwrap();
        for token in ["", "not.a.token", "x", "a.b.c.d"] {
            let wrong = check(token, me, None).unwrap_err();
            assert!(wrong.contains("wanted a JWT"), "{wrong}");
        }
    }
}
