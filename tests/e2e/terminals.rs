//! The main job on real input: two people in two terminals, over a `kill -9` and a power cut of the server between them.

use crate::server::{Server, eventually, serve, serve_on};
use millpond_testbed::Disk;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ALICE: u64 = 7;
const BOB: u64 = 9;

#[test]
fn two_terminals_talk_over_a_kill() {
    let data = tempfile::tempdir().expect("a folder");
    talk_over(data.path(), Server::kill);
}

#[test]
fn two_terminals_talk_over_a_power_cut() {
    let Some(disk) = Disk::create_or_skip(256) else {
        return;
    };
    talk_over(&disk.path().join("data"), |server| disk.cut_under(server));
}

/// A line before, a line while the server is gone, a line after; and all of them are in the history.
fn talk_over(data: &Path, end: impl Fn(Server)) {
    let homes = tempfile::tempdir().expect("a folder");
    let server = serve(data, &[]);
    let listen = server.listen.to_string();
    let mut alice = Chat::open(&server, homes.path(), ALICE, BOB);
    let mut bob = Chat::open(&server, homes.path(), BOB, ALICE);
    alice.say("before the end");
    bob.hears("before the end");
    end(server);
    bob.say("is anybody there?");
    std::thread::sleep(Duration::from_millis(300));
    let server = serve_on(data, &listen, &[]);
    alice.hears("is anybody there?");
    alice.say("I am back");
    bob.hears("I am back");
    alice.ends_well();
    bob.ends_well();
    let later = Chat::open(&server, &homes.path().join("elsewhere"), ALICE, BOB);
    for text in ["before the end", "is anybody there?", "I am back"] {
        later.hears(text);
    }
    later.ends_well();
}

/// A `millpond chat` with pipes for a keyboard and a screen.
struct Chat {
    child: Child,
    screen: Arc<Mutex<String>>,
}

impl Chat {
    fn open(server: &Server, home: &Path, me: u64, to: u64) -> Self {
        let token = String::from_utf8(server.token(me)).expect("a token is text");
        let mut child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["chat", "--as", &me.to_string(), "--to", &to.to_string()])
            .args(["--server", &server.listen.to_string()])
            .env("MILLPOND_TOKEN", token)
            .env("XDG_STATE_HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be run");
        let screen = Arc::new(Mutex::new(String::new()));
        let (lines, shown) = (
            BufReader::new(child.stdout.take().expect("piped")).lines(),
            screen.clone(),
        );
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut screen = shown.lock().expect("nobody panics with it");
                screen.push_str(&line);
                screen.push('\n');
            }
        });
        Self { child, screen }
    }

    fn say(&mut self, text: &str) {
        let keyboard = self.child.stdin.as_mut().expect("piped");
        writeln!(keyboard, "{text}").expect("the chat runs");
    }

    fn hears(&self, text: &str) {
        eventually(text, || {
            self.screen
                .lock()
                .expect("nobody panics with it")
                .contains(text)
        });
    }

    /// The end of its input: it waits for what is not acknowledged, and is content.
    fn ends_well(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.success(), "{status}");
    }
}
