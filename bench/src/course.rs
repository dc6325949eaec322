//! What scenarios of very many clients have in common: they start or find the server, let clients in at their rate, look at
//! both once a second, and publish.

use crate::args::{Clients, Speech};
use crate::clock::{Clock, SECOND_NS};
use crate::cpu;
use crate::crowd::{self, Crowd, Ramp};
use crate::latency::{Latency, Origin};
use crate::look::Quiet;
use crate::memory::Reading;
use crate::metrics::Metrics;
use crate::preflight;
use crate::program::Program;
use crate::progress::Progress;
use crate::protocol::{Messaging, Millpond, Mqtt, QualityOfService, Raw, WebSocket};
use crate::report::{Bars, Figures, Report, Series, Verdict};
use crate::target::Target;
use anyhow::{Context, bail};
use std::path::Path;
use std::time::Duration;

/// Clients of whichever protocol the command line wants.
pub(crate) type People = Box<dyn Messaging>;

/// How long the generator waits for the kernel when nothing is due.
pub(crate) const TURN: Duration = Duration::from_millis(5);
/// Connections that may be under way: below the backlogs of a server, and no more than a ring of the crowd has buffers.
const UNDER_WAY_MAX: usize = 256;
/// Without one more connection for this long, a server is not there.
const STILL_MAX_NS: u64 = 30 * SECOND_NS;
const SAMPLE_EVERY_NS: u64 = SECOND_NS;
/// Of clients whose server does not say.
const HEARTBEAT: u32 = 60;

pub(crate) struct Course<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) program: &'a Program,
    pub(crate) clock: Clock,
    pub(crate) quiet: Quiet,
    pub(crate) violations: Vec<String>,
    pub(crate) void: Vec<String>,
    pub(crate) latencies: Vec<(&'static str, Latency)>,
    connections: Series,
    memory: Series,
    server_memory: Series,
    sampled_ns: u64,
}

impl<'a> Course<'a> {
    /// # Errors
    /// Flags that do not go together, and limits of this machine that so many clients would meet.
    pub(crate) fn begin(clients: &'a Clients, program: &'a Program) -> anyhow::Result<Self> {
        clients.check()?;
        preflight::connections(clients.connections)?;
        if let Some(core) = clients.client_cpu {
            cpu::pin(core)?;
        }
        Ok(Self {
            clients,
            program,
            clock: Clock::new(),
            quiet: Quiet::new(&program.stop, clients.connections),
            violations: Vec::new(),
            void: Vec::new(),
            latencies: Vec::new(),
            connections: Series::new("established", "connections"),
            memory: Series::new("memory in use, whole machine", "bytes"),
            server_memory: Series::new("the server's own", "bytes"),
            sampled_ns: 0,
        })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.program.stop.is_set()
    }

    /// Clients of our own protocol, of which so many are devices of one user.
    pub(crate) fn ours(&self, target: &Target, devices: u32) -> anyhow::Result<Millpond> {
        let data = target.data.as_deref().unwrap_or(Path::new("."));
        let tokens = (self.program.tokens)(data).context("reading the server's signing secret")?;
        Ok(Millpond::new(tokens, self.clients.connections, devices))
    }

    /// Clients of the protocol that was asked for.
    pub(crate) fn people(&self, target: &Target) -> anyhow::Result<People> {
        let clients = self.clients;
        let heartbeat = Duration::from_secs(clients.heartbeat.unwrap_or(HEARTBEAT).into());
        Ok(match clients.protocol {
            Speech::Millpond => Box::new(self.ours(target, 1)?),
            Speech::Raw => Box::new(Raw::new(heartbeat)),
            Speech::WebSocket => Box::new(WebSocket::new(
                target.address,
                &clients.path,
                clients.first_message.clone(),
                heartbeat,
            )),
            Speech::Mqtt => {
                let quality = match clients.qos {
                    0 => QualityOfService::AtMostOnce,
                    _ => QualityOfService::AtLeastOnce,
                };
                Box::new(Mqtt::new(quality, heartbeat))
            }
        })
    }

    /// So many of them, none of whom has come.
    pub(crate) fn crowd(
        &self,
        count: u32,
        target: &Target,
        people: People,
    ) -> anyhow::Result<Crowd<People>> {
        Crowd::new(count, target.address, self.clock, people)
    }

    /// Connects everybody up to `until` at the rate that was asked for; says how long it took.
    pub(crate) fn ramp(
        &mut self,
        crowd: &mut Crowd<People>,
        target: &Target,
        until: u32,
    ) -> anyhow::Result<Duration> {
        let start_ns = self.clock.now_ns();
        crowd.arrive(until, self.at_rate(self.clients.ramp));
        self.until_arrived(crowd, target, "connecting")?;
        Ok(Duration::from_nanos(self.clock.now_ns() - start_ns))
    }

