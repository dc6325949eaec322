//! What `millpond bench` takes on the command line. Parsing makes values that cannot be wrong; scenarios only read them.

use crate::schedule::Arrivals;
use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum, value_parser};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// The gateway's ECHO beside a raw io_uring echo server: same bytes, same generator, in turns
    Echo(Echo),
    /// Durable 1:1 messages: sent, synced, acked, delivered, cursor-acked, and checked
    Messages(Messages),
    /// Connections that stand still: what each costs, whether they stay, and how they come back when all have gone
    Idle(Idle),
    /// All clients gone at once and back as fast as they can, while some who stay talk to each other
    Storm(Storm),
    /// Connections that end and are made anew all the time, at a rate
    Churn(Churn),
    /// A message to many: all devices of its recipient, and the other ones of its sender
    Fanout(Fanout),
    /// What a socket costs this kernel by what waits on it: nothing, a poll, a receive, epoll
    Floor(Floor),
    /// The generator's own ceiling, against a server that does nothing
    Null(Null),
    /// The other side of bare sockets
    #[command(hide = true)]
    BareServer(BareServer),
    /// The raw echo server beside baselines on other runtimes, in turns
    Compare(Compare),
    /// Two reports of one scenario, figure by figure: ends with 0 when nothing is worse, 3 when something is, 4 when they do not compare
    Diff(Diff),
    /// The ceiling that `echo` compares with
    #[command(hide = true)]
    RawEchoServer(RawEchoServer),
}

/// Flags of every scenario that loads a server.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Connections
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub connections: u32,
    /// Messages each connection keeps unanswered in a closed loop [default: 1 for echo, 8 for messages]
    #[arg(long, value_parser = value_parser!(u32).range(1..=1024))]
    pub in_flight: Option<u32>,
    /// Payload bytes of a message
    #[arg(long, default_value_t = 128, value_parser = value_parser!(u32).range(16..=4096))]
    pub payload: u32,
    /// How messages of an open load follow each other
    #[arg(long, value_enum, default_value_t = Arrivals::Constant)]
    pub arrivals: Arrivals,
    /// Seconds of load before anything is counted
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(0..=600))]
    pub warmup: u32,
    /// Load this server instead of starting one
    #[arg(long, value_name = "ADDR")]
    pub target: Option<SocketAddr>,
    /// Admin address of the server named by --target, for its metrics
    #[arg(long, value_name = "ADDR", requires = "target")]
    pub target_admin: Option<SocketAddr>,
    /// Process id of the server named by --target, for its CPU time and system calls
    #[arg(long, value_name = "PID", requires = "target")]
    pub target_pid: Option<i32>,
    /// Data folder of the server named by --target, for its signing secret
    #[arg(long, value_name = "DIR", requires = "target")]
    pub target_data: Option<PathBuf>,
    /// Allow a target that is not on this machine: load it only when it is yours
    #[arg(long, requires = "target")]
    pub allow_remote: bool,
    /// Core of the server that this command starts
    #[arg(long, value_name = "CORE")]
    pub server_cpu: Option<usize>,
    /// Core of the generator
    #[arg(long, value_name = "CORE")]
    pub client_cpu: Option<usize>,
    /// The run is void when 1 % of messages left later than this because the generator was busy
    #[arg(long, value_name = "MS", default_value_t = 1.0)]
    pub lag_limit_ms: f64,
    #[command(flatten)]
    pub output: Output,
}

/// Of a closed loop, when the command line names none: one echo at a time; enough messages to fill a group commit.
pub(crate) const ECHOES_IN_FLIGHT: u32 = 1;
pub(crate) const MESSAGES_IN_FLIGHT: u32 = 8;

/// Connections of one run: what fits the smallest usual table of direct descriptors (20,000).
pub const CONNECTIONS_MAX: u32 = 18_000;

/// Where the report goes beside the terminal.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the latencies as an HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,
    /// Write the report as one HTML page with plots, which needs nothing beside it
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write report.json, report.txt, report.html, latency.hlog, the command and the machine into a folder of their own
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Echo {
    #[command(flatten)]
    pub common: Common,
    /// Seconds each round counts
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Rounds of each server, in turns
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Messages per second of all connections together; without it each waits for its answers
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
}

#[derive(Clone, Debug, Args)]
pub struct Messages {
    #[command(flatten)]
    pub common: Common,
    /// Seconds each phase counts
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// Messages per second in all, `closed` (each user waits for its messages), or `half`: closed, then half of what that gave
    #[arg(long, default_value = "half")]
    pub rate: Rate,
    /// Records a client takes before it acknowledges its cursor (after a second at the latest)
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=64))]
    pub ack_every: u32,
    /// Durability of the server that this command starts: sync, interval or os
    #[arg(
        long,
        value_name = "MODE",
        default_value = "sync",
        conflicts_with = "target"
    )]
    pub durability: String,
}

