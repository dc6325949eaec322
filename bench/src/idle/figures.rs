//! What the scenario found, for the table and for JSON.

use crate::floor::Floor;
use crate::look::Look;
use crate::metrics::Metrics;
use crate::report::{Bars, Better, Figures, Judged, Table};
use crate::target::Target;
use crate::traffic::TrafficFigures;
use serde::Serialize;
use std::time::Duration;

/// Everything of one run.
#[derive(Debug, Serialize)]
pub struct IdleFigures {
    pub(super) connections: u64,
    pub(super) dropped: u64,
    pub(super) turned_away: u64,
    pub(super) connects_per_second: f64,
    pub(super) accepts_per_second: f64,
    pub(super) connects_to_accepts: f64,
    /// CPU time; the generator is one thread, so its share bounds the rate.
    pub(super) server_us_per_connect: Option<f64>,
    pub(super) generator_us_per_connect: Option<f64>,
    pub(super) memory: Memory,
    pub(super) held: Held,
    pub(super) messages: TrafficFigures,
    pub(super) routes: Option<Routes>,
    pub(super) storm: Option<Storm>,
    /// The server's own memory when all are gone, in bytes.
    pub(super) left_bytes: Option<u64>,
    pub(super) judged: Judged,
}

/// Bytes per connection, of the server's side.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    /// All that the server's side took since before it was started, rings and all, by connections.
    pub(super) all: f64,
    /// The same between the two sizes.
    pub(super) slope: f64,
    /// Of it, the process's own: heap, stacks and buffers of rings, with what it had before anybody came.
    pub(super) user: Option<f64>,
    /// The process's own between the two sizes.
    pub(super) user_slope: Option<f64>,
    /// The process's own, before anybody came.
    pub(super) started_bytes: Option<u64>,
    /// And when all stood.
    pub(super) standing_bytes: Option<u64>,
    /// A bare accepted socket.
    pub(super) floor: f64,
    /// Whether the kernel's objects were counted for it, or only memory.
    pub(super) floor_by_objects: bool,
    pub(super) ratio: f64,
    pub(super) slope_ratio: f64,
    /// One client of the generator: in the kernel, and its own.
    pub(super) client_kernel: f64,
    pub(super) client_user: f64,
}

pub(super) struct Measured<'a> {
    pub(super) before: &'a Look,
    pub(super) started: &'a Look,
    pub(super) half: (&'a Look, u64),
    pub(super) whole: (&'a Look, u64),
    pub(super) floor: &'a Floor,
}

impl Memory {
    pub(super) fn new(measured: &Measured<'_>) -> Self {
        let Measured {
            before,
            started,
            half: (half, half_count),
            whole: (whole, count),
            floor,
        } = measured;
        let side = |look: &Look, count| look.server_side(before, count, floor.client);
        let (n, more) = (
            (*count).max(1) as f64,
            count.saturating_sub(*half_count).max(1) as f64,
        );
        let all = side(whole, *count) / n;
        let slope = (side(whole, *count) - side(half, *half_count)) / more;
        let accepted = floor.accepted;
        let own = |look: &Look| look.server_bytes.map(|bytes| bytes as f64);
        let user = own(whole).map(|bytes| bytes / n);
        let user_slope = own(whole)
            .zip(own(half))
            .map(|(whole, half)| (whole - half) / more);
        Self {
            all,
            slope,
            user,
            user_slope,
            started_bytes: started.server_bytes,
            standing_bytes: whole.server_bytes,
            floor: accepted,
            floor_by_objects: floor.by_objects,
            ratio: all / accepted,
            slope_ratio: slope / accepted,
            client_kernel: floor.client,
            client_user: (whole.own_bytes as f64 - before.own_bytes as f64) / n,
        }
    }
}

/// While nothing happened but heartbeats.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    pub(super) seconds: f64,
    pub(super) heartbeats: u64,
    pub(super) heartbeats_per_second: f64,
    pub(super) heartbeats_missed: u64,
    pub(super) dropped: u64,
    pub(super) server_cores: Option<f64>,
    pub(super) generator_cores: Option<f64>,
}

