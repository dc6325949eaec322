//! The generator against servers that are not ours. What this machine lacks is skipped, and said.

use crate::{PATIENT, figures, number};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// A port below those that the kernel gives out, free a moment ago.
fn port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let mut ports = first..32_000;
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free port")
}

/// Whether a shell can run this.
#[expect(
    clippy::print_stdout,
    reason = "the gate counts what is skipped by this line"
)]
fn runs(command: &str) -> bool {
    let run = Command::new("sh").args(["-c", command]).output();
    let runs = run.is_ok_and(|run| run.status.success());
    if !runs {
        println!("skipped: `{command}` does not run on this machine");
    }
    runs
}

/// Idle clients with a heartbeat each second, and messages that come back.
fn holds(protocol: &str, flags: &[&str], port: u16, command: &str) {
    let target = format!("127.0.0.1:{port}");
    let server = ["--target", &target, "--start", command];
    let load = ["--connections", "300", "--hold", "3", "--heartbeat", "1"];
    let messages = ["--messages", "200", "--rate", "200"];
    let protocol = ["--protocol", protocol];
    let flags = [flags, &protocol, &server, &load, &messages, &PATIENT].concat();
    let figures = figures("idle", &flags);
    assert_eq!(number(&figures, "/connections"), 300.0);
    assert_eq!(number(&figures, "/dropped"), 0.0);
    assert_eq!(number(&figures, "/messages/delivered"), 200.0);
    // A storm ended some of them; what was answered is of the hold.
    assert!(number(&figures, "/held/heartbeats") >= 300.0, "{figures}");
    assert!(number(&figures, "/memory/standing_bytes") > 0.0);
}

#[test]
fn a_server_that_echoes() {
    let port = port();
    let program = env!("CARGO_BIN_EXE_millpond");
    let command = format!("exec {program} bench raw-echo-server --listen 127.0.0.1:{port}");
    holds("raw", &[], port, &command);
}

#[test]
fn a_broker_of_mqtt() {
    let path = "PATH=$PATH:/usr/sbin";
    if !runs(&format!("{path} command -v mosquitto")) {
        return;
    }
    for qos in ["0", "1"] {
        let port = port();
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nlog_type error\n");
        std::fs::write(&config, text).expect("a file in it");
        let command = format!("{path} exec mosquitto -c {}", config.display());
        holds("mqtt", &["--qos", qos], port, &command);
    }
}

#[test]
fn a_websocket_server() {
    if !runs("/usr/bin/python3 -c 'import websockets'") {
        return;
    }
    let port = port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/websocket_echo.py");
    let command = format!("exec /usr/bin/python3 {} {port}", script.display());
    holds("websocket", &["--path", "/echo"], port, &command);
    let port = self::port();
    let command = format!("exec /usr/bin/python3 {} {port}", script.display());
    let first = ["--first-message", "{\"connect\":{}}"];
    holds("websocket", &first, port, &command);
}