/// Which loads the messages scenario runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    Closed,
    ClosedThenHalf,
    PerSecond(u32),
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("closed", _) => Ok(Self::Closed),
            ("half", _) => Ok(Self::ClosedThenHalf),
            (_, Ok(rate)) if rate > 0 => Ok(Self::PerSecond(rate)),
            _ => Err(format!(
                "`{text}` is not `closed`, `half` or a rate above 0"
            )),
        }
    }
}

/// Flags of every scenario that holds very many clients.
#[derive(Clone, Debug, Args)]
pub struct Clients {
    /// Connections
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(2..=2_000_000))]
    pub connections: u32,
    /// Connections that begin per second; all at once when left out
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub ramp: Option<u32>,
    /// What the clients speak
    #[arg(long, value_enum, default_value_t = Speech::Millpond)]
    pub protocol: Speech,
    /// Seconds between heartbeats [default: what the server tells its clients; 60 with other protocols than millpond]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=1600))]
    pub heartbeat: Option<u32>,
    /// Path of a WebSocket server
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Text that a WebSocket client says after its upgrade; it stands when it has been answered
    #[arg(long, value_name = "TEXT")]
    pub first_message: Option<String>,
    /// Quality of service of an MQTT client's messages
    #[arg(long, default_value_t = 0, value_parser = value_parser!(u8).range(0..=1))]
    pub qos: u8,
    /// Load this server instead of starting one of ours
    #[arg(long, value_name = "ADDR")]
    pub target: Option<SocketAddr>,
    /// Start this server, by the shell, and wait until the address named by --target takes connections
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "target",
        conflicts_with = "target_pid"
    )]
    pub start: Option<String>,
    /// Admin address of the server named by --target, for its metrics
    #[arg(long, value_name = "ADDR", requires = "target")]
    pub target_admin: Option<SocketAddr>,
    /// Process id of the server named by --target, for its CPU time and memory
    #[arg(long, value_name = "PID", requires = "target")]
    pub target_pid: Option<i32>,
    /// Data folder of the server named by --target, for its signing secret
    #[arg(long, value_name = "DIR", requires = "target")]
    pub target_data: Option<PathBuf>,
    /// Allow a target that is not on this machine: load it only when it is yours
    #[arg(long, requires = "target")]
    pub allow_remote: bool,
    /// Core of the generator
    #[arg(long, value_name = "CORE")]
    pub client_cpu: Option<usize>,
    /// The run is void when 1 % of messages left later than this because the generator was busy
    #[arg(long, value_name = "MS", default_value_t = 20.0)]
    pub lag_limit_ms: f64,
    #[command(flatten)]
    pub output: Output,
}

/// A protocol of clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speech {
    /// Ours
    Millpond,
    /// A length in four bytes, and as many bytes; the server returns them
    Raw,
    /// Binary messages that the server returns
    #[value(name = "websocket")]
    WebSocket,
    /// MQTT 3.1.1; each client publishes to a topic of its own
    Mqtt,
}

impl Clients {
    /// What the parser cannot know of flags together.
    ///
    /// # Errors
    /// Two flags that do not go together, in words.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.protocol == Speech::Millpond || self.target.is_some(),
            "--protocol names another server's protocol: say where it is with --target"
        );
        ensure!(
            self.protocol != Speech::Millpond || self.target.is_none() || self.heartbeat.is_none(),
            "--heartbeat: a Millpond server tells its clients how often, and the one named by --target is not started here"
        );
        ensure!(
            self.protocol == Speech::WebSocket
                || (self.first_message.is_none() && self.path == "/"),
            "--path and --first-message are for --protocol websocket"
        );
        ensure!(
            self.protocol == Speech::Mqtt || self.qos == 0,
            "--qos is for --protocol mqtt"
        );
        Ok(())
    }
}

#[derive(Clone, Debug, Args)]
pub struct Idle {
    #[command(flatten)]
    pub clients: Clients,
    /// Seconds in which nothing happens but heartbeats
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = parse_seconds)]
    pub hold: u32,
    /// Messages to random ones of them
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(0..=10_000_000))]
    pub messages: u32,
    /// Messages per second
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Leave out the storm: all gone at once, and back as fast as they can
    #[arg(long)]
    pub no_storm: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Storm {
    #[command(flatten)]
    pub clients: Clients,
    /// How often all go and come back
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Clients beside them who stay, and send messages to each other all the while
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(2..=10_000))]
    pub stay: u32,
    /// Messages per second of those who stay
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
}

