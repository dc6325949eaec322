//! The store: opened, read, committed to.

use crate::cluster::Cluster;
use crate::connection::{self, Runtime};
use crate::metrics::StoreMetrics;
use crate::write::Plan;
use crate::{OpenError, Options, read};
use millpond_backplane::store::{Answer, Batch, Durability, Read, Store, StoreError};
use std::sync::Arc;
use std::time::Instant;

/// Rows of a cluster's keyspace.
///
/// After [`StoreError::Failed`] nothing of the batch may be assumed written, and some of it may be written later, by a
/// request that was thought lost. Who gets it stops and replays, as the seam says; but the store itself is as good as
/// before, because writing again is harmless: it works when the cluster does, without being opened again.
pub struct CassandraStore {
    cluster: Arc<Cluster>,
    durability: Durability,
    runtime: Runtime,
}

impl CassandraStore {
    /// Opens the store in this keyspace.
    ///
    /// # Errors
    /// No node that answers within [`Options::connect_timeout`]; no store in the keyspace, one of another version, or
    /// tables that are not ours.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let start = Instant::now();
        let runtime = connection::runtime()?;
        let cluster = runtime.block_on(Cluster::open(options))?;
        tracing::info!(keyspace = %options.keyspace, took = ?start.elapsed(), "store opened");
        Ok(Self {
            cluster: Arc::new(cluster),
            durability: options.durability,
            runtime,
        })
    }

    pub fn metrics(&self) -> &StoreMetrics {
        &self.cluster.metrics
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.cluster.in_flight()
    }
}

impl Store for CassandraStore {
    fn read(&self, reads: &[Read]) -> Result<Vec<Answer>, StoreError> {
        self.runtime.block_on(read::answers(&self.cluster, reads))
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let start = Instant::now();
        let plan = Plan::of(batch)?;
        let (rows, bytes) = (plan.rows, plan.bytes);
        self.runtime
            .block_on(plan.write(&self.cluster))
            .inspect_err(|error| tracing::error!(%error, "a batch was not written"))?;
        self.metrics().committed(rows, bytes, start.elapsed());
        Ok(())
    }

    fn epoch(&self) -> u64 {
        self.cluster.epoch
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn batches_are_atomic(&self) -> bool {
        false
    }
}

impl std::fmt::Debug for CassandraStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CassandraStore")
            .field("epoch", &self.cluster.epoch)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
