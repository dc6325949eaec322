//! The server under load: a child process of our own, or one that somebody named. A child is stopped by its own id:
//! SIGTERM, then after a bound SIGKILL, also when the run fails half way.

use crate::args::{Clients, Common, Waiting};
use crate::cpu::{self, family, process_cpu_ns};
use crate::memory::anonymous_bytes;
use crate::program::Program;
use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is loaded, and what of it can be observed from here.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Where its metrics are.
    pub(crate) admin: Option<SocketAddr>,
    /// For CPU time and system calls.
    pub(crate) pid: Option<Pid>,
    /// Where its signing secret is.
    pub(crate) data: Option<PathBuf>,
    _child: Option<Running>,
}

const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(15);
/// Of one try, on this machine or near it.
const CONNECT_MAX: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

impl Target {
    /// The server's own memory, all its processes together: see [`anonymous_bytes`]. `None` where no process is known, or
    /// it has ended.
    pub(crate) fn own_bytes(&self) -> Option<u64> {
        let of_each = family(self.pid?).into_iter().map(anonymous_bytes);
        // One may end between the listing and the reading.
        of_each.filter_map(Result::ok).reduce(|sum, one| sum + one)
    }

    /// Nanoseconds that the server has run, all its processes together; `None` as above.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        let of_each = family(self.pid?).into_iter().map(process_cpu_ns);
        of_each.filter_map(Result::ok).reduce(|sum, one| sum + one)
    }

    /// The server that the command line named.
    pub(crate) fn given(common: &Common, address: SocketAddr) -> anyhow::Result<Self> {
        loopback_or_allowed(address, common.allow_remote)?;
        Ok(Self {
            address,
            admin: common.target_admin,
            pid: common.target_pid.and_then(Pid::from_raw),
            data: common.target_data.clone(),
            _child: None,
        })
    }

    /// A `millpond serve` of this executable with an empty data folder, on ports of the kernel's choice.
    pub(crate) fn serve(
        program: &Program,
        core: Option<usize>,
        durability: &str,
    ) -> anyhow::Result<Self> {
        let settings = [("MILLPOND_DURABILITY", durability.to_owned())];
        Self::start_serve(program, core, &["--shards", "1"], &settings)
    }

    fn start_serve(
        program: &Program,
        core: Option<usize>,
        arguments: &[&str],
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let folder = temporary_folder(None)?;
        let data = folder.path().join("data");
        let mut command = Command::new(&program.executable);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--end-with-parent")
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .envs(settings.iter().map(|(name, value)| (name, value)));
        let mut running = Running::start(command, core, folder)?;
        let address = running.wait_for("listening on ")?;
        let admin = running.wait_for("admin on ")?;
        Ok(Self {
            address,
            admin: Some(admin),
            pid: Some(running.pid()),
            data: Some(data),
            _child: Some(running),
        })
    }

    /// The one that `clients` want: named, started by their command, or one of ours.
    /// `beside`: connections that come beside those.
    pub(crate) fn wanted(
        program: &Program,
        clients: &Clients,
        beside: u32,
    ) -> anyhow::Result<Self> {
        let Some(address) = clients.target else {
            return Self::serve_all(program, clients.connections + beside, clients.heartbeat);
        };
        loopback_or_allowed(address, clients.allow_remote)?;
        let (pid, child) = match &clients.start {
            Some(command) => {
                let running = Running::by_shell(command, address)?;
                (Some(running.pid()), Some(running))
            }
            None => (clients.target_pid.and_then(Pid::from_raw), None),
        };
        Ok(Self {
            address,
            admin: clients.target_admin,
            pid,
            data: clients.target_data.clone(),
            _child: child,
        })
    }

    /// A `millpond serve` with a shard for every core, that holds so many connections, and gives its clients this many
    /// seconds between heartbeats.
    fn serve_all(
        program: &Program,
        connections: u32,
        heartbeat_s: Option<u32>,
    ) -> anyhow::Result<Self> {
        let mut settings = vec![(
            "MILLPOND_GATEWAY_CONNECTIONS_MAX",
            connections.clamp(1_000, 1_000_000).to_string(),
        )];
        settings.extend(heartbeat_s.map(|s| ("MILLPOND_GATEWAY_PING_IDLE", format!("{s}s"))));
        Self::start_serve(program, None, &["--shards", "auto"], &settings)
    }

    /// A server that accepts and does nothing.
    pub(crate) fn bare(
        program: &Program,
        connections: u32,
        waiting: Waiting,
    ) -> anyhow::Result<Self> {
        let folder = temporary_folder(None)?;
        let mut command = Command::new(&program.executable);
        let connections = connections.to_string();
        command.args(["bench", "bare-server", "--connections", &connections]);
        command.args(["--waiting", waiting.name()]);
        let mut running = Running::start(command, None, folder)?;
        let address = running.wait_for("listening on ")?;
        Ok(Self {
            address,
            admin: None,
            pid: Some(running.pid()),
            data: None,
            _child: Some(running),
        })
    }

    /// The raw echo server of this executable.
    pub(crate) fn raw_echo(program: &Program, core: Option<usize>) -> anyhow::Result<Self> {
        let mut command = Command::new(&program.executable);
        command.args(["bench", "raw-echo-server"]);
        Self::echo(command, core)
    }

    fn echo(command: Command, core: Option<usize>) -> anyhow::Result<Self> {
        let folder = temporary_folder(None)?;
        let mut running = Running::start(command, core, folder)?;
        let address = running.wait_for("listening on ")?;
        Ok(Self {
            address,
            admin: None,
            pid: Some(running.pid()),
            data: None,
            _child: Some(running),
        })
    }

    /// A baseline: takes where to listen, says when it does.
    pub(crate) fn baseline(executable: &Path, core: Option<usize>) -> anyhow::Result<Self> {
        let mut command = Command::new(executable);
        command.arg("127.0.0.1:0");
        Self::echo(command, core)
    }

    /// A server inside this process.
    #[cfg(test)]
    pub(crate) fn inside(address: SocketAddr) -> Self {
        Self {
            address,
            admin: None,
            pid: Some(rustix::process::getpid()),
            data: None,
            _child: None,
        }
    }
}

