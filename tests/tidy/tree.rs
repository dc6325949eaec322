//! The files of the repository, read once; or made up, for a rule's own test.

use std::fmt;
use std::path::Path;

#[derive(Debug)]
pub(crate) struct File {
    /// From the root of the repository, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn name(&self) -> &str {
        self.path
            .rsplit('/')
            .next()
            .expect("a split gives at least one part")
    }

    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

#[derive(Debug)]
pub(crate) struct Tree(Vec<File>);

/// Something that a rule does not want.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1; 0 for the file as a whole.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

impl Tree {
    /// Every file of the checkout that is text.
    pub(crate) fn real() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        read_folder(root, "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self(files)
    }

    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self(files.iter().map(file).collect())
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.is_rust())
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.0.iter().find(|file| file.path == path)
    }

    /// Folders of the workspace's members, without the root.
    pub(crate) fn members(&self) -> Vec<String> {
        let manifest = self.file("Cargo.toml").map_or("", |file| &file.text);
        let table: toml::Table = manifest.parse().expect("the root manifest is TOML");
        let members = table["workspace"]["members"].as_array().expect("a list");
        members
            .iter()
            .map(|member| member.as_str().expect("text").to_owned())
            .collect()
    }
}

/// Built things, other people's things, and results that are committed as they came.
const SKIPPED: [&str; 5] = ["target", ".git", "node_modules", "runs", "corpus"];

fn read_folder(root: &Path, at: &str, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(root.join(at)).expect("a folder of the checkout") {
        let entry = entry.expect("an entry");
        let name = entry
            .file_name()
            .into_string()
            .expect("file names are UTF-8");
        let path = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}/{name}")
        };
        let kind = entry.file_type().expect("it was just listed");
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) && !name.ends_with("-data") {
            read_folder(root, &path, files);
        } else if kind.is_file()
            && let Ok(text) = std::fs::read_to_string(root.join(&path))
        {
            files.push(File { path, text });
        }
    }
}
