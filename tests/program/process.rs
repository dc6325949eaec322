//! The built program as a child process.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The longest that anything here may take.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// With an environment in which no setting comes from whoever runs the tests.
pub(crate) fn millpond(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("MILLPOND_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs to the end: exit code, standard output, standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    said(
        millpond(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program can be run"),
    )
}

pub(crate) fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A child whose standard output is read as it comes; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = millpond(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be run");
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self {
            input: child.stdin.take(),
            child,
            lines,
        }
    }

    /// A server on free ports, and where it listens.
    pub(crate) fn serve(data: &Path) -> (Self, String) {
        Self::serve_on(data, "127.0.0.1:0")
    }

    pub(crate) fn serve_on(data: &Path, listen: &str) -> (Self, String) {
        Self::serve_with(data, listen, &[])
    }

    pub(crate) fn serve_with(data: &Path, listen: &str, more: &[&str]) -> (Self, String) {
        let data = data.to_str().expect("a path of text");
        let own = [
            "serve",
            "--data",
            data,
            "--listen",
            listen,
            "--admin",
            "127.0.0.1:0",
            "--shards",
            "1",
        ];
        let server = Self::start(&[&own[..], more].concat());
        let line = server.line();
        let address = line
            .strip_prefix("listening on ")
            .expect("the first line says where");
        let address = address.to_owned();
        assert!(server.line().starts_with("admin on 127.0.0.1:"));
        (server, address)
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(BOUND).expect("a line of output")
    }

    /// The next line, if one comes so soon.
    pub(crate) fn line_within(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Reads on until this line comes.
    pub(crate) fn wait_for(&self, wanted: &str) {
        let deadline = Instant::now() + BOUND;
        let mut seen = Vec::new();
        while Instant::now() < deadline {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) if line == wanted => return,
                Ok(line) => seen.push(line),
                Err(_) => {}
            }
        }
        panic!("no line \"{wanted}\" in {seen:?}");
    }

    pub(crate) fn types(&mut self, line: &str) {
        let input = self.input.as_mut().expect("still open");
        writeln!(input, "{line}").expect("it reads its input");
    }

    /// Ends its input.
    pub(crate) fn hangs_up(&mut self) {
        self.input = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// Its exit code; -1 for a signal.
    pub(crate) fn ends(&mut self) -> i32 {
        let deadline = Instant::now() + BOUND;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
