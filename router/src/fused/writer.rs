//! The writer thread: takes records, runs the core, hands batches on, releases what is durable.

use super::Shared;
use super::commit::{Done, Job};
use super::core::{FusedCore, Now, Turn};
use super::intake::Intake;
use crate::effects::Effects;
use crate::release::Releaser;
use millpond_backplane::mesh::Receiver;
use millpond_backplane::store::Batch;
use millpond_backplane::{CommandBody, Entry};
use millpond_wire::Code;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

pub(super) struct Writer {
    pub(super) core: FusedCore,
    pub(super) intake: Intake,
    pub(super) clock: Box<dyn Fn() -> Now + Send>,
    pub(super) jobs: SyncSender<Job>,
    pub(super) done: Receiver<Done>,
    /// Turns whose effects may not leave yet, in order.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) releaser: Releaser,
    pub(super) shared: Arc<Shared>,
}

/// A turn that is not durable yet, or stands behind one.
pub(super) struct Waiting {
    number: u64,
    effects: Effects,
    /// Without rows there is nothing to commit, but the order stays.
    has_rows: bool,
}

/// Turns that wait for a commit, with and without rows.
const WAITING_MAX: usize = 8;
/// The longest sleep: a committer that has died does not ring.
const SLEEP_MAX: Duration = Duration::from_millis(250);

impl Writer {
    pub(super) fn start(self) -> std::io::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("router".into());
        thread.spawn(move || self.run())
    }

    fn run(mut self) {
        let why = match self.serve() {
            Ok(()) => return,
            Err(why) => why,
        };
        tracing::error!(%why, "the router takes no more messages; restart the server");
        self.shared.fail(why);
        self.refuse_everything();
    }

    /// Until it is told to stop, or cannot go on.
    fn serve(&mut self) -> Result<(), String> {
        let mut entries = Vec::new();
        loop {
            self.collect()?;
            let stopping = self.shared.stopping.load(Ordering::SeqCst);
            if self.may_run() {
                self.take(&mut entries);
                if !entries.is_empty() || self.is_due() {
                    self.turn(&mut entries)?;
                    continue;
                }
                if stopping {
                    return self.finish();
                }
            }
            self.sleep();
        }
    }

    fn may_run(&self) -> bool {
        self.commits_in_flight() < self.core.config().commits_in_flight_max
            && self.waiting.len() < WAITING_MAX
    }

    fn commits_in_flight(&self) -> usize {
        self.waiting
            .iter()
            .filter(|waiting| waiting.has_rows)
            .count()
    }

    fn take(&mut self, entries: &mut Vec<Entry>) {
        let bounds = self.core.config();
        self.intake
            .take(entries, bounds.batch_entries_max, bounds.batch_bytes_max);
    }

    fn is_due(&self) -> bool {
        self.core
            .next_due()
            .is_some_and(|due| due <= (self.clock)().steady_ms)
    }

    fn turn(&mut self, entries: &mut Vec<Entry>) -> Result<(), String> {
        match self.core.run(entries, (self.clock)()) {
            Ok(turn) => self.hand_on(turn),
            Err(error) => {
                self.refuse(&unanswered(entries));
                Err(error.to_string())
            }
        }
    }

    fn hand_on(&mut self, turn: Turn) -> Result<(), String> {
        let Turn {
            number,
            batch,
            effects,
        } = turn;
        let has_rows = !batch.writes.is_empty();
        self.waiting.push_back(Waiting {
            number,
            effects,
            has_rows,
        });
        if has_rows {
            let job = Job { number, batch };
            if self.jobs.send(job).is_err() {
                // It ends with the first failure, which says more than its end does.
                self.collect()?;
                return Err("the committer has died".into());
            }
        }
        self.release_rowless();
        Ok(())
    }

    /// Releases what has become durable.
    fn collect(&mut self) -> Result<(), String> {
        while let Some(Done { number, result }) = self.done.pop() {
            let batch = result.map_err(|error| error.to_string())?;
            let first = self
                .waiting
                .pop_front()
                .expect("what is committed was waiting");
            assert_eq!(first.number, number, "batches are committed in order");
            self.release(&first, Some(batch));
            self.release_rowless();
        }
        if self.done.is_closed() && self.done.is_empty() && self.commits_in_flight() > 0 {
            return Err("the committer has died".into());
        }
        Ok(())
    }

    fn release_rowless(&mut self) {
        while self
            .waiting
            .front()
            .is_some_and(|waiting| !waiting.has_rows)
        {
            let first = self.waiting.pop_front().expect("there is a front");
            self.release(&first, None);
        }
    }

    fn release(&mut self, waiting: &Waiting, emptied: Option<Batch>) {
        self.core.committed(waiting.number, emptied);
        let deliveries = self.releaser.release(&waiting.effects);
        self.shared.counters.deliveries.add(deliveries);
    }

    fn sleep(&self) {
        let longest = match self.core.next_due() {
            Some(due) if self.may_run() => {
                Duration::from_millis(due.saturating_sub((self.clock)().steady_ms))
            }
            _ => SLEEP_MAX,
        };
        self.shared.bell.wait(longest.min(SLEEP_MAX));
    }

    /// Writes all that lags and waits until everything is durable.
    fn finish(&mut self) -> Result<(), String> {
        loop {
            self.collect()?;
            if self.may_run() && self.core.has_dirty() {
                let turn = self.core.run_last((self.clock)());
                self.hand_on(turn)?;
            } else if self.waiting.is_empty() {
                return Ok(());
            } else {
                self.shared.bell.wait(SLEEP_MAX);
            }
        }
    }

    /// After a failure: whoever waits or comes is told that the server is unavailable, until it is told to stop.
    fn refuse_everything(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.refuse(&waiting.effects.failed());
        }
        let mut entries = Vec::new();
        loop {
            self.take(&mut entries);
            if !entries.is_empty() {
                let refused = unanswered(&entries);
                let dropped = entries.len() - refused.answers.len();
                self.shared.counters.entries_dropped.add(dropped as u64);
                self.refuse(&refused);
                entries.clear();
            } else if self.shared.stopping.load(Ordering::SeqCst) {
                return;
            } else {
                self.shared.bell.wait(SLEEP_MAX);
            }
        }
    }

    fn refuse(&mut self, effects: &Effects) {
        for _ in 0..effects.answers.len() {
            self.shared.counters.refused(Code::UNAVAILABLE);
        }
        self.releaser.release(effects);
    }
}

/// What the SENDs of a batch that came to nothing are told.
fn unanswered(entries: &[Entry]) -> Effects {
    let mut effects = Effects::default();
    for entry in entries {
        if let Entry::Command(command) = entry
            && let CommandBody::Send {
                from,
                client_msg_id,
                ..
            } = &command.body
        {
            effects.refuse(*from, *client_msg_id, Code::UNAVAILABLE);
        }
    }
    effects
}
