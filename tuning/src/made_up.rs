//! Machines made of files, for tests.

use crate::Root;
use std::fs;
use tempfile::TempDir;

/// The folder lives as long as the first half.
pub(crate) fn machine(files: &[(&str, &[u8])]) -> (TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::at(folder.path());
    for (file, bytes) in files {
        let path = root.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    (folder, root)
}
