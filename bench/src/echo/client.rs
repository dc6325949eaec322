//! Clients of an echo: each message carries its intended time and its number, and every answer is compared with them.

use crate::clock::Clock;
use crate::generator::{Scenario, Window};
use crate::latency::Latency;
use crate::outbox::Outboxes;
use crate::program::Tokens;
use crate::sockets::{Closed, Talk};
use crate::talk::{frames, greet, unix_ms};
use anyhow::{Context, bail, ensure};
use millpond_wire::{DeviceId, Echo, Echoed, Frame, Pong, UserId, encode};
use std::collections::VecDeque;

/// How a server wants to be spoken to.
pub(crate) enum Door {
    /// It returns whatever comes.
    Raw,
    /// It wants a greeting and a token first.
    Gateway(Tokens),
}

pub(crate) struct EchoClient<'a> {
    clock: Clock,
    door: &'a Door,
    /// Latencies count for messages meant for this window.
    window: Window,
    /// Until when every answer brings the next message (closed loop).
    keep_until_ns: u64,
    lines: Vec<Line>,
    /// Whose turn it is.
    next: usize,
    payload: Vec<u8>,
    welcomed: usize,
    answered: u64,
    outstanding: u64,
    pub(crate) latency: Latency,
    /// Messages of the window that were passed over by later answers.
    lost: u64,
    fault: Option<String>,
    /// Users and devices of this run; nobody has used them before.
    identity: u64,
}

/// One connection.
#[derive(Default)]
struct Line {
    /// Numbers below this are answered or lost.
    settled: u64,
    /// Intended times of those sent and not settled, in order.
    sent: VecDeque<u64>,
    /// Intended times of those that wait for room.
    waiting: VecDeque<u64>,
}

/// Bytes of the intended time and the number.
const STAMP_BYTES: usize = 16;
/// Messages one connection leaves unanswered before further ones wait (their time runs).
const UNANSWERED_MAX: usize = 1024;

impl<'a> EchoClient<'a> {
    pub(crate) fn new(clock: Clock, door: &'a Door, payload_bytes: u32) -> Self {
        Self {
            clock,
            door,
            window: Window::default(),
            keep_until_ns: 0,
            lines: Vec::new(),
            next: 0,
            payload: vec![0xA5; payload_bytes as usize],
            welcomed: 0,
            answered: 0,
            outstanding: 0,
            latency: Latency::default(),
            lost: 0,
            fault: None,
            identity: unix_ms() << 16,
        }
    }

    pub(crate) fn count_in(&mut self, window: Window) {
        self.window = window;
    }

    /// Ends the run: what is unanswered now was never answered. Latencies, and how many were lost.
    pub(crate) fn finish(mut self) -> (Latency, u64) {
        let open = self
            .lines
            .iter()
            .flat_map(|line| line.sent.iter().chain(&line.waiting));
        let open = open
            .filter(|&&stamp_ns| self.window.holds(stamp_ns))
            .count();
        let lost = self.lost + open as u64;
        self.latency.lose(lost);
        (self.latency, lost)
    }

    fn send(&mut self, at: usize, intended_ns: u64, outboxes: &mut Outboxes) {
        self.outstanding += 1;
        if self.lines[at].sent.len() >= UNANSWERED_MAX {
            self.lines[at].waiting.push_back(intended_ns);
        } else {
            self.send_now(at, intended_ns, outboxes);
        }
    }

    fn send_now(&mut self, at: usize, intended_ns: u64, outboxes: &mut Outboxes) {
        let line = &mut self.lines[at];
        let number = line.settled + line.sent.len() as u64;
        line.sent.push_back(intended_ns);
        self.payload[..8].copy_from_slice(&intended_ns.to_be_bytes());
        self.payload[8..STAMP_BYTES].copy_from_slice(&number.to_be_bytes());
        let echo = Frame::Echo(Echo {
            payload: &self.payload,
        });
        outboxes.append(at, |out| encode(&echo, out));
    }

