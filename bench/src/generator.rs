//! The loop that drives a scenario: establish all connections, then follow the schedule, and observe the server at both
//! ends of the window that counts. One thread; it never waits for anything but the ring.

use crate::clock::{Clock, SECOND_NS, nanoseconds};
use crate::cpu::{own_cpu_ns, process_cpu_ns};
use crate::files::allow_sockets;
use crate::latency::Latency;
use crate::outbox::Outboxes;
use crate::program::Stop;
use crate::progress::Progress;
use crate::schedule::{Arrivals, Schedule};
use crate::sockets::{Sockets, Talk};
use anyhow::{Context, bail};
use millpond_ring::{BufferPlan, Ring, Setup, Uring, Wait};
use rustix::process::Pid;
use std::net::SocketAddr;
use std::time::Duration;

/// A kind of client. It answers bytes as a [`Talk`]; what it sends beyond answers, it is told here.
pub(crate) trait Scenario: Talk {
    /// Appends what connection `at` says first.
    fn greet(&mut self, at: usize, out: &mut Vec<u8>) -> anyhow::Result<()>;

    /// Connections that can carry messages; `open` of them are connected.
    fn ready(&self, open: usize) -> usize;

    /// A message of the schedule is due.
    fn due(&mut self, intended_ns: u64, outboxes: &mut Outboxes);

    /// Closed loop: keep this many messages of each connection unanswered until `until_ns`.
    fn keep(&mut self, in_flight: u32, until_ns: u64, outboxes: &mut Outboxes);

    /// Called every turn: what is due by time alone (acknowledgements, repeats).
    fn tend(&mut self, now_ns: u64, ending: bool, outboxes: &mut Outboxes);

    /// Messages fully answered so far.
    fn answered(&self) -> u64;

    /// Messages not yet fully answered.
    fn outstanding(&self) -> u64;

    /// What has gone wrong so far, if anything: the run ends.
    fn fault(&self) -> Option<&str>;
}

/// What to do, once everybody is connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) load: Load,
    pub(crate) warmup: Duration,
    pub(crate) counted: Duration,
    /// How long answers may take after the last message.
    pub(crate) grace: Duration,
}

/// A usual [`Plan::grace`].
pub(crate) const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    Closed { in_flight: u32 },
    Open { arrivals: Arrivals, rate: u32 },
}

/// The part of a run that counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Window {
    pub(crate) from_ns: u64,
    pub(crate) until_ns: u64,
}

impl Window {
    pub(crate) fn holds(self, at_ns: u64) -> bool {
        (self.from_ns..self.until_ns).contains(&at_ns)
    }
}

/// What the loop saw; latencies are the scenario's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Driven {
    /// How late messages of the schedule left, because the generator was busy.
    pub(crate) lag: Latency,
    /// Fully answered inside the window.
    pub(crate) answered: u64,
    pub(crate) window_ns: u64,
    pub(crate) server_cpu_ns: Option<u64>,
    pub(crate) client_cpu_ns: u64,
    /// Fully answered per second of the whole run, warm-up included.
    pub(crate) per_second: Vec<u64>,
    pub(crate) interrupted: bool,
    pub(crate) fault: Option<String>,
}

impl Driven {
    pub(crate) fn per_second_mean(&self) -> f64 {
        self.answered as f64 * SECOND_NS as f64 / self.window_ns.max(1) as f64
    }

    pub(crate) fn server_ns_per_message(&self) -> Option<f64> {
        let cpu_ns = self.server_cpu_ns?;
        (self.answered > 0).then(|| cpu_ns as f64 / self.answered as f64)
    }

    /// Share of one core that the generator used.
    pub(crate) fn client_share(&self) -> f64 {
        self.client_cpu_ns as f64 / self.window_ns.max(1) as f64
    }
}

/// A ring for `connections` sockets of a generator.
pub(crate) fn open_ring(connections: u32) -> anyhow::Result<Uring> {
    let slots = connections + 16;
    allow_sockets(slots)?;
    let setup = Setup {
        entries: 4096,
        completions: 32_768,
        slots,
        buffers: BufferPlan {
            count: 4096,
            bytes: 4096,
        },
    };
    Uring::open(&setup).context("opening the generator's ring")
}

