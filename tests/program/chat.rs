//! Two people, each with a pipe instead of a terminal.

use crate::process::{Running, millpond, run, said};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

fn arguments<'a>(data: &'a Path, server: &'a str, me: &'a str, to: &'a str) -> [&'a str; 9] {
    let data = data.to_str().expect("a path of text");
    [
        "chat", "--as", me, "--to", to, "--server", server, "--data", data,
    ]
}

/// A whole run of `chat` over this input.
fn pipe(data: &Path, server: &str, me: &str, to: &str, input: &[u8]) -> (i32, String, String) {
    let mut command = millpond(&arguments(data, server, me, to));
    let command = command
        .args(["--wait", "15s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be run");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(input)
        .expect("it reads its input");
    said(child.wait_with_output().expect("it ends"))
}

#[test]
fn a_file_is_sent_line_by_line_and_read_at_the_other_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    let (code, output, error) = pipe(
        folder.path(),
        &address,
        "1",
        "2",
        b"one\n\ntwo\r\n\x1b[31mthree",
    );
    assert_eq!((code, error.as_str()), (0, ""), "{output}");
    let sent = output.lines().filter(|line| line.starts_with("✓ "));
    assert_eq!(sent.collect::<Vec<_>>(), ["✓ 1", "✓ 2", "✓ 3"]);

    let two = Running::start(&arguments(folder.path(), &address, "2", "1"));
    for line in ["1: one", "1: two", "1: [31mthree"] {
        assert_eq!(two.line(), line);
    }
}

#[test]
fn ticks_and_history_over_a_crash_of_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, address) = Running::serve(folder.path());
    let mut one = Running::start(&arguments(folder.path(), &address, "1", "2"));
    let mut two = Running::start(&arguments(folder.path(), &address, "2", "1"));
    one.types("are you there?");
    one.wait_for("✓ 1");
    two.wait_for("1: are you there?");
    one.wait_for("✓✓ read 1");
    two.types("yes");
    one.wait_for("2: yes");

    server.signal("KILL");
    drop(server);
    one.types("still there?");
    let (_server, _) = Running::serve_on(folder.path(), &address);
    two.wait_for("1: still there?");
    one.wait_for("✓✓ read 3");
    for person in [&mut one, &mut two] {
        person.hangs_up();
        assert_eq!(person.ends(), 0);
    }
    let again = Running::start(&arguments(folder.path(), &address, "1", "2"));
    let history: Vec<String> = (0..3).map(|_| again.line()).collect();
    let texts: Vec<&str> = history
        .iter()
        .map(|line| line.trim_end_matches([' ', '✓']))
        .collect();
    assert_eq!(texts, ["1: are you there?", "2: yes", "1: still there?"]);
}

#[test]
fn what_cannot_be_sent_shows_in_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    let too_long = [&vec![b'x'; 70_000][..], b"\nfits\n"].concat();
    let (code, output, error) = pipe(folder.path(), &address, "1", "2", &too_long);
    assert!(
        code == 1 && error.contains("1 lines were not sent"),
        "{error}"
    );
    assert!(output.contains("✓ 1"), "{output}");

    // Well made, but signed with another secret: only the server can tell.
    let token = token_of(&["--user", "3"]);
    let mut command = millpond(&arguments(folder.path(), &address, "3", "2"));
    let refused = command
        .args(["--token", &token])
        .env("HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut refused = refused.spawn().expect("the program can be run");
    let kept_open = refused.stdin.take();
    assert_eq!(refused.wait().expect("it ends").code(), Some(1));
    drop(kept_open);
}

/// A token signed with a secret that no server has.
fn token_of(claims: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "ab".repeat(32)).expect("written");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&secret, mode).expect("ours");
    let data = folder.path().to_str().expect("a path of text");
    let (code, token, error) = run(&[&["token", "--data", data], claims].concat());
    assert_eq!(code, 0, "{error}");
    token.trim_end().to_owned()
}

#[test]
fn a_token_of_somebody_else_or_another_device_sends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    let data = folder.path().to_str().expect("a path of text");
    let (_, fourth, _) = run(&["token", "--user", "4", "--data", data]);
    let device = token_of(&["--user", "3", "--device", "5"]);
    for (token, more, wanted) in [
        (fourth.trim_end(), &[][..], "of user 4, but --as says 3"),
        (&device, &[], "for device 5 only; write: --device 5"),
        (&device, &["--device", "6"], "but --device says 6"),
        ("not.a.token", &[], "wanted a JWT"),
    ] {
        let mut command = millpond(&arguments(folder.path(), &address, "3", "4"));
        let child = command
            .args(["--token", token])
            .args(more)
            .env("HOME", folder.path())
            .stdin(Stdio::null());
        let (code, output, error) = said(child.output().expect("the program can be run"));
        assert!(code == 2 && error.contains(wanted), "{code} {error}");
        assert!(
            output.is_empty() && !error.contains(token),
            "{output}{error}"
        );
    }
}

#[test]
fn one_chat_is_open_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    let mut first = Running::start(&arguments(folder.path(), &address, "1", "2"));
    first.types("here");
    first.wait_for("✓ 1");
    let (code, _, error) = pipe(folder.path(), &address, "1", "2", b"");
    assert!(
        code == 1 && error.contains("already open in another terminal"),
        "{error}"
    );
}

/// A server whose one client is connected and stopped: it neither leaves nor reads.
fn with_a_hanging_client(folder: &Path, more: &[&str]) -> (Running, Running) {
    let (server, address) = Running::serve_with(folder, "127.0.0.1:0", more);
    let mut client = Running::start(&arguments(folder, &address, "1", "2"));
    client.types("here");
    client.wait_for("✓ 1");
    client.signal("STOP");
    (server, client)
}

#[test]
fn a_client_that_hangs_does_not_hold_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let quick = [
        "--set",
        "drain.spread=300ms",
        "--set",
        "gateway.drain_flush=300ms",
    ];
    let (mut server, _client) = with_a_hanging_client(folder.path(), &quick);
    server.signal("TERM");
    assert_eq!(server.ends(), 0);
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = ["--set", "drain.spread=300s", "--set", "drain.timeout=600s"];
    let (mut server, _client) = with_a_hanging_client(folder.path(), &slow);
    server.signal("TERM");
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.signal("TERM");
    assert_eq!(server.ends(), 130);
}
