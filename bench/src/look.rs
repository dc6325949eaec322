//! The machine and the two sides' own memory at one moment, when it stands still.

use crate::course::TURN;
use crate::crowd::Crowd;
use crate::memory::{Reading, anonymous_bytes};
use crate::preflight;
use crate::program::Stop;
use crate::protocol::Protocol;
use crate::target::Target;
use anyhow::ensure;
use std::time::{Duration, Instant};

/// Waits until the machine's memory stands still, and reads it.
pub(crate) struct Quiet {
    pub(crate) stop: Stop,
    /// How long it may take.
    patience: Duration,
}

const QUIET_STEP: Duration = Duration::from_millis(150);
const PATIENCE_MIN: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_secs(10);
/// Little memory moves for few connections, and nobody waits long for figures of a few.
const PATIENCE_EACH: Duration = Duration::from_millis(1);
const QUIET_BYTES: f64 = 1e6;
/// The kernel frees some 70,000 sockets a second; what it has not freed would hide what the next phase takes.
const GONE_WITHIN: Duration = Duration::from_secs(120);
/// The kernel counts open files per core, in batches.
const FILES_SLACK: u64 = 2_000;

impl Quiet {
    /// For a run of so many connections.
    pub(crate) fn new(stop: &Stop, connections: u32) -> Self {
        let patience = PATIENCE_EACH * connections;
        Self {
            stop: stop.clone(),
            patience: patience.clamp(PATIENCE_MIN, PATIENCE_MAX),
        }
    }

    /// Until no more files are open on the machine than these: the sockets of a phase are gone.
    pub(crate) fn until_open_files(&self, files: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        while preflight::open_files()? > files + FILES_SLACK && !self.stop.is_set() {
            ensure!(
                start.elapsed() < GONE_WITHIN,
                "{} files are open, {} s after the sockets of a phase were closed; {files} were before it",
                preflight::open_files()?,
                GONE_WITHIN.as_secs(),
            );
            std::thread::sleep(QUIET_STEP);
        }
        Ok(())
    }

    pub(crate) fn reading(&self) -> anyhow::Result<Reading> {
        self.reading_while(&mut || {
            std::thread::sleep(QUIET_STEP);
            Ok(())
        })
    }

    /// The same, while `pass` lets some milliseconds go by: clients go on with their heartbeats.
    pub(crate) fn reading_while(
        &self,
        pass: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Reading> {
        let start = Instant::now();
        let mut last = Reading::take()?;
        let mut still = 0;
        while still < 3 && start.elapsed() < self.patience && !self.stop.is_set() {
            let step = Instant::now();
            while step.elapsed() < QUIET_STEP {
                pass()?;
            }
            let now = Reading::take()?;
            let moved = (now.used_bytes - last.used_bytes).abs();
            still = if moved < QUIET_BYTES { still + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }
}

/// The machine, the server's own memory and the generator's, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    machine: Reading,
    pub(crate) server_bytes: Option<u64>,
    pub(crate) own_bytes: u64,
}

impl Look {
    pub(crate) fn take(target: Option<&Target>, quiet: &Quiet) -> anyhow::Result<Self> {
        Self::at(target, quiet.reading()?)
    }

    /// The same, while a crowd stands.
    pub(crate) fn take_of<P: Protocol>(
        target: &Target,
        quiet: &Quiet,
        crowd: &mut Crowd<P>,
    ) -> anyhow::Result<Self> {
        Self::at(Some(target), quiet.reading_while(&mut || crowd.turn(TURN))?)
    }

    fn at(target: Option<&Target>, machine: Reading) -> anyhow::Result<Self> {
        Ok(Self {
            machine,
            server_bytes: target.and_then(Target::own_bytes),
            own_bytes: anonymous_bytes(rustix::process::getpid())?,
        })
    }

    /// All that the server's side has taken since `before`, when so many clients of the crowd stand.
    pub(crate) fn server_side(&self, before: &Self, connections: u64, client: f64) -> f64 {
        let generator = self.own_bytes as f64 - before.own_bytes as f64;
        self.machine.since(&before.machine) - generator - client * connections as f64
    }
}
