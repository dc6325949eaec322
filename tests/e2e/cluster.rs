//! Gateways and routers as processes of their own, over real Kafka, Redis and Cassandra.

mod chaos;
mod devices;

use crate::judge::verdict;
use crate::load::{Plan, Talk};
use crate::peer::Peer;
use crate::server::{PROGRAM, Server, eventually};
use millpond_testbed::Backends;
use millpond_wire::{AckStatus, CursorAck, Frame};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const ALICE: u64 = 7;
const BOB: u64 = 9;

/// Two gateways and two routers.
struct Cluster {
    gateways: Vec<Server>,
    routers: Vec<Server>,
    arguments: Vec<String>,
    data: TempDir,
    backends: Backends,
}

impl Cluster {
    /// `None` where this machine lacks what the backends need, which is said.
    fn start() -> Option<Self> {
        let backends = Backends::start_or_skip(&["kafka", "redis", "cassandra"])?;
        let data = tempfile::tempdir().expect("a folder");
        let secret = data.path().join("secret");
        std::fs::write(&secret, "5a".repeat(32)).expect("written");
        let owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&secret, owner).expect("our own file");
        let mut cluster = Self {
            gateways: Vec::new(),
            routers: Vec::new(),
            arguments: arguments(&backends),
            data,
            backends,
        };
        cluster.make_schema();
        for part in 1..=2 {
            let router = cluster.router(part);
            cluster.routers.push(router);
        }
        for number in 1..=2 {
            let gateway = cluster.gateway(number);
            cluster.gateways.push(gateway);
        }
        for process in cluster.routers.iter().chain(&cluster.gateways) {
            eventually("it is ready", || {
                process.page("/readyz").starts_with("HTTP/1.1 200")
            });
        }
        Some(cluster)
    }

    fn make_schema(&self) {
        let made = Command::new(PROGRAM)
            .args(["schema", "--apply", "--data"])
            .arg(self.data.path())
            .args(&self.arguments)
            .output()
            .expect("the program can be run");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
    }

    fn run(&self, command: &str, listen: &str, more: &[String]) -> Server {
        let all = self.arguments.iter().chain(more);
        let all: Vec<&str> = all.map(String::as_str).collect();
        let started = Server::start_as(command, PROGRAM.as_ref(), self.data.path(), listen, &all);
        started.expect("it starts")
    }

    fn kill_router(&mut self, at: usize) {
        self.routers.remove(at).kill();
    }

    fn start_router(&mut self, at: usize) {
        let part = u16::try_from(at + 1).expect("there are two");
        self.routers.insert(at, self.router(part));
    }

    /// By SIGKILL; it comes back where its clients look for it.
    fn restart_gateway(&mut self, at: usize) {
        let gateway = self.gateways.remove(at);
        let listen = gateway.listen.to_string();
        gateway.kill();
        let number = format!("cluster.gateway={}", at + 1);
        let gateway = self.run("gateway", &listen, &["--set".to_owned(), number]);
        self.gateways.insert(at, gateway);
    }

    /// Says one word to Redis.
    fn redis(&self, word: &str) {
        let mut socket = TcpStream::connect(self.backends.address("redis")).expect("it listens");
        socket
            .write_all(format!("{word}\r\n").as_bytes())
            .expect("written");
        let mut answer = [0; 5];
        socket.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"+OK\r\n");
    }

    fn router(&self, part: u16) -> Server {
        let share = format!("cluster.share={part}/2");
        self.run("router", "127.0.0.1:0", &["--set".to_owned(), share])
    }

    fn gateway(&self, number: u16) -> Server {
        let number = format!("cluster.gateway={number}");
        self.run("gateway", "127.0.0.1:0", &["--set".to_owned(), number])
    }
}

fn arguments(backends: &Backends) -> Vec<String> {
    let of = |name: &str| backends.address(name).to_owned();
    let keys = [
        ("kafka", of("kafka")),
        ("redis", of("redis")),
        ("cassandra", of("cassandra")),
        ("kafka_partitions", "8".to_owned()),
        ("kafka_replicas", "1".to_owned()),
        ("cassandra_replicas", "1".to_owned()),
        ("link", "127.0.0.1:0".to_owned()),
    ];
    let set =
        |(key, value): &(&str, String)| ["--set".to_owned(), format!("cluster.{key}={value}")];
    let mut all: Vec<String> = keys.iter().flat_map(set).collect();
    all.extend(["--set", "shards=1"].map(str::to_owned));
    all
}

/// One start of the backends for all of it: they take longer than the tests.
#[test]
fn a_cluster_does_what_one_process_does() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    a_message_goes_from_one_gateway_to_another(&cluster);
    devices::devices_meet_across_gateways(&cluster);
    ten_thousand_messages_survive_random_disconnects(&cluster);
    chaos::whatever_happens_nothing_acknowledged_is_lost(&mut cluster);
    every_process_ends_as_asked(cluster);
}

fn every_process_ends_as_asked(cluster: Cluster) {
    for process in cluster.gateways.into_iter().chain(cluster.routers) {
        let ended = process.terminate(Duration::from_secs(20));
        assert!(ended.success(), "{ended}");
    }
}

fn a_message_goes_from_one_gateway_to_another(cluster: &Cluster) {
    let [first, second] = &cluster.gateways[..] else {
        panic!("there are two");
    };
    let (mut bob, _, inbox) = Peer::join(second.listen, 1, &second.token(BOB));
    assert_eq!(inbox, []);
    let (mut alice, ..) = Peer::join(first.listen, 1, &first.token(ALICE));
    alice.send_text(BOB, 1, "are you there?");
    let ack = alice.answer(1).expect("taken");
    assert_eq!((ack.status, ack.seq), (AckStatus::New, 1));
    let record = bob.record();
    assert_eq!((record.cursor, record.seq), (1, 1));
    assert_eq!(record.text, "are you there?");
    bob.tell(&Frame::CursorAck(CursorAck { cursor: 1 }));
}

fn ten_thousand_messages_survive_random_disconnects(cluster: &Cluster) {
    const PEOPLE: [u64; 2] = [21, 22];
    let [first, second] = &cluster.gateways[..] else {
        panic!("there are two");
    };
    let plan = Plan {
        messages_max: 5_000,
        disconnect_one_in: 300,
        seed: 6,
        quiet: Duration::from_secs(3),
    };
    let people = PEOPLE.map(|user| (user, first.token(user)));
    let talk = Talk::start_at([first.listen, second.listen], people, &plan);
    let sides = talk.finish();
    let report = verdict(second, &sides);
    report.assert_clean();
    assert_eq!(report.counts.acked, 10_000);
}
