//! Each baseline returns what it is sent, in pieces and in bulk, and goes on after a connection that ends half way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn echoes(executable: &str) {
    let mut child = Command::new(executable)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let _running = Running(child);
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    };
    connect().write_all(b"half a mess").unwrap();
    let (mut one, mut other) = (connect(), connect());
    for round in 0..3_u8 {
        let message = [round; 7];
        one.write_all(&message).unwrap();
        let mut back = [0xFF; 7];
        one.read_exact(&mut back).unwrap();
        assert_eq!(back, message);
    }
    let bulk = (0..1_000_000_u32)
        .map(|at| (at % 251) as u8)
        .collect::<Vec<_>>();
    let sent = bulk.clone();
    let mut writer = other.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut back = vec![0; bulk.len()];
    other.read_exact(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == bulk);
}

#[test]
fn tokio() {
    echoes(env!("CARGO_BIN_EXE_baseline-tokio"));
}

#[test]
fn monoio() {
    echoes(env!("CARGO_BIN_EXE_baseline-monoio"));
}

#[test]
fn tokio_uring() {
    echoes(env!("CARGO_BIN_EXE_baseline-tokio-uring"));
}

#[test]
fn epoll() {
    echoes(env!("CARGO_BIN_EXE_baseline-epoll"));
}

#[test]
fn a_bad_address_is_refused_in_words() {
    let output = Command::new(env!("CARGO_BIN_EXE_baseline-epoll"))
        .arg("nowhere")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not an address"));
}
