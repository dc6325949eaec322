//! What came while nobody was there: all of it is shown, once and in order, and nothing else counts as read.

use crate::process::{BOUND, Running, millpond, said};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn chat<'a>(data: &'a Path, server: &'a str, me: &'a str, to: &'a str) -> Vec<&'a str> {
    let data = data.to_str().expect("a path of text");
    vec![
        "chat", "--as", me, "--to", to, "--server", server, "--data", data,
    ]
}

/// User 1 sends these lines to user 2, all acknowledged.
fn send(data: &Path, server: &str, lines: &str) {
    let mut child = millpond(&chat(data, server, "1", "2"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be run");
    let mut input = child.stdin.take().expect("piped");
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let (code, _, error) = said(child.wait_with_output().expect("it ends"));
    assert_eq!((code, error.as_str()), (0, ""));
    writer.join().expect("no panic").expect("it reads all");
}

fn numbered(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.fold(String::new(), |mut text, number| {
        writeln!(text, "line {number}").expect("a String takes every write");
        text
    })
}

fn expect_numbered(reader: &Running, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        assert_eq!(reader.line(), format!("1: line {number}"));
    }
}

fn leave(mut reader: Running) {
    assert_eq!(reader.line_within(Duration::from_millis(300)), None);
    reader.hangs_up();
    assert_eq!(reader.ends(), 0);
}

#[test]
fn however_many_came_each_is_shown_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    let reads = || Running::start(&chat(folder.path(), &address, "2", "1"));
    send(folder.path(), &address, &numbered(1..=30));
    let first = reads();
    expect_numbered(&first, 1..=30);
    leave(first);
    send(folder.path(), &address, &numbered(31..=1_530));
    let second = reads();
    // Twenty older ones, then all that is new.
    expect_numbered(&second, 11..=1_530);
    leave(second);
    let third = reads();
    expect_numbered(&third, 1_511..=1_530);
    leave(third);
}

#[test]
fn long_lines_take_as_many_pages_as_they_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    let long = |number: u32| format!("{number}{}", "x".repeat(60_000));
    let lines: String = (1..=6).map(|number| long(number) + "\n").collect();
    send(folder.path(), &address, &lines);
    for run in ["new", "history"] {
        let reader = Running::start(&chat(folder.path(), &address, "2", "1"));
        for number in 1..=6 {
            assert!(
                reader.line() == format!("1: {}", long(number)),
                "{run} {number}"
            );
        }
        leave(reader);
    }
}

/// A reader that is stopped in the middle has read what it printed; the rest comes next time.
#[test]
fn only_what_was_printed_counts_as_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    // More than a pipe holds, so that printing stops while nobody reads.
    let long = "y".repeat(1_000);
    let lines: String = (1..=600)
        .map(|number| format!("{number} {long}\n"))
        .collect();
    send(folder.path(), &address, &lines);
    let mut unread = millpond(&chat(folder.path(), &address, "2", "1"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program can be run");
    std::thread::sleep(Duration::from_secs(2));
    unread.kill().expect("our own child");
    let output = unread.wait_with_output().expect("killed").stdout;
    let printed = output.iter().filter(|byte| **byte == b'\n').count();
    assert!((1..600).contains(&printed), "{printed}");

    let mut sender = Running::start(&chat(folder.path(), &address, "1", "2"));
    sender.types("last");
    sender.wait_for("✓ 601");
    let reader = Running::start(&chat(folder.path(), &address, "2", "1"));
    let first = reader.line();
    let number = first
        .strip_prefix("1: ")
        .and_then(|line| line.split(' ').next());
    let number: usize = number
        .and_then(|number| number.parse().ok())
        .expect("a number");
    assert!(
        number <= printed + 1,
        "{printed} were printed, then came {number}"
    );
    for number in number + 1..=600 {
        assert!(
            reader.line().starts_with(&format!("1: {number} ")),
            "{number}"
        );
    }
    assert_eq!(reader.line(), "1: last");
    sender.wait_for("✓✓ read 601");
    leave(reader);
}

#[test]
fn a_line_kept_by_an_earlier_run_is_shown_when_it_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, address) = Running::serve(folder.path());
    send(folder.path(), &address, "before\n");
    server.signal("KILL");
    drop(server);
    let mut command = millpond(&chat(folder.path(), &address, "1", "2"));
    let mut child = command
        .args(["--wait", "300ms"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be run");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"kept\n").expect("it reads its input");
    drop(input);
    let (code, _, error) = said(child.wait_with_output().expect("it ends"));
    assert!(
        code == 1 && error.contains("1 lines are not acknowledged"),
        "{error}"
    );

    let (_server, address) = Running::serve_on(folder.path(), &address);
    let again = Running::start(&chat(folder.path(), &address, "1", "2"));
    assert!(again.line().starts_with("1: before ✓"));
    assert!(again.line().starts_with("1: kept ✓"));
    assert_eq!(again.line_within(BOUND / 60), None);
}
