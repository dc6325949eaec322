//! The keys of the process: addresses, data, durability, log; and how it stops.

use super::{Key, ranged};
use crate::config::Shards;
use crate::config::given::{Given, Mismatch};
use crate::config::text::{duration, quoted};
use millpond_backplane::store::Durability;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "listen",
        words: "Where clients connect. Port 0 takes a free one; the start-up lines say which.",
        set: |config, given| given.address().map(|it| config.listen = it),
        show: |config| quoted(config.listen),
    },
    Key {
        name: "admin",
        words: "Health, readiness and metrics over HTTP. Keep it away from clients: it asks for no password.",
        set: |config, given| given.address().map(|it| config.admin = it),
        show: |config| quoted(config.admin),
    },
    Key {
        name: "data",
        words: "The folder that holds everything; made at the first start. One server at a time.",
        set: |config, given| {
            let wanted = "a path".to_owned();
            let path = given.path()?.ok_or(Mismatch { wanted })?;
            config.data = path;
            Ok(())
        },
        show: |config| quoted(config.data.display()),
    },
    Key {
        name: "secret",
        words: "The file with the secret that signs tokens, in hexadecimal. Empty: `secret` in the data folder, made at\n\
                the first start. Nobody but its owner may be able to read it.",
        set: |config, given| given.path().map(|it| config.secret = it),
        show: |config| quoted(config.secret.clone().unwrap_or_else(PathBuf::new).display()),
    },
    Key {
        name: "secret_previous",
        words: "The file with the secret before that one, after it was changed: clients that were connected under it come\n\
                back without a new token for a day. Empty: none.",
        set: |config, given| given.path().map(|it| config.secret_previous = it),
        show: |config| {
            quoted(
                config
                    .secret_previous
                    .clone()
                    .unwrap_or_else(PathBuf::new)
                    .display(),
            )
        },
    },
    Key {
        name: "shards",
        words: "Threads that hold sockets: \"auto\" is one for each core, or a number.",
        set: |config, given| shards(given).map(|it| config.shards = it),
        show: |config| match config.shards {
            Shards::PerCore => quoted("auto"),
            Shards::Count(count) => count.to_string(),
        },
    },
    Key {
        name: "durability",
        words: "What an acknowledged message has survived.\n\
                \"sync\": it is on the disk; a power cut loses nothing acknowledged.\n\
                \"interval\": it is handed to the kernel and synced every `durability_interval`; a power cut may lose that\n\
                much of what was acknowledged, a killed process nothing.\n\
                \"os\": the kernel writes when it likes; a power cut may lose more, a killed process nothing.",
        set: |config, given| given.choice(&MODES).map(|it| config.store.durability = it),
        show: |config| {
            let named = MODES
                .iter()
                .find(|(_, mode)| *mode == config.store.durability);
            quoted(named.expect("every mode has a name").0)
        },
    },
    Key {
        name: "durability_interval",
        words: "How often \"interval\" syncs.",
        set: |config, given| {
            let interval = given.duration(10 * MS..=MINUTE)?;
            config.store.sync_interval = interval;
            Ok(())
        },
        show: |config| duration(config.store.sync_interval),
    },
    Key {
        name: "log",
        words: "What is logged to standard error: a level (error, warn, info, debug, trace), or levels by module such as\n\
                \"warn,millpond_gateway=debug\".",
        set: |config, given| {
            let text = given.text("a level, or levels by module", is_log_filter)?;
            config.log = text;
            Ok(())
        },
        show: |config| quoted(&config.log),
    },
];

pub(super) static DRAIN: &[Key] = &[
    ranged!(duration drain.spread, Duration::ZERO..=10 * MINUTE,
        "A stopping server asks its clients to come back over this time, each at a moment of its own."),
    ranged!(duration drain.timeout, SECOND..=15 * MINUTE,
        "From the signal to the end of the process, whatever hangs."),
];

const MODES: [(&str, Durability); 3] = [
    ("sync", Durability::Sync),
    ("interval", Durability::Interval),
    ("os", Durability::Os),
];

/// More would only take memory: no machine this is built for has as many cores.
const SHARDS_MAX: u64 = 1024;

fn shards(given: &Given<'_>) -> Result<Shards, Mismatch> {
    if given.choice(&[("auto", ())]).is_ok() {
        return Ok(Shards::PerCore);
    }
    let count = given.count(1..=SHARDS_MAX).ok().and_then(NonZeroU16::new);
    let wanted = format!("\"auto\" or a whole number from 1 to {SHARDS_MAX}");
    count.map(Shards::Count).ok_or(Mismatch { wanted })
}

fn is_log_filter(text: &str) -> bool {
    !text.is_empty() && tracing_subscriber::EnvFilter::try_new(text).is_ok()
}
