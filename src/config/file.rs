//! The configuration file: TOML walked by hand, because only a walk knows the line of every key.

use super::Config;
use super::given::{Given, Origin};
use super::keys::{Key, keys, unknown};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of a file that is still taken for a configuration.
const FILE_BYTES_MAX: usize = 1 << 20;

pub(crate) fn apply(path: &Path, config: &mut Config, problems: &mut Vec<String>) {
    match read(path) {
        Ok(text) => apply_text(path, &text, config, problems),
        Err(problem) => problems.push(problem),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        format!(
            "{shown}: cannot be read: {error}; `millpond config > {shown}` makes one with every key"
        )
    })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!(
            "{shown}: {} bytes are no configuration",
            bytes.len()
        ));
    }
    String::from_utf8(bytes).map_err(|_| format!("{shown}: is not UTF-8 text"))
}

pub(crate) fn apply_text(path: &Path, text: &str, config: &mut Config, problems: &mut Vec<String>) {
    match DeTable::parse(text) {
        Ok(table) => Walk {
            path,
            text,
            config,
            problems,
        }
        .table("", table.get_ref()),
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let message = error.message().replace('\n', ", ");
            problems.push(format!("{}:{line}: {message}", path.display()));
        }
    }
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    config: &'a mut Config,
    problems: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = if section.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{section}.{}", key.get_ref())
            };
            self.entry(&name, line_of(self.text, key.span().start), value);
        }
    }

    fn entry(&mut self, name: &str, line: usize, value: &Spanned<DeValue<'_>>) {
        if let DeValue::Table(table) = value.get_ref()
            && is_section(name)
        {
            return self.table(name, table);
        }
        let problem = match keys().find(|key| key.name == name) {
            Some(key) => self.value(key, line, value.get_ref()),
            None => Err(format!("{}:{line}: {}", self.path.display(), unknown(name))),
        };
        problem.unwrap_or_else(|problem| self.problems.push(problem));
    }

    fn value(&mut self, key: &Key, line: usize, value: &DeValue<'_>) -> Result<(), String> {
        let given = match value {
            DeValue::String(text) => Given::Text(text),
            DeValue::Integer(number) if number.radix() == 10 => Given::Integer(number.as_str()),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Given::Other(value.type_str()),
        };
        let path = self.path.to_owned();
        key.apply(&given, &Origin::File { path, line }, self.config)
    }
}

fn is_section(name: &str) -> bool {
    keys().any(|key| key.split().0 == name)
}

/// Counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}
