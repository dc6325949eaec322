//! Real Kafka, Cassandra and Redis beside a test, by `dev/backends`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Servers that run until this is dropped, or until the test ends in whatever way: they end with a pipe that it holds.
#[derive(Debug)]
pub struct Backends {
    child: Child,
    pipe: Option<ChildStdin>,
    addresses: HashMap<String, String>,
    state: tempfile::TempDir,
}

impl Backends {
    /// Starts these (`kafka`, `kafka3`, `redis`, `redis-cluster`, `cassandra`) and returns when all of them answer.
    ///
    /// # Errors
    /// What the script said, for example which program this machine lacks.
    pub fn start(names: &[&str]) -> Result<Self, String> {
        let state = tempfile::tempdir().expect("a folder can be made");
        let mut child = script("hold", names, state.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("dev/backends cannot be run: {error}"))?;
        let pipe = child.stdin.take();
        let said = BufReader::new(child.stdout.take().expect("piped"));
        let mut addresses = HashMap::new();
        for line in said.lines().map_while(Result::ok) {
            match line.split_once(' ') {
                Some((name, address)) => {
                    addresses.insert(name.to_owned(), address.to_owned());
                }
                None if line == "ready" => {
                    return Ok(Self {
                        child,
                        pipe,
                        addresses,
                        state,
                    });
                }
                None => {}
            }
        }
        let output = child.wait_with_output().expect("a child can be waited for");
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The same; where this machine lacks a program for it, the test says so and is skipped.
    ///
    /// # Panics
    /// When what it lacks is something else.
    pub fn start_or_skip(names: &[&str]) -> Option<Self> {
        Self::start(names).map_err(|said| skip(&said)).ok()
    }

    /// Where it answers: `host:port`, of several nodes with commas between.
    pub fn address(&self, name: &str) -> &str {
        &self.addresses[name]
    }

    /// Ends one of its servers by SIGKILL, named as `dev/backends status` names it (`kafka2`, `cassandra`). Its data stay.
    pub fn kill(&self, server: &str) {
        self.tell("kill", server);
    }

    /// Starts a killed one again, on its data and its ports. It does not answer yet when this returns.
    pub fn restart(&self, server: &str) {
        self.tell("restart", server);
    }

    /// The process of one of its servers, for signals.
    pub fn pid(&self, server: &str) -> i32 {
        let file = self.state.path().join("backends").join(server).join("pid");
        let text = std::fs::read_to_string(&file).expect("each server has a file of its process");
        let pid = text.split_whitespace().next();
        pid.and_then(|pid| pid.parse().ok())
            .expect("it begins with the process")
    }

    fn tell(&self, command: &str, server: &str) {
        let output = script(command, &[server], self.state.path()).output();
        let output = output.expect("dev/backends can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {server}: {said}");
    }
}

/// Says that a test is skipped, for what [`Backends::start`] said.
///
/// # Panics
/// When no program is missing.
pub fn skip(said: &str) {
    assert!(said.contains("found none"), "{said}");
    // Past the harness, which keeps what a test that passes prints to itself: the gate counts these lines.
    let _told = writeln!(std::io::stderr(), "\nskipped: {}", said.trim());
}

fn script(command: &str, names: &[&str], state: &Path) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/backends");
    let mut script = Command::new(script);
    script.arg(command).args(names).arg("--state");
    script.arg(state.join("backends"));
    script
}

impl Drop for Backends {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ended = self.child.wait();
    }
}