/// Connections that are being established at a time: below every backlog.
const CONNECTING_MAX: usize = 64;
const ESTABLISH_TURN: Duration = Duration::from_millis(10);
/// Without any progress for this long, a server is not there.
const ESTABLISH_STILL_MAX: Duration = Duration::from_secs(15);

/// Connects and greets until all connections can carry messages.
pub(crate) fn establish<R: Ring>(
    sockets: &mut Sockets<R>,
    scenario: &mut impl Scenario,
    address: SocketAddr,
    connections: u32,
    stop: &Stop,
) -> anyhow::Result<()> {
    let clock = Clock::new();
    let connections = connections as usize;
    let (mut begun, mut ready, mut moved_ns) = (0, 0, 0);
    while ready < connections {
        while begun < connections && begun - ready < CONNECTING_MAX {
            let at = sockets.connect(address)?;
            let mut greeting = Vec::new();
            scenario.greet(at, &mut greeting)?;
            if !greeting.is_empty() {
                sockets.outboxes.append(at, |out| out.append(&mut greeting));
            }
            begun += 1;
        }
        sockets.turn(Wait::Until(ESTABLISH_TURN), scenario)?;
        if let Some(fault) = scenario.fault() {
            bail!("{ready} of {connections} connections stand: {fault}");
        }
        let now_ready = scenario.ready(sockets.open());
        if now_ready > ready {
            (ready, moved_ns) = (now_ready, clock.now_ns());
        }
        let still_ns = clock.now_ns() - moved_ns;
        if stop.is_set() || still_ns > nanoseconds(ESTABLISH_STILL_MAX) {
            bail!(
                "{ready} of {connections} connections stand after {still_ns} ns without progress"
            );
        }
    }
    Ok(())
}

const TURN_MAX: Duration = Duration::from_millis(20);

/// One run of a plan. `clock` is the one whose times stand in payloads; `plan` starts now.
pub(crate) struct Drive<'a> {
    pub(crate) clock: Clock,
    pub(crate) plan: Plan,
    /// The server's process, where it can be observed.
    pub(crate) server: Option<Pid>,
    pub(crate) stop: &'a Stop,
    pub(crate) progress: &'a mut Progress,
}

impl Drive<'_> {
    /// The window of a plan that starts at `start_ns`.
    pub(crate) fn window(plan: Plan, start_ns: u64) -> Window {
        let from_ns = start_ns + nanoseconds(plan.warmup);
        Window {
            from_ns,
            until_ns: from_ns + nanoseconds(plan.counted),
        }
    }

    /// Follows the plan from `start_ns` until all is answered, or the grace is over.
    pub(crate) fn run<R: Ring>(
        self,
        sockets: &mut Sockets<R>,
        scenario: &mut impl Scenario,
        start_ns: u64,
    ) -> anyhow::Result<Driven> {
        let window = Self::window(self.plan, start_ns);
        let mut schedule = match self.plan.load {
            Load::Open { arrivals, rate } => {
                Some(Schedule::new(arrivals, rate, start_ns, window.until_ns))
            }
            Load::Closed { in_flight } => {
                scenario.keep(in_flight, window.until_ns, &mut sockets.outboxes);
                None
            }
        };
        let mut watch = Watch::new(window, start_ns, scenario.answered(), self.server);
        let end_ns = window.until_ns + nanoseconds(self.plan.grace);
        loop {
            let now_ns = self.clock.now_ns();
            watch.look(now_ns, scenario.answered())?;
            while let Some(intended_ns) = schedule.as_mut().and_then(|all| all.take_due(now_ns)) {
                if window.holds(intended_ns) {
                    watch.driven.lag.record(now_ns - intended_ns);
                }
                scenario.due(intended_ns, &mut sockets.outboxes);
            }
            let ending = now_ns >= window.until_ns;
            scenario.tend(now_ns, ending, &mut sockets.outboxes);
            self.progress
                .show(now_ns - start_ns, watch.since_start(scenario.answered()));
            watch.driven.interrupted = self.stop.is_set();
            watch.driven.fault = scenario.fault().map(str::to_owned);
            let over = ending && scenario.outstanding() == 0 || now_ns >= end_ns;
            if over || watch.driven.interrupted || watch.driven.fault.is_some() {
                return watch.finish(now_ns, scenario.answered());
            }
            let next_ns = schedule.as_ref().and_then(Schedule::peek_ns);
            let wait = sleep(self.clock.now_ns(), next_ns, window);
            sockets.turn(wait, scenario)?;
        }
    }
}