fn loopback_or_allowed(address: SocketAddr, allowed: bool) -> anyhow::Result<()> {
    ensure!(
        allowed || address.ip().is_loopback(),
        "{address} is not on this machine: load only what is yours, and say --allow-remote"
    );
    Ok(())
}

/// A folder that goes away with its name: inside `place`, or where the system keeps such (`TMPDIR` chooses).
pub fn temporary_folder(place: Option<&Path>) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("millpond-bench-");
    let folder = match place {
        Some(place) => builder.tempdir_in(place),
        None => builder.tempdir(),
    };
    folder.context("making a folder")
}

/// A child process, its folder, and what it says there.
#[derive(Debug)]
struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    /// In a process group of its own: an interrupt at the terminal is for us, who then stop it in order.
    fn start(command: Command, core: Option<usize>, folder: TempDir) -> anyhow::Result<Self> {
        let place = folder.path().to_owned();
        Self::start_in(command, core, folder, Some(place))
    }

    /// In this place, or where we are.
    fn start_in(
        mut command: Command,
        core: Option<usize>,
        folder: TempDir,
        place: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let said = File::create(folder.path().join(SAID)).context("making a log file")?;
        if let Some(place) = place {
            command.current_dir(place);
        }
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .process_group(0);
        let child = cpu::pinned_to(core, || command.spawn())?
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        Ok(Self { child, folder })
    }

    /// By the shell, with as many open files as it may have, so that these do not bound what is measured.
    fn by_shell(command: &str, address: SocketAddr) -> anyhow::Result<Self> {
        ensure!(
            TcpStream::connect_timeout(&address, CONNECT_MAX).is_err(),
            "something takes connections at {address} before the server is started"
        );
        crate::files::allow_all()?;
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        let folder = temporary_folder(None)?;
        let mut running = Self::start_in(shell, None, folder, None)?;
        let start = Instant::now();
        while TcpStream::connect_timeout(&address, CONNECT_MAX).is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!(
                    "`{command}` ended at once ({status}); it said:\n{}",
                    running.said()
                );
            }
            ensure!(
                start.elapsed() < START_MAX,
                "`{command}` takes no connections at {address} within {START_MAX:?}; it said:\n{}",
                running.said()
            );
            std::thread::sleep(POLL);
        }
        Ok(running)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The address behind `words` in what the child says.
    fn wait_for(&mut self, words: &str) -> anyhow::Result<SocketAddr> {
        let start = Instant::now();
        while start.elapsed() < START_MAX {
            let said = self.said();
            if let Some(address) = address_behind(&said, words) {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status}); it said:\n{said}");
            }
            std::thread::sleep(POLL);
        }
        bail!(
            "the server did not say `{words}…` within {START_MAX:?}; it said:\n{}",
            self.said()
        )
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join(SAID)).unwrap_or_default()
    }

    fn ended_within(&mut self, bound: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < bound {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

const SAID: &str = "said.txt";

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        // All of its group: a shell may have started more than one.
        let _asked = kill_process_group(self.pid(), Signal::TERM);
        let ended = self.ended_within(STOP_MAX);
        if !ended || test_kill_process_group(self.pid()).is_ok() {
            let _killed = kill_process_group(self.pid(), Signal::KILL);
            let _reaped = self.child.wait();
        }
    }
}

/// The first address that follows `words` on a line that has ended.
fn address_behind(said: &str, words: &str) -> Option<SocketAddr> {
    let whole = &said[..=said.rfind('\n')?];
    let addresses = whole.split(words).skip(1);
    addresses.filter_map(leading_address).next()
}

fn leading_address(text: &str) -> Option<SocketAddr> {
    let end = text
        .find(|letter: char| letter.is_whitespace() || letter == ',' || letter == ';')
        .unwrap_or(text.len());
    text[..end]
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .ok()
}

/// The type of the file system that `path` lies on: a sync costs nothing where there is no disk.
pub fn file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    });
    mounts
        .filter(|(place, _)| path.starts_with(place))
        .max_by_key(|(place, _)| place.len())
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_whole_lines_only() {
        let said = "budget: 3 MiB\nlistening on 127.0.0.1:4711 (1 shard)\nadmin on http://127.0.0.1:80/\nlistening on 127";
        assert_eq!(
            address_behind(said, "listening on "),
            Some("127.0.0.1:4711".parse().unwrap())
        );
        assert_eq!(
            address_behind(said, "admin on "),
            Some("127.0.0.1:80".parse().unwrap())
        );
        assert_eq!(
            address_behind("listening on 127.0.0.1:4711", "listening on "),
            None
        );
    }

    #[test]
    fn a_child_that_ends_at_once_is_quoted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo the disk is full; exit 3"]);
        let mut running = Running::start(command, None, tempfile::tempdir().unwrap()).unwrap();
        let error = running.wait_for("listening on ").unwrap_err().to_string();
        assert!(error.contains("the disk is full"), "{error}");
    }

    #[test]
    fn the_file_system_of_a_folder_is_known() {
        assert_eq!(
            file_system(Path::new("/proc/self")).as_deref(),
            Some("proc")
        );
    }
}