/// Writes of the gateways to the table of routes, until the storm.
#[derive(Debug, Serialize)]
pub(super) struct Routes {
    pub(super) writes: f64,
    pub(super) batches: f64,
    pub(super) renewals: f64,
}

impl Routes {
    pub(super) fn read(target: &Target) -> anyhow::Result<Option<Self>> {
        let metrics = target.admin.map(Metrics::read).transpose()?;
        Ok(metrics.and_then(|metrics| {
            Some(Self {
                writes: metrics.sum("millpond_gateway_route_writes_total")?,
                batches: metrics.sum("millpond_gateway_route_batches_total")?,
                renewals: metrics.sum("millpond_gateway_lease_renewals_total")?,
            })
        }))
    }
}

/// All gone at once, and back.
#[derive(Debug, Serialize)]
pub(super) struct Storm {
    pub(super) connections: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) turned_away: u64,
    pub(super) dropped: u64,
    pub(super) closed_by_the_server: Option<f64>,
    pub(super) server_cores: Option<f64>,
}

pub(super) fn rate(took: Duration, count: u64) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

impl IdleFigures {
    pub(super) fn bars(&self) -> Bars {
        let memory = &self.memory;
        let bars = Bars::new("server side, per idle connection", "bytes", Better::Lower)
            .value("bare accepted socket", memory.floor)
            .value("kernel and process", memory.all);
        match memory.user {
            Some(user) => bars.value("of it the process's own", user),
            None => bars,
        }
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Figures for IdleFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let mut row = |name: &str, value: Option<f64>| table.numbers(name, [value]);
        let (memory, held, messages) = (&self.memory, &self.held, &self.messages);
        row("connections", Some(self.connections as f64));
        row("  dropped", Some(self.dropped as f64));
        row(
            "  connected and authenticated, per second",
            Some(self.connects_per_second),
        );
        row(
            "  ÷ bare accepts per second of this run",
            Some(self.connects_to_accepts),
        );
        row("  server CPU of each, µs", self.server_us_per_connect);
        row("  generator CPU of each, µs", self.generator_us_per_connect);
        row("server side, bytes per connection, all", Some(memory.all));
        row("  ÷ bare accepted socket of this run", Some(memory.ratio));
        row("  between half and all of them", Some(memory.slope));
        row("  ÷ bare accepted socket", Some(memory.slope_ratio));
        row("  the process's own", memory.user);
        row("  between half and all of them", memory.user_slope);
        row("bare accepted socket, bytes", Some(memory.floor));
        row(
            "generator, bytes per connection: kernel",
            Some(memory.client_kernel),
        );
        row("  its own", Some(memory.client_user));
        row("held, seconds", Some(held.seconds));
        row("  heartbeats per second", Some(held.heartbeats_per_second));
        row(
            "  heartbeats without an answer",
            Some(held.heartbeats_missed as f64),
        );
        row("  server, cores", held.server_cores);
        row("  generator, cores", held.generator_cores);
        row("messages sent to random ones", Some(messages.sent as f64));
        row("  delivered", Some(messages.delivered as f64));
        row("  acked, p99 µs", messages.acked.p99_us);
        row("  delivered, p50 µs", messages.arrived.p50_us);
        row("  delivered, p99 µs", messages.arrived.p99_us);
        if let Some(routes) = &self.routes {
            row("route writes", Some(routes.writes));
            row("  batches of them", Some(routes.batches));
            row("  lease renewals", Some(routes.renewals));
        }
        if let Some(storm) = &self.storm {
            row("storm: back, per second", Some(storm.per_second));
            row("  all back after, seconds", Some(storm.seconds));
            row(
                "  turned away and come again",
                Some(storm.turned_away as f64),
            );
            row("  server, cores", storm.server_cores);
        }
        row(
            "the process's own, MiB: before anybody came",
            memory.started_bytes.map(mebibytes),
        );
        row("  when all stood", memory.standing_bytes.map(mebibytes));
        row("  when all are gone", self.left_bytes.map(mebibytes));
        if self.judged.operations > 0 {
            row("operations checked", Some(self.judged.operations as f64));
        }
        table
    }
}
