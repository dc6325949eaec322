//! `millpond schema`: the tables of a cluster's store and the topics of its log, shown or made.

use super::parts;
use crate::serve::Arguments as Common;
use anyhow::{Context as _, Result};
use millpond_cassandra::schema;
use std::io::Write as _;

#[derive(clap::Args, Debug)]
#[group(id = "schema")]
pub struct Arguments {
    /// Make what is missing; without it, only show what would be made
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    common: Common,
}

/// # Errors
/// Servers that do not answer, or hold something of another version.
pub fn run(arguments: &Arguments) -> Result<()> {
    let config = arguments.common.config()?;
    let (store, log) = (parts::cassandra(&config)?, parts::kafka(&config));
    let mut out = std::io::stdout().lock();
    for statement in schema::statements(&store) {
        writeln!(out, "{statement};")?;
    }
    for topic in log.topics() {
        writeln!(out, "-- topic {topic}")?;
    }
    if arguments.apply {
        schema::apply(&store).context("the store")?;
        millpond_kafka::make_topics(&log).context("the log")?;
        writeln!(out, "-- made")?;
    }
    Ok(())
}
