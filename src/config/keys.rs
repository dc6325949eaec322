//! The table of keys: name, words, how a value becomes a field, and how the field is written back.

mod cluster;
mod gateway;
mod router;
mod server;
mod store;

use super::Config;
use super::given::{Given, Mismatch, Origin};

pub(crate) struct Key {
    /// Dotted: the section, then the key in it.
    pub(crate) name: &'static str,
    /// What it is, in whole lines of the printed file.
    pub(crate) words: &'static str,
    set: fn(&mut Config, &Given<'_>) -> Result<(), Mismatch>,
    /// The right-hand side in TOML.
    pub(crate) show: fn(&Config) -> String,
}

impl Key {
    /// The environment variable of the same meaning.
    pub(crate) fn variable(&self) -> String {
        let name = self.name.replace('.', "_").to_uppercase();
        format!("{VARIABLE_PREFIX}{name}")
    }

    /// Section and name in it; top-level keys have an empty section.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    pub(crate) fn apply(
        &self,
        given: &Given<'_>,
        origin: &Origin,
        config: &mut Config,
    ) -> Result<(), String> {
        (self.set)(config, given).map_err(|mismatch| self.problem(given, origin, &mismatch.wanted))
    }

    fn problem(&self, given: &Given<'_>, origin: &Origin, wanted: &str) -> String {
        let default = (self.show)(&Config::default());
        let bare = default.trim_matches('"');
        let (place, example) = match origin {
            Origin::File { path, line } => (
                format!("{}:{line}: {}", path.display(), self.name),
                format!("{} = {default}", self.split().1),
            ),
            Origin::Variable => (self.variable(), format!("{}={bare}", self.variable())),
            Origin::Flag(SET_FLAG) => (
                format!("{SET_FLAG} {}", self.name),
                format!("{SET_FLAG} {}={bare}", self.name),
            ),
            Origin::Flag(flag) => ((*flag).to_owned(), format!("{flag} {bare}")),
        };
        let found = given.found();
        format!("{place}: wanted {wanted}, found {found}; write for example: {example}")
    }
}

/// Every key in the order of the printed file: top-level keys first, then section by section.
pub(crate) fn keys() -> impl Iterator<Item = &'static Key> {
    [
        server::KEYS,
        gateway::KEYS,
        router::KEYS,
        store::KEYS,
        server::DRAIN,
        cluster::KEYS,
    ]
    .into_iter()
    .flatten()
}

/// A key whose name is the path of its field, and whose value has a range.
macro_rules! ranged {
    ($read:ident $first:ident $(. $rest:ident)*, $range:expr, $words:expr) => {
        Key {
            name: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            words: $words,
            set: |config, given| given.$read($range).map(|it| config.$first $(. $rest)* = it),
            show: |config| crate::config::text::$read(config.$first $(. $rest)*),
        }
    };
}
use ranged;

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// What to say about a name that is no key.
pub(crate) fn unknown(name: &str) -> String {
    let sections = keys()
        .map(|key| key.split().0)
        .filter(|name| !name.is_empty());
    if let Some(key) = keys().find(|key| key.split().0 == name && !name.is_empty()) {
        return format!(
            "`{name}` is a section: it has no value, but keys such as `{}`; `millpond config` prints them all",
            key.name
        );
    }
    let names = keys().map(|key| key.name).chain(sections);
    let nearest = nearest(name, names.map(str::to_owned));
    format!(
        "there is no key `{}`{nearest}; `millpond config` prints them all",
        name.escape_debug()
    )
}

/// `, did you mean …?` when something is near.
pub(crate) fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> String {
    let best = candidates
        .map(|candidate| (strsim::jaro_winkler(name, &candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, candidate)) if likeness > 0.75 => format!(", did you mean `{candidate}`?"),
        _ => String::new(),
    }
}

pub(crate) const VARIABLE_PREFIX: &str = "MILLPOND_";
/// The flag that can give any key.
pub(crate) const SET_FLAG: &str = "--set";
