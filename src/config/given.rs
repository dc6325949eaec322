//! A value as it was given, and the ways to read it. Nothing here knows a key.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A value before it has a type.
#[derive(Clone, PartialEq, Debug)]
pub enum Given<'a> {
    /// From the environment or a flag, where everything is text.
    Word(&'a str),
    /// A string of the file.
    Text(&'a str),
    /// An integer of the file, as written, without underscores.
    Integer(&'a str),
    /// Anything else of the file, by the name of its type.
    Other(&'static str),
}

/// Where a value stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Origin {
    File { path: PathBuf, line: usize },
    Variable,
    Flag(&'static str),
}

/// What would have been right.
#[derive(Clone, PartialEq, Debug)]
pub struct Mismatch {
    pub wanted: String,
}

fn wanted<T>(what: impl Into<String>) -> Result<T, Mismatch> {
    Err(Mismatch {
        wanted: what.into(),
    })
}

impl Given<'_> {
    pub fn address(&self) -> Result<SocketAddr, Mismatch> {
        let parsed = self.word().and_then(|text| text.parse().ok());
        parsed.map_or_else(|| wanted("an IP address and a port"), Ok)
    }

    /// A path; `None` when empty.
    pub fn path(&self) -> Result<Option<PathBuf>, Mismatch> {
        match self.word() {
            Some("") => Ok(None),
            Some(text) => Ok(Some(PathBuf::from(text))),
            None => wanted("a path"),
        }
    }

    /// Any text that `accepts` takes.
    pub fn text(&self, what: &str, accepts: fn(&str) -> bool) -> Result<String, Mismatch> {
        match self.word() {
            Some(text) if accepts(text) => Ok(text.to_owned()),
            _ => wanted(what),
        }
    }

    /// One of these words.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Mismatch> {
        let found = self
            .word()
            .and_then(|text| choices.iter().find(|(name, _)| *name == text));
        found.map_or_else(
            || {
                let names: Vec<_> = choices
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                wanted(names.join(" or "))
            },
            |(_, value)| Ok(*value),
        )
    }

    pub fn count<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Result<T, Mismatch> {
        let parsed = self.number().and_then(|text| text.parse().ok());
        match parsed.and_then(|number| within(number, &range)) {
            Some(count) => Ok(count),
            None => wanted(format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    /// Bytes: a whole number with KiB, MiB or GiB behind it, or without for single bytes.
    pub fn bytes<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Result<T, Mismatch> {
        let parsed = match self {
            Self::Integer(text) => text.parse().ok(),
            Self::Word(text) | Self::Text(text) => parse_bytes(text),
            Self::Other(_) => None,
        };
        match parsed.and_then(|number| within(number, &range)) {
            Some(bytes) => Ok(bytes),
            None => {
                let (least, most) = (
                    super::text::spell_bytes(*range.start()),
                    super::text::spell_bytes(*range.end()),
                );
                wanted(format!("a size from {least} to {most} (KiB, MiB, GiB)"))
            }
        }
    }

    pub fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, Mismatch> {
        let parsed = self.word().and_then(parse_duration);
        match parsed {
            Some(duration) if range.contains(&duration) => Ok(duration),
            _ => {
                let (least, most) = (
                    super::text::spell_duration(*range.start()),
                    super::text::spell_duration(*range.end()),
                );
                wanted(format!(
                    "a duration from {least} to {most} (ms, s, m, h, d)"
                ))
            }
        }
    }

    /// What was found, for a message.
    pub fn found(&self) -> String {
        match self {
            Self::Word("") | Self::Text("") => "an empty text".to_owned(),
            Self::Word(text) | Self::Text(text) => format!("\"{}\"", text.escape_debug()),
            Self::Integer(text) => format!("the number {text}"),
            Self::Other(kind) => format!("a value of type {kind}"),
        }
    }

    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Other(_) => None,
        }
    }

    fn number(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Integer(text) => Some(text),
            Self::Text(_) | Self::Other(_) => None,
        }
    }
}

fn within<T: TryFrom<u64>>(number: u64, range: &RangeInclusive<u64>) -> Option<T> {
    let number = range.contains(&number).then_some(number)?;
    T::try_from(number).ok()
}

/// A whole number and one unit, nothing else: `500ms`, `10s`, `5m`, `12h`, `30d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_number(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let shift = match unit {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Digits, and what follows them at once.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    digits.parse().ok().map(|number| (number, unit))
}
