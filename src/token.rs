//! `millpond token`: signs a token with the server's own secret, for a first message, for tests, for an operator.
//! An installation with an issuer of its own never needs it.

use crate::config::parse_duration;
use crate::secret::{Secret, is_missing};
use anyhow::{Context as _, Result};
use jsonwebtoken::{EncodingKey, Header};
use millpond_wire::{DeviceId, UserId};
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Whose token it is: a number from 1 to 2^63 - 1
    #[arg(long, value_parser = parse_user)]
    user: UserId,
    /// The only device it lets in; any device when left out
    #[arg(long)]
    device: Option<u64>,
    /// How long it is valid: a whole number with s, m, h or d
    #[arg(long, default_value = "1d", value_parser = parse_ttl)]
    ttl: Duration,
    #[command(flatten)]
    secret: SecretArguments,
}

/// Where the secret lies.
#[derive(clap::Args, Clone, Debug)]
pub struct SecretArguments {
    /// The server's data folder
    #[arg(long, env = "MILLPOND_DATA", default_value = crate::config::DATA_DEFAULT)]
    pub data: PathBuf,
    /// The server's secret, when it is not in the data folder
    #[arg(long, env = "MILLPOND_SECRET")]
    pub secret: Option<PathBuf>,
}

impl SecretArguments {
    pub fn open(&self) -> Result<Secret> {
        let path = match &self.secret {
            Some(path) if path.as_os_str() != "" => path.clone(),
            _ => crate::config::secret_in(&self.data),
        };
        Secret::open(&path).map_err(|error| {
            if is_missing(&error) {
                let hint = "`millpond serve` makes it at its first start; say where with --data or --secret";
                return error.context(hint);
            }
            error
        })
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let secret = arguments.secret.open()?;
    let device = arguments.device.map(DeviceId);
    let token = sign(&secret, arguments.user, device, arguments.ttl)?;
    writeln!(std::io::stdout(), "{token}").context("standard output")
}

#[derive(Serialize)]
struct Claims {
    /// The user id in decimal: the standard wants text here.
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    iat: u64,
    exp: u64,
}

/// A token for this user from now on, for this device or for any.
pub fn sign(
    secret: &Secret,
    user: UserId,
    device: Option<DeviceId>,
    ttl: Duration,
) -> Result<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?
        .as_secs();
    let claims = Claims {
        sub: user.to_string(),
        device: device.map(|device| device.0.to_string()),
        iat: now,
        exp: now.saturating_add(ttl.as_secs()),
    };
    let key = EncodingKey::from_secret(secret.bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).context("signing the token")
}

pub fn parse_user(text: &str) -> Result<UserId, String> {
    let id = text.parse().ok().and_then(UserId::new);
    id.ok_or_else(|| "a user is a number from 1 to 9223372036854775807, such as 7".to_owned())
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let parsed = parse_duration(text).filter(|ttl| TTL_RANGE.contains(ttl));
    parsed.ok_or_else(|| "wanted 1s to 3650d as one number and one unit, such as 12h".to_owned())
}

const TTL_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3650 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, decode};

    fn claims(device: Option<DeviceId>) -> serde_json::Value {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::open_or_create(&folder.path().join("secret")).unwrap();
        let user = UserId::new(7).unwrap();
        let token = sign(&secret, user, device, Duration::from_secs(60)).unwrap();
        let key = DecodingKey::from_secret(secret.bytes());
        decode::<serde_json::Value>(&token, &key, &Validation::default())
            .unwrap()
            .claims
    }

    #[test]
    fn it_names_user_and_lifetime() {
        let claims = claims(None);
        assert_eq!(claims["sub"], "7");
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            60
        );
        assert!(claims.get("device").is_none());
    }

    #[test]
    fn a_device_id_of_64_bits_survives() {
        assert_eq!(
            claims(Some(DeviceId(u64::MAX)))["device"],
            u64::MAX.to_string()
        );
    }

    #[test]
    fn users_and_lifetimes_are_parsed_strictly() {
        assert!(parse_user("9223372036854775807").is_ok());
        for text in ["0", "-1", "9223372036854775808", "alice", "", "7 "] {
            assert!(
                parse_user(text).unwrap_err().contains("a number from 1"),
                "{text}"
            );
        }
        assert_eq!(
            parse_ttl("3650d").unwrap(),
            Duration::from_secs(3650 * 86_400)
        );
        for text in ["0s", "500ms", "3651d", "1", "1w", "1h30m"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }
}
