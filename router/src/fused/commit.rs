//! The committer: a thread that does nothing but make batches durable, in order.

use super::counters::Counters;
use millpond_backplane::mesh::{self, ThreadBell};
use millpond_backplane::store::{Batch, Store, StoreError};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// A batch on its way to the store.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) batch: Batch,
}

/// What became of it. The batch comes back so that its memory is used again.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) result: Result<Batch, StoreError>,
}

/// The committer's ends.
#[derive(Debug)]
pub(super) struct Lane {
    jobs: Receiver<Job>,
    done: mesh::Sender<Done>,
}

pub(super) fn lanes(
    in_flight_max: usize,
    bell: Arc<ThreadBell>,
) -> (SyncSender<Job>, mesh::Receiver<Done>, Lane) {
    let (jobs_in, jobs) = sync_channel(in_flight_max);
    let (done, done_out) = mesh::channel(in_flight_max, bell);
    (jobs_in, done_out, Lane { jobs, done })
}

/// Runs until the writer is gone or a commit fails: after a failure the store takes no more.
pub(super) fn start(
    mut lane: Lane,
    store: Arc<dyn Store>,
    counters: Arc<Counters>,
) -> std::io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("router-commit".into());
    thread.spawn(move || {
        while let Ok(Job { number, batch }) = lane.jobs.recv() {
            let result = commit(&*store, batch, &counters);
            let failed = result.is_err();
            let done = Done { number, result };
            lane.done
                .push(done)
                .expect("there is room for every batch in flight");
            lane.done.flush();
            if failed {
                return;
            }
        }
    })
}

fn commit(store: &dyn Store, mut batch: Batch, counters: &Counters) -> Result<Batch, StoreError> {
    let begun = Instant::now();
    let result = store.commit(&batch);
    let took = begun.elapsed().as_micros();
    counters
        .commit_us
        .add(u64::try_from(took).unwrap_or(u64::MAX));
    match &result {
        Ok(()) => {
            counters.commits.add(1);
            counters.rows.add(batch.rows() as u64);
        }
        Err(_) => counters.commit_failures.add(1),
    }
    batch.writes.clear();
    result.map(|()| batch)
}
