//! A configuration as the text of a file: every key with its words and its value.

use super::Config;
use super::keys::{Key, keys};
use std::fmt::{Display, Write as _};
use std::time::Duration;

/// The whole file. For [`Config::default`] it documents the defaults; it always parses back to the same configuration.
pub fn print(config: &Config) -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for key in keys() {
        if key.split().0 != section {
            section = key.split().0;
            text.push_str(&format!("\n[{section}]\n"));
        }
        entry(&mut text, key, config);
    }
    text
}

const HEAD: &str = "\
# Millpond's configuration: every key. Values are the defaults unless you changed them; a line you delete keeps its
# default. A flag wins over the environment, that over this file. The variable of a key is MILLPOND_ and its name with
# _ for dots, in capitals: MILLPOND_DRAIN_SPREAD=10s. Any key can be given as --set drain.spread=10s.
# A mistake ends the start, but a variable that names no key is only a warning: clusters put some of their own beside.
";

fn entry(text: &mut String, key: &Key, config: &Config) {
    let words: Vec<String> = key.words.lines().map(|line| format!("# {line}")).collect();
    let value = (key.show)(config);
    writeln!(text, "\n{}\n{} = {value}", words.join("\n"), key.split().1)
        .expect("a String takes every write");
}

/// A basic string of TOML.
pub(crate) fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// The right-hand side of a duration.
pub(crate) fn duration(value: Duration) -> String {
    quoted(spell_duration(value))
}

/// The right-hand side of a size.
pub(crate) fn bytes<T: TryInto<u64>>(value: T) -> String {
    quoted(spell_bytes(whole(value)))
}

/// The right-hand side of a count.
pub(crate) fn count<T: TryInto<u64>>(value: T) -> String {
    whole(value).to_string()
}

fn whole<T: TryInto<u64>>(value: T) -> u64 {
    let whole = value.try_into().ok();
    whole.expect("no setting is negative or above 64 bits")
}

/// As [`super::parse_duration`] reads it, in the largest unit that divides it.
pub(crate) fn spell_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let fits = units
        .iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    fits.map_or_else(
        || format!("{ms}ms"),
        |(unit, name)| format!("{}{name}", ms / unit),
    )
}

/// As [`super::Given::bytes`] reads it.
pub(crate) fn spell_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    fits.map_or_else(
        || bytes.to_string(),
        |(unit, name)| format!("{}{name}", bytes / unit),
    )
}
