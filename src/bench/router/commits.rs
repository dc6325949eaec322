//! The committer's thread: makes batches durable, in order, and tells how long each took.

use anyhow::{Context as _, Result};
use millpond_backplane::store::{Batch, Store, StoreError};
use millpond_embedded::FjallStore;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

pub(super) struct Commits {
    jobs: SyncSender<(u64, Batch)>,
    done: Receiver<Result<Done, StoreError>>,
}

/// A durable batch, whose memory can be used again.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) batch: Batch,
    pub(super) rows: u64,
    pub(super) took_ns: u64,
}

impl Commits {
    /// The thread ends when this value does.
    pub(super) fn start(store: Arc<FjallStore>, in_flight_max: usize) -> Result<Self> {
        let (jobs, jobs_out) = sync_channel::<(u64, Batch)>(in_flight_max);
        let (done_in, done) = sync_channel(in_flight_max);
        let thread = std::thread::Builder::new().name("bench-commit".to_owned());
        let work = move || {
            while let Ok((number, batch)) = jobs_out.recv() {
                if done_in.send(commit(&store, number, batch)).is_err() {
                    return;
                }
            }
        };
        thread.spawn(work).context("starting the committer")?;
        Ok(Self { jobs, done })
    }

    pub(super) fn give(&self, number: u64, batch: Batch) -> Result<()> {
        let given = self.jobs.send((number, batch));
        given.ok().context("the committer has ended")
    }

    pub(super) fn take(&self) -> Result<Done> {
        Ok(self.done.recv().context("the committer has ended")??)
    }
}

fn commit(store: &FjallStore, number: u64, mut batch: Batch) -> Result<Done, StoreError> {
    let begun = Instant::now();
    store.commit(&batch)?;
    let took_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let rows = batch.rows() as u64;
    batch.writes.clear();
    Ok(Done {
        number,
        batch,
        rows,
        took_ns,
    })
}
