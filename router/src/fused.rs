//! The fused driver: one process, one writer, and the rows are the truth.
//!
//! Shards hand in records through bounded queues ([`intake`]). The writer thread takes what is there, runs both
//! machines ([`FusedCore`]), and gives one atomic batch of rows to the committer thread; while that one syncs, the
//! writer prepares the next. Only when a batch is durable do its acks and deliveries leave.
//!
//! It must never release anything of a batch that is not committed. After a failed commit or read nothing in memory
//! may be trusted: every SEND is then answered 2003 unavailable, [`Fused::health`] says why, and a restart is the cure.

mod commit;
mod core;
mod counters;
mod hints;
mod intake;
mod lazy;
mod writer;

pub use self::core::{FusedCore, Now, Turn};
pub use counters::Counters;
pub use intake::{Intake, intake};

use crate::conversation::Rules;
use crate::release::Releaser;
use crate::world::CacheLimits;
use millpond_backplane::link::Link;
use millpond_backplane::mesh::{Bell as _, ThreadBell};
use millpond_backplane::metrics::{Sample, Source};
use millpond_backplane::routes::Routes;
use millpond_backplane::store::{Store, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use writer::Writer;

/// Every bound of the driver.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub rules: Rules,
    pub caches: CacheLimits,
    /// Records of one batch.
    pub batch_entries_max: usize,
    /// Payload bytes of one batch; the record that passes it is still taken.
    pub batch_bytes_max: usize,
    /// Batches handed to the committer and not yet durable.
    pub commits_in_flight_max: usize,
    /// For how long a row of marks or devices lags behind memory before it is due; under load it may be longer.
    pub lazy_ms: u64,
    /// Rows that may lag; what is above is written, due or not.
    pub dirty_max: usize,
    /// The shortest time between two hints about one member's marks in one conversation.
    pub hint_ms: u64,
    /// Members whose marks are held back at the same time.
    pub hints_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            caches: CacheLimits::default(),
            batch_entries_max: 2048,
            batch_bytes_max: 4 << 20,
            commits_in_flight_max: 2,
            lazy_ms: 1000,
            dirty_max: 1 << 17,
            hint_ms: 1000,
            hints_max: 1 << 16,
        }
    }
}

/// The running driver.
#[derive(Debug)]
pub struct Fused {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
    committer: JoinHandle<()>,
}

/// What the writer shares with those who watch it.
#[derive(Debug)]
pub(crate) struct Shared {
    bell: Arc<ThreadBell>,
    stopping: AtomicBool,
    failure: Mutex<Option<String>>,
    counters: Arc<Counters>,
}

/// Why the driver does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the store does not answer: {0}")]
    Store(#[from] StoreError),
    #[error("no thread for the router: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why the driver takes no more SENDs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the router has stopped for good, restart the server: {0}")]
pub struct Failure(pub String);

impl Fused {
    /// Reads where the last run ended and starts both threads.
    pub fn start(
        config: Config,
        store: Arc<dyn Store>,
        routes: Arc<dyn Routes>,
        link: Box<dyn Link>,
        intake: Intake,
        clock: impl Fn() -> Now + Send + 'static,
    ) -> Result<Self, StartError> {
        let core = FusedCore::open(config, store.clone())?;
        let shared = Arc::new(Shared {
            bell: intake.bell(),
            stopping: AtomicBool::new(false),
            failure: Mutex::new(None),
            counters: core.counters(),
        });
        let lanes = commit::lanes(config.commits_in_flight_max, shared.bell.clone());
        let (jobs, done, committer) = lanes;
        let committer = commit::start(committer, store, shared.counters.clone())?;
        let writer = Writer {
            core,
            intake,
            clock: Box::new(clock),
            jobs,
            done,
            waiting: std::collections::VecDeque::new(),
            releaser: Releaser::new(routes, link),
            shared: shared.clone(),
        };
        let writer = writer.start()?;
        Ok(Self {
            shared,
            writer,
            committer,
        })
    }

    /// `Err` when SENDs are refused until a restart.
    pub fn health(&self) -> Result<(), Failure> {
        if let Some(why) = self.shared.failure() {
            return Err(Failure(why));
        }
        if self.writer.is_finished() || self.committer.is_finished() {
            return Err(Failure("a thread of the router has died".into()));
        }
        Ok(())
    }

    /// The numbers, for as long as anybody wants to look at them.
    pub fn counters(&self) -> Arc<Counters> {
        self.shared.counters.clone()
    }

    /// Takes what is in the queues, writes what lags, ends both threads. Whoever fills the queues has to end before.
    /// `Err` when the driver had failed.
    pub fn stop(self) -> Result<(), Failure> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.bell.ring();
        let writer = self.writer.join();
        let committer = self.committer.join();
        if writer.is_err() || committer.is_err() {
            return Err(Failure("a thread of the router has died".into()));
        }
        self.shared
            .failure()
            .map_or(Ok(()), |why| Err(Failure(why)))
    }
}

impl Source for Fused {
    fn samples(&self, into: &mut Vec<Sample>) {
        self.shared.counters.samples(into);
    }
}

impl Shared {
    fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The first reason stays.
    pub(crate) fn fail(&self, why: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(why);
    }
}
