//! A disk whose power can be cut: ext4 on a loop-mounted image, and the file system's own shutdown ioctl. From the cut on
//! every write fails, and after the next mount only what was synced is there.

use crate::server::Server;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
    _folder: tempfile::TempDir,
}

/// Why this machine cannot do it.
#[derive(Debug)]
struct Unable(String);

/// `_IOR('X', 125, u32)` of Linux' ext4, and its flag for "do not even flush the journal".
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
static NO_LOG_FLUSH: u32 = 2;

impl Disk {
    /// A fresh, mounted file system of this size; `None`, said aloud, where this machine cannot cut its power.
    pub fn create_or_skip(mebibytes: u64) -> Option<Self> {
        Self::create(mebibytes)
            .map_err(|Unable(why)| {
                // Past the test harness, which would swallow it: the gate counts these lines.
                let _ = writeln!(
                    std::io::stderr(),
                    "\nskipped: no power can be cut here: {why}"
                );
            })
            .ok()
    }

    fn create(mebibytes: u64) -> Result<Self, Unable> {
        let folder = tempfile::tempdir().map_err(|error| Unable(error.to_string()))?;
        let (image, mounted_at) = (folder.path().join("image"), folder.path().join("mounted"));
        std::fs::create_dir(&mounted_at).map_err(|error| Unable(error.to_string()))?;
        let file = std::fs::File::create(&image).map_err(|error| Unable(error.to_string()))?;
        file.set_len(mebibytes << 20)
            .map_err(|error| Unable(error.to_string()))?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()])?;
        let disk = Self {
            image,
            mounted_at,
            _folder: folder,
        };
        disk.mount()?;
        disk.try_cut()?;
        disk.restore();
        Ok(disk)
    }

    /// Where data may be kept.
    pub fn path(&self) -> &Path {
        &self.mounted_at
    }

    /// From now on every write fails, for good.
    pub fn fail(&self) {
        self.try_cut().expect("it was tried when the disk was made");
    }

    /// Cuts the power under `server`, and switches it on again: what was not synced at that moment is gone. The process
    /// is frozen first, so that it says nothing to anybody after the cut, as a real one could not.
    pub fn cut_under(&self, server: Server) {
        server.freeze();
        self.fail();
        server.kill();
        self.restore();
    }

    /// Mounts again what survived. Nobody may hold a file open any more.
    fn restore(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(Unable(why)) = self.unmount() {
            assert!(Instant::now() < deadline, "{why}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mount().expect("the same image was mounted before");
    }

    fn try_cut(&self) -> Result<(), Unable> {
        let root =
            std::fs::File::open(&self.mounted_at).map_err(|error| Unable(error.to_string()))?;
        #[expect(unsafe_code, reason = "there is no safe wrapper of this ioctl")]
        // SAFETY: the descriptor is open for the whole call, and the kernel only reads the flag during it.
        let result =
            unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const NO_LOG_FLUSH) };
        if result == 0 {
            return Ok(());
        }
        Err(Unable(format!(
            "EXT4_IOC_SHUTDOWN: {}",
            std::io::Error::last_os_error()
        )))
    }

    fn mount(&self) -> Result<(), Unable> {
        run(
            "mount",
            &[
                "-o".as_ref(),
                "loop".as_ref(),
                self.image.as_ref(),
                self.mounted_at.as_ref(),
            ],
        )
    }

    fn unmount(&self) -> Result<(), Unable> {
        run("umount", &[self.mounted_at.as_ref()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), Unable> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| Unable(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Unable(format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