#[derive(Clone, Debug, Args)]
pub struct Churn {
    #[command(flatten)]
    pub clients: Clients,
    /// Seconds in which connections end and are made anew
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = parse_seconds)]
    pub lasts: u32,
    /// Connections that end per second, each to be made anew at once
    #[arg(long, value_name = "RATE", default_value = "1000/s", value_parser = parse_rate)]
    pub rate: u32,
}

#[derive(Clone, Debug, Args)]
pub struct Fanout {
    #[command(flatten)]
    pub clients: Clients,
    /// Devices of each user: a message reaches those of its recipient and the other ones of its sender
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(2..=32))]
    pub width: u32,
    /// Messages
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub messages: u32,
    /// Messages per second
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
}

#[derive(Clone, Debug, Args)]
pub struct Floor {
    /// Pairs of each kind
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u32).range(100..=1_000_000))]
    pub connections: u32,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Null {
    /// Connections
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(2..=2_000_000))]
    pub connections: u32,
    /// Messages that are sent, as fast as sockets take them
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u32).range(1..=100_000_000))]
    pub messages: u32,
    #[command(flatten)]
    pub output: Output,
}

/// `30000/s`, or the number alone.
fn parse_rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse();
    let rate = number.ok().filter(|rate| (1..=10_000_000).contains(rate));
    rate.ok_or_else(|| format!("`{text}` is no rate from 1/s to 10000000/s"))
}

/// `60s`, `10m`, or a number of seconds.
fn parse_seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let seconds = number
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| *seconds <= 86_400);
    seconds.ok_or_else(|| format!("`{text}` is no time up to a day, as 60s or 10m"))
}

#[derive(Clone, Debug, Args)]
pub struct BareServer {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Sockets it may hold
    #[arg(long, default_value_t = 100_000)]
    pub connections: u32,
    /// What waits on each
    #[arg(long, value_enum, default_value_t = Waiting::Nothing)]
    pub waiting: Waiting,
}

/// What a server does with a socket that it has accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Waiting {
    /// It forgets it
    Nothing,
    /// A multishot poll of its ring
    Poll,
    /// A multishot receive of its ring, with buffers for whoever has something; what comes is thrown away
    Receive,
    /// An ordinary descriptor in a set of epoll
    Epoll,
}

impl Waiting {
    /// As it is said on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Poll => "poll",
            Self::Receive => "receive",
            Self::Epoll => "epoll",
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct Compare {
    #[command(flatten)]
    pub echo: Echo,
    /// Connections that say nothing, for the memory of each; more than 18,000 are too many for ordinary descriptors
    #[arg(long, default_value_t = 15_000, value_parser = value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub idle: u32,
    /// Folder of the built baselines
    #[arg(
        long,
        value_name = "DIR",
        default_value = "bench/baselines/target/release"
    )]
    pub baselines: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct Diff {
    /// The report.json to compare with
    pub before: PathBuf,
    /// The report.json to judge
    pub after: PathBuf,
    /// What counts as the same
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub threshold: Threshold,
}

/// A share of the earlier figure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Threshold(pub f64);

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim_end_matches('%').parse::<f64>() {
            Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err(format!("`{text}` is not a percentage from 0% to 1000%")),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct RawEchoServer {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Sleep once, this long (to prove that reports show it)
    #[arg(long, value_name = "MS")]
    pub stall_ms: Option<u64>,
    /// When that happens, after the first byte
    #[arg(long, value_name = "MS", default_value_t = 1000, requires = "stall_ms")]
    pub stall_after_ms: u64,
    /// Leave every n-th read unanswered (to prove that losses are counted)
    #[arg(long, value_name = "N")]
    pub drop_every: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        bench: Bench,
    }

    #[test]
    fn the_defaults_parse_and_bounds_hold() {
        let line = Line::try_parse_from(["bench", "messages"]).unwrap();
        let Bench::Messages(messages) = line.bench else {
            panic!("messages was asked for");
        };
        assert_eq!(messages.rate, Rate::ClosedThenHalf);
        for bad in [
            ["bench", "echo", "--connections", "0"],
            ["bench", "echo", "--connections", "18001"],
            ["bench", "echo", "--payload", "15"],
            ["bench", "echo", "--rate", "0"],
            ["bench", "messages", "--rate", "-1"],
            ["bench", "messages", "--rate", "fast"],
            ["bench", "echo", "--target-pid", "1"],
            ["bench", "idle", "--connections", "1"],
            ["bench", "idle", "--ramp", "0/s"],
            ["bench", "idle", "--ramp", "fast"],
            ["bench", "idle", "--hold", "2d"],
            ["bench", "idle", "--rate", "0"],
        ] {
            assert!(Line::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