    fn take(
        &mut self,
        at: usize,
        frame: &Frame<'_>,
        now_ns: u64,
        outboxes: &mut Outboxes,
    ) -> anyhow::Result<()> {
        match frame {
            Frame::Echoed(Echoed { payload }) => self.echoed(at, payload, now_ns, outboxes)?,
            Frame::Echo(Echo { payload }) => self.echoed(at, payload, now_ns, outboxes)?,
            Frame::Welcome(_) => self.welcomed += 1,
            Frame::Ping(_) => {
                let pong = Frame::Pong(Pong { server_ms: None });
                outboxes.append(at, |out| encode(&pong, out));
            }
            Frame::Error(error) => bail!("the server refused: {} {}", error.code, error.message),
            Frame::GoAway(go_away) => bail!("the server said goodbye: {}", go_away.code),
            Frame::Pong(_)
            | Frame::Hello(_)
            | Frame::Bye(_)
            | Frame::Send(_)
            | Frame::SendAck(_)
            | Frame::Deliver(_)
            | Frame::CursorAck(_)
            | Frame::Receipt(_)
            | Frame::Sync(_)
            | Frame::SyncDone(_)
            | Frame::Reset(_)
            | Frame::History(_)
            | Frame::HistoryPage(_)
            | Frame::Ignored(_) => {}
        }
        Ok(())
    }

    fn echoed(
        &mut self,
        at: usize,
        payload: &[u8],
        now_ns: u64,
        outboxes: &mut Outboxes,
    ) -> anyhow::Result<()> {
        ensure!(
            payload.len() == self.payload.len()
                && payload[STAMP_BYTES..] == self.payload[STAMP_BYTES..],
            "an echo that is not what was sent"
        );
        let (stamp_ns, number) = (word(payload, 0), word(payload, 8));
        self.settle(at, stamp_ns, number)?;
        self.answered += 1;
        if self.window.holds(stamp_ns) {
            self.latency.record(now_ns.saturating_sub(stamp_ns));
        }
        if let Some(intended_ns) = self.lines[at].waiting.pop_front() {
            self.send_now(at, intended_ns, outboxes);
        }
        if now_ns < self.keep_until_ns {
            self.send(at, now_ns, outboxes);
        }
        Ok(())
    }

    /// Answers come in the order of their messages; those passed over are lost.
    fn settle(&mut self, at: usize, stamp_ns: u64, number: u64) -> anyhow::Result<()> {
        let line = &mut self.lines[at];
        loop {
            let sent_ns = line
                .sent
                .pop_front()
                .context("an echo of nothing that was sent")?;
            let this = line.settled;
            line.settled += 1;
            self.outstanding -= 1;
            if this == number {
                ensure!(
                    sent_ns == stamp_ns,
                    "an echo with another time than was sent"
                );
                return Ok(());
            }
            self.lost += u64::from(self.window.holds(sent_ns));
        }
    }
}

fn word(payload: &[u8], at: usize) -> u64 {
    let bytes = payload[at..at + 8].try_into();
    u64::from_be_bytes(bytes.expect("eight bytes are eight bytes"))
}

impl Talk for EchoClient<'_> {
    fn received(&mut self, at: usize, bytes: &[u8], outboxes: &mut Outboxes) -> usize {
        let now_ns = self.clock.now_ns();
        let taken = frames(bytes, |frame| self.take(at, &frame, now_ns, outboxes));
        taken.unwrap_or_else(|error| {
            self.fault
                .get_or_insert_with(|| format!("connection {at}: {error:#}"));
            bytes.len()
        })
    }

    fn closed(&mut self, at: usize, why: Closed) {
        let what = format!("connection {at} was closed ({why:?})");
        self.fault.get_or_insert(what);
    }
}

impl Scenario for EchoClient<'_> {
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.lines.push(Line::default());
        let Door::Gateway(tokens) = self.door else {
            return Ok(());
        };
        let user =
            UserId::new(self.identity + at as u64).expect("milliseconds are not 0, nor 2^47");
        let device = DeviceId(self.identity);
        greet(device, &tokens(user, device)?, out);
        Ok(())
    }

    fn ready(&self, open: usize) -> usize {
        match self.door {
            Door::Raw => open,
            Door::Gateway(_) => self.welcomed,
        }
    }

    fn due(&mut self, intended_ns: u64, outboxes: &mut Outboxes) {
        let at = self.next;
        self.next = (at + 1) % self.lines.len();
        self.send(at, intended_ns, outboxes);
    }

    fn keep(&mut self, in_flight: u32, until_ns: u64, outboxes: &mut Outboxes) {
        self.keep_until_ns = until_ns;
        for _ in 0..in_flight {
            for at in 0..self.lines.len() {
                self.send(at, self.clock.now_ns(), outboxes);
            }
        }
    }

    fn tend(&mut self, _now_ns: u64, _ending: bool, _outboxes: &mut Outboxes) {}

    fn answered(&self) -> u64 {
        self.answered
    }

    fn outstanding(&self) -> u64 {
        self.outstanding
    }

    fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}
