//! Requests to the cluster: bounded in number, repeated for a bounded time, over a connection that is made anew when the
//! old one has no node left.
//!
//! The driver tries the other replicas by itself. What comes back to here failed on all of them: the nodes are restarting,
//! too few are up for the consistency, or something is wrong for good, which is not repeated. The driver also comes back
//! to a node by itself, but waits up to ten seconds between its tries, so here it is not waited for.

use crate::connection::Connection;
use crate::metrics::StoreMetrics;
use crate::statement::Statement;
use crate::write::Unit;
use crate::{OpenError, Options};
use millpond_backplane::store::StoreError;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Between two tries of a request.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Between two tries to connect, all requests together.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Cluster {
    options: Options,
    pub(crate) epoch: u64,
    connection: RwLock<Arc<Connection>>,
    /// Who holds it connects; when that was tried last.
    reconnecting: Mutex<Option<Instant>>,
    permits: Semaphore,
    pub(crate) metrics: StoreMetrics,
}

impl Cluster {
    pub(crate) async fn open(options: &Options) -> Result<Self, OpenError> {
        let (connection, epoch) = Connection::open(options).await?;
        Ok(Self {
            options: options.clone(),
            epoch,
            connection: RwLock::new(Arc::new(connection)),
            reconnecting: Mutex::new(None),
            permits: Semaphore::new(options.in_flight_max),
            metrics: StoreMetrics::default(),
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        let free = self.permits.available_permits();
        self.options.in_flight_max.saturating_sub(free)
    }

    /// One page of rows.
    pub(crate) async fn page(
        &self,
        statement: Statement,
        values: &(impl SerializeRow + Sync),
        from: &PagingState,
    ) -> Result<(QueryResult, PagingStateResponse), StoreError> {
        let _permit = self.permit().await?;
        let mut tries = Tries::new(&self.options);
        loop {
            let connection = self.connection();
            match connection.page(statement, values, from.clone()).await {
                Ok(page) => return Ok(page),
                Err(error) => self.bear(&mut tries, &connection, error).await?,
            }
        }
    }

    /// The parts of a unit, one behind the other: what is there at any time is a unit as it once was, or could have been.
    pub(crate) async fn put(&self, unit: &Unit) -> Result<(), StoreError> {
        for part in &unit.parts {
            let _permit = self.permit().await?;
            let mut tries = Tries::new(&self.options);
            loop {
                let connection = self.connection();
                match connection.put(&unit.key, part).await {
                    Ok(()) => break,
                    Err(error) => self.bear(&mut tries, &connection, error).await?,
                }
            }
        }
        Ok(())
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let permit = self.permits.acquire().await;
        self.metrics.requests.add(1);
        permit.map_err(|_| StoreError::Failed("the store is closed".to_owned()))
    }

    fn connection(&self) -> Arc<Connection> {
        let connection = self.connection.read();
        connection.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when it is time for another try, which there is not for an error that another try does not cure.
    async fn bear(
        &self,
        tries: &mut Tries,
        connection: &Arc<Connection>,
        error: ExecutionError,
    ) -> Result<(), StoreError> {
        tries.failed += 1;
        let left = tries.deadline.saturating_duration_since(Instant::now());
        if is_final(&error) || left.is_zero() {
            let what = format!("{error} (tries: {})", tries.failed);
            return Err(StoreError::Failed(what));
        }
        self.metrics.retries.add(1);
        if has_no_node(&error) {
            let reconnected = self.reconnect(connection);
            // It is given up with the request.
            let _in_time = tokio::time::timeout(left, reconnected).await;
        }
        tokio::time::sleep(RETRY_PAUSE.min(left)).await;
        Ok(())
    }

    /// Replaces this connection, unless somebody has, or has just tried.
    async fn reconnect(&self, failed: &Arc<Connection>) {
        let mut last = self.reconnecting.lock().await;
        let too_early = last.is_some_and(|last| last.elapsed() < RECONNECT_PAUSE);
        if too_early || !Arc::ptr_eq(&self.connection(), failed) {
            return;
        }
        *last = Some(Instant::now());
        match Connection::open(&self.options).await {
            Ok((_, epoch)) if epoch != self.epoch => {
                tracing::error!(keyspace = %self.options.keyspace, "another store is in the keyspace now");
            }
            Ok((connection, _)) => {
                let mut current = self
                    .connection
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(connection);
                self.metrics.reconnects.add(1);
                tracing::info!(keyspace = %self.options.keyspace, "connected to the cluster again");
            }
            Err(error) => tracing::warn!(%error, "the cluster cannot be reached"),
        }
    }
}

/// Of one request.
struct Tries {
    deadline: Instant,
    failed: u32,
}

impl Tries {
    fn new(options: &Options) -> Self {
        Self {
            deadline: Instant::now() + options.retry_for,
            failed: 0,
        }
    }
}

/// Whether the same request can only fail in the same way.
fn is_final(error: &ExecutionError) -> bool {
    if let ExecutionError::LastAttemptError(RequestAttemptError::DbError(refusal, _)) = error {
        return matches!(
            refusal,
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::Unauthorized
                | DbError::AuthenticationError
                | DbError::ConfigError
                | DbError::ProtocolError
        );
    }
    matches!(error, ExecutionError::BadQuery(_))
}

fn has_no_node(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan
    )
}
