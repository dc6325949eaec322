//! A server of our own as a child process.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running `millpond serve`, `gateway` or `router`; dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where clients connect; of a router, which has none, the admin address.
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    program: PathBuf,
    data: PathBuf,
}

const START_MAX: Duration = Duration::from_secs(20);

impl Server {
    /// Starts `program`, a built `millpond`, over `data`, and returns once it listens at `listen`: port 0 for a free one,
    /// or where clients find it again after a restart.
    ///
    /// # Errors
    /// How it ended, when it does not start.
    pub fn start(
        program: &Path,
        data: &Path,
        listen: &str,
        arguments: &[&str],
    ) -> Result<Self, String> {
        Self::start_as("serve", program, data, listen, arguments)
    }

    /// The same for another `command` of the program.
    ///
    /// # Errors
    /// How it ended, when it does not start.
    pub fn start_as(
        command: &str,
        program: &Path,
        data: &Path,
        listen: &str,
        arguments: &[&str],
    ) -> Result<Self, String> {
        let mut child = Command::new(program)
            .args([command, "--listen", listen])
            .args(["--admin", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log())
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut listening, mut admin) = (None, None);
        while (listening.is_none() && command != "router") || admin.is_none() {
            let Some(Ok(line)) = lines.next() else {
                let status = child.wait().expect("a child can be waited for");
                return Err(format!("the server ended at start: {status}"));
            };
            listening = address_in(&line, "listening on ").or(listening);
            admin = address_in(&line, "admin on ").or(admin);
        }
        std::thread::spawn(move || lines.for_each(drop));
        let admin = admin.expect("seen");
        let listen = listening.unwrap_or(admin);
        Ok(Self {
            child,
            listen,
            admin,
            program: program.to_owned(),
            data: data.to_owned(),
        })
    }

    /// A token of this server's own issuer.
    pub fn token(&self, user: u64) -> Vec<u8> {
        let output = Command::new(&self.program)
            .args(["token", "--user", &user.to_string(), "--data"])
            .arg(&self.data)
            .output()
            .expect("the program can be run");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout.trim_ascii().to_vec()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// SIGSTOP: from now on no thread of it runs, until it is thawed or killed.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: it goes on after [`Server::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).expect("our own child can be signalled");
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(self, bound: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ends_by_itself(bound)
    }

    /// Waits until it ends without being told to, and how it ended.
    pub fn ends_by_itself(mut self, bound: Duration) -> ExitStatus {
        let deadline = Instant::now() + bound;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server did not stop within {bound:?}");
    }

    /// Whether the process still runs.
    pub fn lives(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_none()
    }

    /// The value of one metric, summed over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics");
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let named = lines.filter(|line| line.split(['{', ' ']).next() == Some(name));
        named
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// A page of the admin address, head and body.
    pub fn page(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let mut stream =
            std::net::TcpStream::connect(self.admin).expect("the admin address answers");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("written");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("read");
        page
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("alive");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("always there");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What servers say is shown where `MILLPOND_TEST_LOG` is set.
fn log() -> Stdio {
    if std::env::var_os("MILLPOND_TEST_LOG").is_some() {
        Stdio::inherit()
    } else {
        Stdio::null()
    }
}

fn address_in(line: &str, prefix: &str) -> Option<SocketAddr> {
    line.split(prefix)
        .nth(1)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(START_MAX, what, condition);
}

pub fn eventually_within(bound: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + bound;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
