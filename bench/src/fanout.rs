//! `bench fanout`: a message to many. Every user has several devices, all connected; a message reaches those of its
//! recipient, and the other ones of its sender. The checker judges what each device got.

use crate::args::{Fanout, Speech};
use crate::clock::SECOND_NS;
use crate::course::{Course, cores};
use crate::program::Program;
use crate::report::{Figures, Judged, Table, Verdict};
use crate::target::Target;
use crate::traffic::{Traffic, TrafficFigures};
use anyhow::ensure;
use serde::Serialize;

/// Runs the scenario and publishes its report.
pub fn run(args: &Fanout, program: &Program) -> anyhow::Result<Verdict> {
    let (connections, width) = (args.clients.connections, args.width);
    ensure!(
        args.clients.protocol == Speech::Millpond,
        "fanout is for --protocol millpond: the others' servers only echo"
    );
    ensure!(
        connections.is_multiple_of(width) && connections >= 2 * width,
        "{connections} connections are not two or more users with {width} devices each"
    );
    let mut course = Course::begin(&args.clients, program)?;
    let target = Target::wanted(program, &args.clients, 0)?;
    let people = Box::new(course.ours(&target, width)?);
    let mut crowd = course.crowd(connections, &target, people)?;
    course.ramp(&mut crowd, &target, connections)?;
    let start_ns = course.clock.now_ns();
    let (count, server_ns) = (u64::from(args.messages), target.cpu_ns());
    let mut traffic = Traffic::new(&mut crowd, width as usize, (count, args.rate), start_ns);
    traffic.run(&mut course, &mut crowd, &target, "deliveries")?;
    let seconds = (course.clock.now_ns() - start_ns) as f64 / SECOND_NS as f64;
    let server_cores = cores(server_ns, target.cpu_ns(), seconds);
    traffic.tell(&mut course, ["message acked", "delivered to a device"]);
    let dropped = crowd.counts().dropped;
    course.judge_dropped(dropped, "");
    let judged = crowd
        .scatter()
        .judge(traffic.caught_up(), course.clock.now_ns());
    course.violations.extend(judged.violations.iter().cloned());
    let figures = FanoutFigures {
        connections,
        width,
        copies: traffic.copies(),
        deliveries_per_second: traffic.delivered() as f64 / seconds,
        messages: traffic.figures(),
        server_cores,
        judged,
    };
    let parameters = serde_json::json!({
        "width": width,
        "messages": args.messages,
        "messages_per_second": args.rate,
    });
    course.publish("fanout", parameters, None, figures)
}

#[derive(Debug, Serialize)]
struct FanoutFigures {
    connections: u32,
    /// Devices of a user.
    width: u32,
    /// Deliveries of a message.
    copies: u64,
    deliveries_per_second: f64,
    messages: TrafficFigures,
    server_cores: Option<f64>,
    judged: Judged,
}

impl Figures for FanoutFigures {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let mut row = |name: &str, value: Option<f64>| table.numbers(name, [value]);
        let messages = &self.messages;
        row("connections", Some(self.connections.into()));
        row("  devices of each user", Some(self.width.into()));
        row("messages", Some(messages.sent as f64));
        row("  deliveries of each", Some(self.copies as f64));
        row("  deliveries", Some(messages.delivered as f64));
        row("  deliveries per second", Some(self.deliveries_per_second));
        row("acked, p99 µs", messages.acked.p99_us);
        row("delivered to a device, p50 µs", messages.arrived.p50_us);
        row("  p99 µs", messages.arrived.p99_us);
        row("delivered to the last one, p50 µs", messages.whole.p50_us);
        row("  p99 µs", messages.whole.p99_us);
        row("server, cores", self.server_cores);
        row("operations checked", Some(self.judged.operations as f64));
        table
    }
}