/// Until the next message or the next observation, but never long; not at all when a message is due already.
fn sleep(now_ns: u64, next_ns: Option<u64>, window: Window) -> Wait {
    let edges = [window.from_ns, window.until_ns];
    let edges = edges.into_iter().filter(|&edge_ns| edge_ns > now_ns);
    let Some(until_ns) = edges.chain(next_ns).min() else {
        return Wait::Until(TURN_MAX);
    };
    match until_ns.saturating_sub(now_ns) {
        0 => Wait::Not,
        left_ns => Wait::Until(Duration::from_nanos(left_ns).min(TURN_MAX)),
    }
}

/// Reads clocks and counters at the edges of the window and at every second.
struct Watch {
    driven: Driven,
    window: Window,
    server: Option<Pid>,
    start_answered: u64,
    second_at_ns: u64,
    second_answered: u64,
    opened: Option<Edge>,
    closed: bool,
}

/// Everything that is read at one moment.
struct Edge {
    at_ns: u64,
    answered: u64,
    server_cpu_ns: Option<u64>,
    client_cpu_ns: u64,
}

impl Watch {
    fn new(window: Window, start_ns: u64, answered: u64, server: Option<Pid>) -> Self {
        Self {
            driven: Driven::default(),
            window,
            server,
            start_answered: answered,
            second_at_ns: start_ns + SECOND_NS,
            second_answered: answered,
            opened: None,
            closed: false,
        }
    }

    fn since_start(&self, answered: u64) -> u64 {
        answered - self.start_answered
    }

    fn look(&mut self, now_ns: u64, answered: u64) -> anyhow::Result<()> {
        if now_ns >= self.window.from_ns && self.opened.is_none() {
            self.opened = Some(self.edge(now_ns, answered)?);
        }
        if now_ns >= self.window.until_ns && !self.closed {
            self.close(now_ns, answered)?;
        }
        while now_ns >= self.second_at_ns && !self.closed {
            self.driven.per_second.push(answered - self.second_answered);
            self.second_answered = answered;
            self.second_at_ns += SECOND_NS;
        }
        Ok(())
    }

    fn edge(&self, at_ns: u64, answered: u64) -> anyhow::Result<Edge> {
        Ok(Edge {
            at_ns,
            answered,
            // A server that is gone shows as a fault of its connections.
            server_cpu_ns: self.server.and_then(|pid| process_cpu_ns(pid).ok()),
            client_cpu_ns: own_cpu_ns()?,
        })
    }

    fn close(&mut self, now_ns: u64, answered: u64) -> anyhow::Result<()> {
        let Some(opened) = self.opened.take() else {
            return Ok(());
        };
        let now = self.edge(now_ns, answered)?;
        self.driven.answered = now.answered - opened.answered;
        self.driven.window_ns = now.at_ns - opened.at_ns;
        self.driven.client_cpu_ns = now.client_cpu_ns.saturating_sub(opened.client_cpu_ns);
        let server = now.server_cpu_ns.zip(opened.server_cpu_ns);
        self.driven.server_cpu_ns = server.map(|(now, before)| now.saturating_sub(before));
        self.closed = true;
        Ok(())
    }

    /// An interrupted run counts what there was of its window.
    fn finish(mut self, now_ns: u64, answered: u64) -> anyhow::Result<Driven> {
        let gone = self.driven.fault.is_some();
        if !self.closed && !gone {
            self.close(now_ns, answered)?;
        }
        Ok(self.driven)
    }
}
