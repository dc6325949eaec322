//! The secret that signs and checks tokens: a file of hexadecimal text that only its owner may read.
//!
//! Made once, at the first start, and then never changed: every token of every client hangs on it. It must never be
//! printed or logged.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Key material for HS256: at least as long as its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

const BYTES: usize = 32;
const BYTES_MAX: usize = 1024;

impl Secret {
    /// The secret at `path`, made first if there is none.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        match Self::open(path) {
            Err(error) if is_missing(&error) => {
                create(path).with_context(|| format!("the secret {}", path.display()))?;
                Self::open(path)
            }
            other => other,
        }
    }

    /// The secret at `path`, refused when others could have read it.
    pub fn open(path: &Path) -> Result<Self> {
        read(path).with_context(|| format!("the secret {}", path.display()))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Whether there is no such file, as opposed to a bad one.
pub fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

fn read(path: &Path) -> Result<Secret> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "wanted a file, found something else");
    let mode = metadata.permissions().mode() & 0o777;
    ensure!(
        mode & 0o077 == 0,
        "wanted a file that only its owner may read, found mode {mode:03o}; type: chmod 600 {}",
        path.display()
    );
    let mut text = String::new();
    file.take(2 * BYTES_MAX as u64 + 2)
        .read_to_string(&mut text)?;
    parse(text.trim_ascii())
}

fn parse(text: &str) -> Result<Secret> {
    let Some(bytes) = from_hex(text) else {
        bail!("wanted hexadecimal digits in pairs, found something else");
    };
    ensure!(
        (BYTES..=BYTES_MAX).contains(&bytes.len()),
        "wanted {BYTES} to {BYTES_MAX} bytes (two hexadecimal digits each), found {}",
        bytes.len()
    );
    ensure!(
        bytes.iter().any(|byte| *byte != 0),
        "wanted bytes that nobody can guess, found only zeros; remove the file, and `millpond serve` makes a good one"
    );
    Ok(Secret(bytes))
}

/// Written whole under another name and linked into place: whoever finds the name finds a whole secret, and of two that
/// make one at once, one wins and the other uses it.
fn create(path: &Path) -> Result<()> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".secret-{}-{number}", std::process::id()));
    // Left by a process of the same id that died between the two lines below.
    let _ = std::fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{}", to_hex(&bytes))?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => File::open(folder)?.sync_all()?,
    }
    Ok(())
}

/// Sets the drafts of one process apart.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    }

    #[test]
    fn it_is_made_once_and_only_its_owner_may_read_it() {
        let folder = folder();
        let path = folder.path().join("secret");
        let first = Secret::open_or_create(&path).unwrap();
        assert_eq!(first.bytes().len(), BYTES);
        assert_eq!(Secret::open_or_create(&path).unwrap(), first);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "a draft was left"
        );
    }

    #[test]
    fn many_who_make_one_at_once_agree() {
        let folder = folder();
        let path = folder.path().join("secret");
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Secret::open_or_create(&path).unwrap()))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Secret>| thread.join().unwrap();
            threads.into_iter().map(join).collect()
        });
        assert!(made.iter().all(|secret| *secret == made[0]));
    }

    #[test]
    fn two_are_never_the_same() {
        let folder = folder();
        let secret = |name| Secret::open_or_create(&folder.path().join(name)).unwrap();
        assert_ne!(secret("a"), secret("b"));
    }

    #[test]
    fn one_that_others_may_read_is_refused() {
        let folder = folder();
        let path = folder.path().join("secret");
        for mode in [0o604, 0o640, 0o602, 0o660] {
            write(&path, &"ab".repeat(BYTES), mode);
            let error = format!("{:#}", Secret::open_or_create(&path).unwrap_err());
            assert!(error.contains(&format!("found mode {mode:03o}")), "{error}");
            assert!(error.contains("chmod 600 "), "{error}");
        }
    }

    #[test]
    fn bad_contents_are_refused() {
        let folder = folder();
        let path = folder.path().join("secret");
        for (text, wanted) in [
            (String::new(), "found 0"),
            ("ab".repeat(BYTES - 1), "found 31"),
            ("ab".repeat(BYTES_MAX + 1), "found 1025"),
            ("a".repeat(2 * BYTES + 1), "in pairs"),
            ("xy".repeat(BYTES), "hexadecimal"),
            ("00".repeat(BYTES), "only zeros"),
        ] {
            write(&path, &text, 0o600);
            let error = format!("{:#}", Secret::open_or_create(&path).unwrap_err());
            assert!(error.contains(wanted), "{error}");
        }
        write(&path, &format!("{}\n", "0f".repeat(BYTES)), 0o400);
        assert_eq!(Secret::open(&path).unwrap().bytes(), [0x0F; BYTES]);
        assert!(Secret::open_or_create(folder.path()).is_err());
    }

    #[test]
    fn it_does_not_print_itself() {
        let secret = Secret(vec![0xAB; BYTES]);
        assert_eq!(format!("{secret:?}"), "Secret(32 bytes)");
    }
}
