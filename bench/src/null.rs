//! `bench null`: what the generator itself can do, against a server that accepts and throws away what comes. A server's
//! figures near these are the generator's.

use crate::args::{Null, Waiting};
use crate::clock::{Clock, SECOND_NS};
use crate::cpu::own_cpu_ns;
use crate::crowd::Mute;
use crate::floor::{bare_crowd, connect_all};
use crate::look::{Look, Quiet};
use crate::preflight;
use crate::program::Program;
use crate::report::{Figures, Report, Table, Verdict};
use crate::target::Target;
use serde::Serialize;
use std::time::Duration;

/// Bytes of a message.
const MESSAGE: [u8; 128] = [0xA5; 128];
/// Messages that may wait for the rings.
const BACKLOG_MAX: usize = 512;

/// Runs the scenario and publishes its report.
pub fn run(args: &Null, program: &Program) -> anyhow::Result<Verdict> {
    preflight::connections(args.connections)?;
    let quiet = Quiet::new(&program.stop, args.connections);
    let server = Target::bare(program, args.connections, Waiting::Receive)?;
    let clock = Clock::new();
    let mut crowd = bare_crowd(args.connections, server.address, clock, Mute::Listening)?;
    let before = Look::take(Some(&server), &quiet)?;
    let (start_ns, cpu_ns) = (clock.now_ns(), own_cpu_ns()?);
    connect_all(&mut crowd, args.connections, &quiet)?;
    let connecting = Took::since(&clock, start_ns, cpu_ns)?;
    let after = Look::take(Some(&server), &quiet)?;
    let standing = crowd.standing();

    let (start_ns, cpu_ns) = (clock.now_ns(), own_cpu_ns()?);
    let (mut sent, mut next) = (0_u64, 0_u64);
    while sent < args.messages.into() && standing > 0 && !quiet.stop.is_set() {
        for _ in crowd.backlog()..BACKLOG_MAX {
            let at = usize::try_from(next % standing)?;
            next += 1;
            if crowd.blocks(at) || sent == u64::from(args.messages) {
                continue;
            }
            crowd.say(at, |_, out| out.extend_from_slice(&MESSAGE));
            sent += 1;
        }
        crowd.turn(Duration::ZERO)?;
    }
    while crowd.backlog() > 0 && !quiet.stop.is_set() {
        crowd.turn(Duration::ZERO)?;
    }
    let sending = Took::since(&clock, start_ns, cpu_ns)?;
    let figures = NullFigures {
        connections: standing,
        connects_per_second: connecting.rate(standing),
        cpu_us_per_connect: connecting.cpu_us(standing),
        client_user_bytes: (after.own_bytes as f64 - before.own_bytes as f64)
            / standing.max(1) as f64,
        messages: sent,
        messages_per_second: sending.rate(sent),
        cpu_us_per_message: sending.cpu_us(sent),
    };
    let parameters = serde_json::json!({
        "connections": args.connections,
        "messages": args.messages,
        "message_bytes": MESSAGE.len(),
    });
    let mut report = Report::new("null", program, parameters, figures);
    report.interrupted = quiet.stop.is_set();
    report.publish(&args.output)
}

/// A phase's time, and the generator's own.
struct Took {
    ns: u64,
    cpu_ns: u64,
}

impl Took {
    fn since(clock: &Clock, start_ns: u64, cpu_ns: u64) -> anyhow::Result<Self> {
        Ok(Self {
            ns: clock.now_ns() - start_ns,
            cpu_ns: own_cpu_ns()?.saturating_sub(cpu_ns),
        })
    }

    fn rate(&self, count: u64) -> f64 {
        count as f64 * SECOND_NS as f64 / self.ns.max(1) as f64
    }

    fn cpu_us(&self, count: u64) -> f64 {
        self.cpu_ns as f64 / 1_000.0 / count.max(1) as f64
    }
}

#[derive(Debug, Serialize)]
struct NullFigures {
    connections: u64,
    connects_per_second: f64,
    cpu_us_per_connect: f64,
    client_user_bytes: f64,
    messages: u64,
    messages_per_second: f64,
    cpu_us_per_message: f64,
}

impl Figures for NullFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let mut row = |name: &str, value: f64| table.numbers(name, [Some(value)]);
        row("connections", self.connections as f64);
        row("  per second", self.connects_per_second);
        row("  generator CPU of each, µs", self.cpu_us_per_connect);
        row("  generator's own bytes of each", self.client_user_bytes);
        row("messages sent", self.messages as f64);
        row("  per second", self.messages_per_second);
        row("  generator CPU of each, µs", self.cpu_us_per_message);
        table
    }
}