    pub(crate) fn at_rate(&self, rate: Option<u32>) -> Ramp {
        Ramp {
            rate,
            under_way_max: UNDER_WAY_MAX,
        }
    }

    /// Until everybody who was let in stands.
    pub(crate) fn until_arrived(
        &mut self,
        crowd: &mut Crowd<People>,
        target: &Target,
        what: &str,
    ) -> anyhow::Result<()> {
        let wanted = self.clients.connections;
        let mut progress = Progress::counted(what, wanted.into(), "connections");
        let (mut seen, mut moved_ns) = (0, self.clock.now_ns());
        let start_ns = moved_ns;
        while !crowd.has_arrived() && !self.is_stopped() {
            crowd.turn(TURN)?;
            let now_ns = self.clock.now_ns();
            let standing = crowd.standing();
            if standing != seen {
                (seen, moved_ns) = (standing, now_ns);
            }
            if now_ns - moved_ns > STILL_MAX_NS {
                bail!(
                    "{standing} of {wanted} connections stand, and for {} s no other could: {:?}",
                    STILL_MAX_NS / SECOND_NS,
                    crowd.counts()
                );
            }
            progress.show(now_ns - start_ns, standing);
            self.sample(crowd, target)?;
        }
        Ok(())
    }

    /// Once a second.
    pub(crate) fn sample(&mut self, crowd: &Crowd<People>, target: &Target) -> anyhow::Result<()> {
        let now_ns = self.clock.now_ns();
        if now_ns < self.sampled_ns + SAMPLE_EVERY_NS {
            return Ok(());
        }
        self.sampled_ns = now_ns;
        let at_s = now_ns as f64 / SECOND_NS as f64;
        self.connections.push(at_s, crowd.standing() as f64);
        self.memory.push(at_s, Reading::take_used()? as f64);
        if let Some(bytes) = target.own_bytes() {
            self.server_memory.push(at_s, bytes as f64);
        }
        Ok(())
    }

    /// Notes connections that ended although nobody here ended them.
    pub(crate) fn judge_dropped(&mut self, dropped: u64, when: &str) {
        if dropped > 0 {
            let violation = format!("{dropped} connections were dropped{when}");
            self.violations.push(violation);
        }
    }

    pub(crate) fn publish<F: Figures>(
        self,
        scenario: &'static str,
        more: serde_json::Value,
        bars: Option<Bars>,
        figures: F,
    ) -> anyhow::Result<Verdict> {
        let parameters = self.parameters(more);
        let mut report = Report::new(scenario, self.program, parameters, figures);
        report.interrupted = self.program.stop.is_set();
        report.void.extend(self.void);
        report.violations.extend(self.violations);
        for series in [self.connections, self.memory, self.server_memory] {
            report.series(series);
        }
        for (name, latency) in &self.latencies {
            report.histogram(*name, Origin::IntendedSend, latency);
        }
        if let Some(bars) = bars {
            report.bars(bars);
        }
        report.publish(&self.clients.output)
    }

    /// Those that all scenarios have, and `more`.
    fn parameters(&self, more: serde_json::Value) -> serde_json::Value {
        let clients = self.clients;
        let mut all = serde_json::json!({
            "connections": clients.connections,
            "ramp_per_second": clients.ramp,
            "protocol": clients.protocol,
            "heartbeat_s": clients.heartbeat,
            "path": clients.path,
            "first_message": clients.first_message,
            "qos": clients.qos,
            "target": clients.target,
            "start": clients.start,
            "source_addresses": crowd::sources(clients.connections),
            "generator_rings": crowd::plan(clients.connections).rings_max,
        });
        if let (Some(all), serde_json::Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        all
    }
}

/// The server's own counters, where it has some.
pub(crate) fn metrics(target: &Target) -> anyhow::Result<Option<Metrics>> {
    target.admin.map(Metrics::read).transpose()
}

pub(crate) fn growth(before: &Option<Metrics>, now: &Option<Metrics>, name: &str) -> Option<f64> {
    now.as_ref()?.growth(before.as_ref()?, name)
}

/// Of cores, from nanoseconds at two moments.
pub(crate) fn cores(before_ns: Option<u64>, now_ns: Option<u64>, seconds: f64) -> Option<f64> {
    let ran_ns = now_ns?.saturating_sub(before_ns?);
    Some(ran_ns as f64 / SECOND_NS as f64 / seconds)
}
