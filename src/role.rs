//! What a process of ours runs: all of it, or a gateway or a router of a cluster.

use crate::config::Config;
use anyhow::Result;
use millpond_backplane::metrics::Source;
use millpond_gateway::Budget;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// It starts nothing that it does not stop again: [`Role::drain`], then [`Role::stop`].
pub(crate) trait Role: Sized + Send + 'static {
    /// Returns when it works. May block.
    fn start(config: &Config) -> Result<Self>;

    /// `Err` when a restart is the cure.
    fn health(&self) -> Result<(), String>;

    /// Asked for reasons why nothing can be done just now, although it goes on trying.
    fn troubles(&self) -> Arc<dyn Fn() -> Vec<String> + Send + Sync>;

    /// What has numbers to show.
    fn sources(&self) -> Vec<Arc<dyn Source>>;

    /// Where clients are, if they are.
    fn gateway(&self) -> Option<Clients<'_>>;

    /// What it is and what it promises, for the start-up lines.
    fn describe(&self, config: &Config) -> String;

    /// Takes nobody new, and sends everybody away over `spread`.
    fn drain(&self, spread: Duration);

    /// Ends it when it has been drained, at most for `patience`. Whatever is not finished was not acknowledged.
    fn stop(self, patience: Duration) -> Result<()>;
}

/// The gateway of a process.
pub(crate) struct Clients<'a> {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    pub(crate) budget: &'a Budget,
    pub(crate) numbers: Arc<dyn Source>,
}
