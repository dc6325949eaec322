//! Flags, configuration, exit codes.

use crate::process::{BOUND, Running, run};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[test]
fn the_printed_configuration_is_read_back() {
    let (code, defaults, _) = run(&["config"]);
    assert_eq!(code, 0);
    assert!(
        defaults.contains("\nlisten = \"127.0.0.1:7400\"\n") && defaults.contains("\n[gateway]\n"),
        "{defaults}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("millpond.toml");
    std::fs::write(&file, &defaults).expect("written");
    let (code, again, _) = run(&["config", "--config", text(&file)]);
    assert_eq!((code, again), (0, defaults));
    let (_, changed, _) = run(&[
        "config",
        "--config",
        text(&file),
        "--set",
        "drain.spread=1s",
        "--shards",
        "3",
    ]);
    assert!(
        changed.contains("\nspread = \"1s\"\n") && changed.contains("\nshards = 3\n"),
        "{changed}"
    );
}

#[test]
fn what_is_wrong_ends_with_2_and_says_what_to_type() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("millpond.toml");
    std::fs::write(&file, "[gateway]\nping_activ = \"30s\"\n").expect("written");
    for (arguments, wanted) in [
        (
            vec!["serve", "--config", text(&file)],
            "millpond.toml:2: there is no key `gateway.ping_activ`, did you mean `gateway.ping_active`?",
        ),
        (
            vec!["serve", "--listen", "7400"],
            "--listen: wanted an IP address and a port, found \"7400\"",
        ),
        (vec!["serve", "--set", "shards"], "--set: wanted KEY=VALUE"),
        (vec!["serve", "--set", "gateway"], "--set: wanted KEY=VALUE"),
        (vec!["config", "--set", "="], "there is no key ``;"),
        (
            vec!["config", "--set", "gateway.inbox_window_max=8"],
            "--set gateway.inbox_window_max=256",
        ),
        (
            vec!["serve", "--durability", "fast"],
            "wanted \"sync\" or \"interval\" or \"os\"",
        ),
        (vec!["token", "--user", "alice"], "a user is a number"),
        (vec!["token", "--user", "1", "--ttl", "1w"], "such as 12h"),
        (vec!["chat", "--as", "1", "--to", "0"], "a user is a number"),
        (
            vec!["chat", "--as", "1", "--to", "2", "--server", "nonsense"],
            "wanted a host and a port",
        ),
        (
            vec!["chat", "--as", "1", "--to", "2", "--server", "127.0.0.1"],
            "wanted a host and a port",
        ),
    ] {
        let (code, _, error) = run(&arguments);
        assert!(error.contains(wanted), "{arguments:?}: {error}");
        assert_eq!(code, 2, "{arguments:?}");
    }
}

#[test]
fn a_token_needs_a_secret_that_nobody_else_can_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = text(folder.path());
    let (code, _, error) = run(&["token", "--user", "1", "--data", data]);
    assert!(
        code == 1 && error.contains("`millpond serve` makes it"),
        "{error}"
    );
    drop(Running::serve(folder.path()));
    let (code, token, _) = run(&["token", "--user", "1", "--data", data]);
    assert_eq!((code, token.trim_end().split('.').count()), (0, 3));
    let secret = folder.path().join("secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("ours");
    for arguments in [
        ["token", "--user", "1", "--data", data],
        ["serve", "--admin", "127.0.0.1:0", "--data", data],
    ] {
        let (code, _, error) = run(&arguments);
        assert!(code == 1 && error.contains("chmod 600 "), "{error}");
    }
}

#[test]
fn a_folder_or_an_address_in_use_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = Running::serve(folder.path());
    let (code, _, error) = run(&[
        "serve",
        "--data",
        text(folder.path()),
        "--listen",
        "127.0.0.1:0",
    ]);
    assert!(
        code == 1 && error.contains("in use by another process"),
        "{error}"
    );
    let other = tempfile::tempdir().expect("a folder");
    let (code, _, error) = run(&[
        "serve",
        "--data",
        text(other.path()),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        &address,
    ]);
    assert!(
        code == 1 && error.contains("choose another with --admin"),
        "{error}"
    );
}

#[test]
fn both_signals_end_a_server_with_0() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut server, _) = Running::serve(folder.path());
        server.signal(signal);
        assert_eq!(server.ends(), 0, "{signal}");
    }
}

#[test]
fn the_start_says_how_many_connections_fit_and_what_binds() {
    let data = tempfile::tempdir().expect("a folder");
    let few = ["--set", "gateway.connections_max=1000"];
    let (server, _) = Running::serve_with(data.path(), "127.0.0.1:0", &few);
    let line =
        std::iter::from_fn(|| server.line_within(BOUND)).find(|line| line.starts_with("room for "));
    let line = line.expect("a line says how many fit");
    let bound = "room for 1000 connections, bounded by the configured number of connections (next ";
    assert!(line.starts_with(bound), "{line}");
    assert!(
        line.contains("to lift it: raise the configured number"),
        "{line}"
    );
}
