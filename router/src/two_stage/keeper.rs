//! An owner on a thread of its own: opened, stepped until it fails, and opened again after a pause. What was not
//! acknowledged is replayed by the next one, so a failure costs time and nothing else.

use super::{Owner, OwnerCounters, OwnerError, Progress};
use millpond_backplane::metrics::{Counter, Sample, SampleKind, Source};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an owner that found nothing to do sleeps: what a message waits longer in a router that stands still.
const IDLE_NAP: Duration = Duration::from_millis(1);
/// From a failure to the next owner.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);
/// How often partitions where nothing happens follow their neighbours.
const PASS_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long the thread does not look whether it is to stop.
const LOOK: Duration = Duration::from_millis(10);

/// Ends its thread when it is dropped.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    stopping: AtomicBool,
    /// Why there is no owner just now.
    trouble: Mutex<Option<String>>,
    opened: Counter,
    failures: Counter,
    /// Of all its owners.
    owners: Arc<OwnerCounters>,
}

impl Keeper {
    /// `open` makes an owner; it may block for a bounded time.
    ///
    /// # Errors
    /// No thread.
    pub fn start(
        name: String,
        open: impl FnMut() -> Result<Owner, OwnerError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            stopping: AtomicBool::new(false),
            trouble: Mutex::new(Some("it has not opened yet".to_owned())),
            opened: Counter::default(),
            failures: Counter::default(),
            owners: Arc::default(),
        });
        let running = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(shared.name.clone());
        let thread = thread.spawn(move || running.keep(open))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// `Err` while there is no owner, with the reason.
    pub fn health(&self) -> Result<(), String> {
        let dead = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        if dead {
            return Err(format!("{}: its thread has ended", self.shared.name));
        }
        match &*self.shared.trouble() {
            Some(why) => Err(format!("{}: {why}", self.shared.name)),
            None => Ok(()),
        }
    }

    /// The numbers, for whoever shows them.
    pub fn counts(&self) -> Arc<dyn Source> {
        Arc::<Shared>::clone(&self.shared)
    }

    /// Asks the thread to end after the piece of work at hand. What it has not written is replayed by the next owner.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    fn keep(&self, mut open: impl FnMut() -> Result<Owner, OwnerError>) {
        while !self.is_stopping() {
            let ended = open().and_then(|owner| self.work(owner));
            if let Err(error) = ended {
                self.failures.add(1);
                tracing::warn!(owner = self.name, %error, "an owner has ended; another one replays");
                *self.trouble() = Some(error.to_string());
                self.pause(REOPEN_PAUSE);
            }
        }
    }

    fn work(&self, owner: Owner) -> Result<(), OwnerError> {
        let mut owner = owner.counting(Arc::clone(&self.owners));
        self.opened.add(1);
        *self.trouble() = None;
        let mut passed = Instant::now();
        while !self.is_stopping() {
            if passed.elapsed() > PASS_INTERVAL {
                passed = Instant::now();
                owner.pass_soon();
            }
            if owner.step()? == Progress::Idle {
                std::thread::sleep(IDLE_NAP);
            }
        }
        Ok(())
    }

    fn pause(&self, mut left: Duration) {
        while !left.is_zero() && !self.is_stopping() {
            let nap = left.min(LOOK);
            std::thread::sleep(nap);
            left -= nap;
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Every change is one store, so a panic elsewhere under the lock does no harm.
    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Shared {
    fn samples(&self, into: &mut Vec<Sample>) {
        const COUNTER: SampleKind = SampleKind::Counter;
        let owned = u64::from(self.trouble().is_none());
        let owners = &self.owners;
        let numbers = [
            (
                "router_owner_entries_total",
                "Records taken from the log.",
                COUNTER,
                owners.entries.value(),
            ),
            (
                "router_owner_repeated_total",
                "Records that the rows had seen already: a replay.",
                COUNTER,
                owners.repeated.value(),
            ),
            (
                "router_owner_dropped_total",
                "Emissions of the other stage that came twice.",
                COUNTER,
                owners.dropped.value(),
            ),
            (
                "router_dead_letters_total",
                "Records that no machine can take.",
                COUNTER,
                owners.dead_letters.value(),
            ),
            (
                "router_owner_commits_total",
                "Commits of rows.",
                COUNTER,
                owners.commits.value(),
            ),
            (
                "router_owner_rows_total",
                "Rows in them.",
                COUNTER,
                owners.rows.value(),
            ),
            (
                "router_owners_opened_total",
                "Times that an owner of partitions was opened.",
                COUNTER,
                self.opened.value(),
            ),
            (
                "router_owner_failures_total",
                "Times that an owner ended with an error, or could not be opened.",
                COUNTER,
                self.failures.value(),
            ),
            (
                "router_owner_stands",
                "1 while its partitions are worked through.",
                SampleKind::Gauge,
                owned,
            ),
        ];
        into.extend(numbers.map(|(name, help, kind, value)| {
            Sample::of(name, help, kind, value).labelled("owner", &*self.name)
        }));
    }
}
