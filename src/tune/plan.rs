//! `millpond tune plan`: both directions, with the arithmetic.

use super::{LoadWish, say, size};
use anyhow::Result;
use millpond_tuning::check::Target;
use millpond_tuning::plan::{CONNECTIONS_MAX, Need, Plan, Unit, fitting};
use millpond_tuning::{Headroom, Limits, Wanted, headroom};
use serde_json::json;

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Connections to plan for; without it, as many as fit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    connections: Option<u64>,
    /// Memory of the machine, as in 64G; without it, this machine's
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,
    #[command(flatten)]
    load: LoadWish,
    /// The plan as JSON
    #[arg(long)]
    json: bool,
}

/// A plan, and how it stands to memory and machine.
struct Answer {
    plan: Plan,
    memory_bytes: u64,
    /// Connections that so much memory holds.
    fits: u64,
    /// What this machine has room for just now; not when another machine's memory was given.
    here: Option<Headroom>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let answer = arguments.answer()?;
    if arguments.json {
        return say(&format!("{:#}\n", answer.json()));
    }
    say(&answer.text())
}

impl Arguments {
    fn answer(&self) -> Result<Answer> {
        let root = self.load.root();
        // The load as this machine bounds it: open files, ports, pages.
        let target = Target::new(&root, 0, self.load.load());
        let load = target.plan.load;
        let memory_bytes = match self.memory {
            Some(bytes) => bytes,
            None => target.limits.memory_total_bytes.clone()?,
        };
        let fits = fitting(memory_bytes, &load);
        let connections = self.connections.unwrap_or(fits);
        let plan = millpond_tuning::plan::plan(connections, &load);
        let here = self.memory.is_none().then(|| room(&target.limits, &plan));
        Ok(Answer {
            plan,
            memory_bytes,
            fits,
            here,
        })
    }
}

/// With as many rings as the plan has.
fn room(limits: &Limits, plan: &Plan) -> Headroom {
    let mut wanted = Wanted {
        rings_max: plan.rings,
        ..Wanted::default()
    };
    if plan.load.tls {
        wanted.user_bytes_per_connection += millpond_tuning::constants::TLS_BYTES;
    }
    wanted.clients_here = plan.load.clients_here.then(|| millpond_tuning::Clients {
        source_addresses: plan.source_addresses,
        ..millpond_tuning::Clients::default()
    });
    headroom(limits, &wanted)
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        json!({
            "plan": self.plan,
            "given_memory_bytes": self.memory_bytes,
            "fitting_connections": self.fits,
            "headroom": self.here,
        })
    }

    fn text(&self) -> String {
        let plan = &self.plan;
        let mut text = format!("{} connections\n\nmemory\n", plan.connections);
        for need in &plan.memory {
            text += &line(need);
        }
        let sum = size::shown(plan.memory_bytes);
        text += &format!(
            "  {sum:>12}  in all ({} B)\n\nbeside it\n",
            plan.memory_bytes
        );
        for need in &plan.needs {
            text += &line(need);
        }
        let given = size::shown(self.memory_bytes);
        let verdict = match plan.connections <= self.fits {
            true => "the plan fits",
            false => "the plan does not fit",
        };
        text += &format!("\n{given} hold {} connections: {verdict}\n", self.fits);
        if let Some(here) = &self.here {
            text += &format!("this machine now, with {} rings: {here}\n", plan.rings);
        }
        text
    }
}

fn line(need: &Need) -> String {
    let value = match need.unit {
        Unit::Bytes => size::shown(need.value),
        Unit::BitsPerSecond => format!("{} kbit/s", need.value.div_ceil(1_000)),
        Unit::Count => need.value.to_string(),
        Unit::Seconds => format!("{} s", need.value),
    };
    format!(
        "  {value:>12}  {}\n                = {} ({})\n",
        need.what, need.how, need.sure
    )
}
