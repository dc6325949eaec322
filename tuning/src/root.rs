//! The one door to /proc, /sys and /etc: small files, read whole, below a root that a test can make up.

use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// No file read here is larger on a machine that works; one that is cannot be what it should be.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The folder that stands for `/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root(PathBuf);

/// A fact, or why there is none.
pub type Reading<T> = Result<T, Unknown>;

/// A fact that could not be had.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
#[error("{file}: {why}")]
pub struct Unknown {
    /// As it is called on the machine, whatever the root.
    pub file: String,
    pub why: Why,
}

/// Why a fact could not be had.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is no such file: this kernel has no such parameter, or this namespace does not show it.
    Missing,
    /// The file is there and the system refuses it.
    Unreadable(String),
    /// The file says something else than it should.
    Malformed(String),
}

impl Default for Root {
    fn default() -> Self {
        Self(PathBuf::from("/"))
    }
}

impl Root {
    /// A folder that holds `proc/`, `sys/` and `etc/`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where a file of the machine is. `file` is absolute, as in `/proc/meminfo`.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file.trim_start_matches('/'))
    }

    /// A whole file as text, without the white space at its ends.
    pub fn text(&self, file: &str) -> Reading<String> {
        let unknown = |why| Unknown {
            file: file.to_owned(),
            why,
        };
        let bytes = bytes(&self.path(file)).map_err(|error| unknown(Why::of(&error)))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let what = format!("longer than {FILE_BYTES_MAX} bytes");
            return Err(unknown(Why::Malformed(what)));
        }
        let text =
            String::from_utf8(bytes).map_err(|_| unknown(Why::Malformed("not text".to_owned())))?;
        Ok(text.trim().to_owned())
    }

    /// A file that holds one number and nothing else.
    pub fn number(&self, file: &str) -> Reading<u64> {
        let text = self.text(file)?;
        parse(file, &text, &text)
    }

    /// A file that holds exactly `N` numbers.
    pub fn numbers<const N: usize>(&self, file: &str) -> Reading<[u64; N]> {
        let text = self.text(file)?;
        let numbers: Result<Vec<u64>, Unknown> = text
            .split_whitespace()
            .map(|word| parse(file, &text, word))
            .collect();
        numbers?
            .try_into()
            .map_err(|_| malformed(file, &format!("{N} numbers"), &text))
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One word of a file as a number, or what stands there instead.
pub(crate) fn parse<T: FromStr>(file: &str, text: &str, word: &str) -> Reading<T> {
    word.parse().map_err(|_| malformed(file, "a number", text))
}

pub(crate) fn malformed(file: &str, wanted: &str, found: &str) -> Unknown {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = found.chars().take(SHOWN_MAX).collect();
    if shown.len() < found.len() {
        shown.push('…');
    }
    let why = format!("wanted {wanted}, found {shown:?}");
    Unknown {
        file: file.to_owned(),
        why: Why::Malformed(why),
    }
}

impl Unknown {
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.why == Why::Missing
    }
}

impl Why {
    pub(crate) fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Missing;
        }
        Self::Unreadable(error.to_string())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("not there"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Malformed(why) => f.write_str(why),
        }
    }
}
