//! What the operator can choose. Every key stands once in [`keys`], with its words; defaults are [`Config::default`].
//!
//! A flag wins over the environment, that over the file, that over the default. Everything that is wrong is reported at
//! once, each with where it stands, what was wanted, what was found and what to type. A value that got into a [`Config`]
//! is in range; what remains to be seen at start is what only the machine knows (a port in use, a folder not ours).

mod cluster;
mod file;
mod given;
mod keys;
mod text;
mod together;

pub use cluster::{Advertised, Cluster, Share};
pub use given::{Given, Mismatch, parse_duration};
pub use text::print;

use given::Origin;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub data: PathBuf,
    /// `None`: the file `secret` in the data directory.
    pub secret: Option<PathBuf>,
    /// The secret before that one, whose resume tokens still open.
    pub secret_previous: Option<PathBuf>,
    pub shards: Shards,
    pub log: String,
    pub gateway: millpond_gateway::Limits,
    pub router: millpond_router::fused::Config,
    /// Commands of one shard that may wait for the router.
    pub router_queue: usize,
    /// Hints to one shard that may wait.
    pub link_queue: usize,
    /// Holds the durability too.
    pub store: millpond_embedded::Options,
    pub drain: Drain,
    /// Of gateways and routers that are processes of their own.
    pub cluster: Cluster,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shards {
    /// One for each core this process may use.
    PerCore,
    Count(NonZeroU16),
}

/// How a stopping server sends its clients away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drain {
    /// Clients come back over this time, each at a moment of its own.
    pub spread: Duration,
    /// From the signal to the end of the process, whatever hangs.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(7400),
            admin: local(7401),
            data: PathBuf::from(DATA_DEFAULT),
            secret: None,
            secret_previous: None,
            shards: Shards::PerCore,
            log: "info".to_owned(),
            gateway: millpond_gateway::Limits::default(),
            router: millpond_router::fused::Config::default(),
            router_queue: 4096,
            link_queue: 16_384,
            store: millpond_embedded::Options::default(),
            drain: Drain {
                spread: Duration::from_secs(5),
                timeout: Duration::from_secs(15),
            },
            cluster: Cluster::default(),
        }
    }
}

impl Config {
    pub fn secret_path(&self) -> PathBuf {
        match &self.secret {
            Some(path) => path.clone(),
            None => secret_in(&self.data),
        }
    }
}

/// Where a server keeps its secret when nothing else is said.
pub fn secret_in(data: &Path) -> PathBuf {
    data.join("secret")
}

pub const DATA_DEFAULT: &str = "./millpond-data";

/// Where values come from, beside the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Name and value, as the process was given them; only names that begin with `MILLPOND_` matter.
    pub environment: Vec<(String, String)>,
    pub flags: Vec<FlagValue>,
}

/// A value given on the command line: `flag` as it was typed, for messages.
#[derive(Clone, Debug)]
pub struct FlagValue {
    pub flag: &'static str,
    pub key: String,
    pub value: String,
}

/// A configuration, and what looks like a mistake but is allowed.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}

/// Everything that is wrong, a line each.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Names that begin with `MILLPOND_` and are not keys.
const ENVIRONMENT_RESERVED: [&str; 2] = ["MILLPOND_CONFIG", "MILLPOND_TOKEN"];

pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut config = Config::default();
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    if let Some(path) = &sources.file {
        file::apply(path, &mut config, &mut problems);
    }
    for (name, value) in &sources.environment {
        apply_variable(name, value, &mut config, &mut problems, &mut warnings);
    }
    for flag in &sources.flags {
        apply_flag(flag, &mut config, &mut problems);
    }
    together::check(&config, &mut problems);
    if problems.is_empty() {
        Ok(Loaded { config, warnings })
    } else {
        Err(Problems(problems))
    }
}

/// An unknown variable is no error: a cluster that has a service named `millpond` puts some of its own into every
/// container.
fn apply_variable(
    name: &str,
    value: &str,
    config: &mut Config,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    if !name.starts_with(keys::VARIABLE_PREFIX) || ENVIRONMENT_RESERVED.contains(&name) {
        return;
    }
    let Some(key) = keys::keys().find(|key| key.variable() == name) else {
        let nearest = keys::nearest(name, keys::keys().map(keys::Key::variable));
        warnings.push(format!("{name} is not a variable of millpond{nearest}"));
        return;
    };
    key.apply(&Given::Word(value), &Origin::Variable, config)
        .unwrap_or_else(|problem| problems.push(problem));
}

fn apply_flag(flag: &FlagValue, config: &mut Config, problems: &mut Vec<String>) {
    let Some(key) = keys::keys().find(|key| key.name == flag.key) else {
        problems.push(format!("{}: {}", flag.flag, keys::unknown(&flag.key)));
        return;
    };
    let origin = Origin::Flag(flag.flag);
    key.apply(&Given::Word(&flag.value), &origin, config)
        .unwrap_or_else(|problem| problems.push(problem));
}

#[cfg(test)]
mod tests;
