//! One connection to a cluster: a session of the driver, with everything prepared.

use crate::options::{Consistency, Options};
use crate::statement::{Statement, Statements};
use crate::write::{Key, Part};
use crate::{OpenError, schema};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::{Consistency as Level, SerialConsistency};
use std::time::Duration;

pub(crate) type Runtime = tokio::runtime::Runtime;

/// Threads that talk to the cluster; callers wait on their own.
const WORKERS: usize = 2;
/// How often the driver asks whether all nodes know a new table.
const SCHEMA_INTERVAL: Duration = Duration::from_millis(50);

/// # Errors
/// No threads from the system.
pub(crate) fn runtime() -> Result<Runtime, OpenError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("millpond-rows")
        .enable_all()
        .build()
        .map_err(OpenError::Threads)
}

pub(crate) struct Connection {
    session: Session,
    statements: Statements,
}

impl Connection {
    pub(crate) async fn open(options: &Options) -> Result<(Self, u64), OpenError> {
        let session = session(options).await?;
        let prepared = async {
            let epoch = schema::open(&session, &options.keyspace).await?;
            let statements = Statements::prepare(&session, &options.keyspace).await;
            let statements =
                statements.map_err(|error| OpenError::request("preparing statements", &error))?;
            Ok((statements, epoch))
        };
        let (statements, epoch) = in_time(options, prepared).await?;
        let connection = Self {
            session,
            statements,
        };
        Ok((connection, epoch))
    }

    pub(crate) async fn page(
        &self,
        statement: Statement,
        values: impl SerializeRow,
        from: PagingState,
    ) -> Result<(QueryResult, PagingStateResponse), ExecutionError> {
        let prepared = self.statements.of(statement);
        self.session
            .execute_single_page(prepared, values, from)
            .await
    }

    pub(crate) async fn put(&self, key: &Key, part: &Part) -> Result<(), ExecutionError> {
        let rows = part.rows.iter();
        match *key {
            Key::Conversation(conversation) => {
                let values = rows.map(|row| {
                    let (key, value) = (row.key.as_slice(), row.value.as_slice());
                    (conversation, row.kind, key, value, row.timestamp)
                });
                self.batch(Statement::PutConversation, values.collect())
                    .await
            }
            Key::Marks(conversation) => {
                let values = rows.map(|row| (conversation, row.value.as_slice(), row.timestamp));
                self.batch(Statement::PutMarks, values.collect()).await
            }
            Key::Inbox(user) => {
                let values = rows.map(|row| {
                    let (key, value) = (row.key.as_slice(), row.value.as_slice());
                    (user, key, value, row.timestamp)
                });
                self.batch(Statement::PutInbox, values.collect()).await
            }
            Key::User(user) => {
                let values = rows.map(|row| (user, row.value.as_slice(), row.timestamp));
                self.batch(Statement::PutUser, values.collect()).await
            }
            Key::Partition(stage, number) => {
                let values = rows.map(|row| (stage, number, row.value.as_slice(), row.timestamp));
                self.batch(Statement::PutPartition, values.collect()).await
            }
        }
    }

    /// One mutation, since all rows have the same partition key: whole, and without the server's bound on batches.
    async fn batch<V: SerializeRow>(
        &self,
        statement: Statement,
        rows: Vec<V>,
    ) -> Result<(), ExecutionError> {
        let prepared = BatchStatement::from(self.statements.of(statement).clone());
        let statements = vec![prepared; rows.len()];
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_is_idempotent(true);
        self.session.batch(&batch, rows).await.map(drop)
    }
}

/// Without anything prepared.
pub(crate) async fn session(options: &Options) -> Result<Session, OpenError> {
    // One node that does not answer must not take the time of the others.
    let nodes = u32::try_from(options.contact_points.len()).unwrap_or(u32::MAX);
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .default_execution_profile_handle(profile(options).into_handle())
        .connection_timeout(options.connect_timeout / nodes.max(1))
        .schema_agreement_interval(SCHEMA_INTERVAL)
        .keyspaces_to_fetch([options.keyspace.as_str()])
        .fetch_schema_metadata(false);
    if let Some(credentials) = &options.credentials {
        builder = builder.user(&credentials.user, &credentials.password);
    }
    in_time(options, async {
        let session = builder.build().await;
        session.map_err(|error| unreachable(options, error.to_string()))
    })
    .await
}

async fn in_time<T>(
    options: &Options,
    step: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    let bound = options.connect_timeout;
    match tokio::time::timeout(bound, step).await {
        Ok(done) => done,
        Err(_) => Err(unreachable(options, format!("no answer within {bound:?}"))),
    }
}

fn unreachable(options: &Options, error: String) -> OpenError {
    OpenError::Unreachable {
        contact_points: options.contact_points.clone(),
        error,
    }
}

fn profile(options: &Options) -> ExecutionProfile {
    let mut policy = DefaultPolicy::builder();
    if let Some(datacenter) = &options.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let level = match options.consistency {
        Consistency::LocalQuorum => Level::LocalQuorum,
        Consistency::Quorum => Level::Quorum,
        Consistency::LocalOne => Level::LocalOne,
        Consistency::One => Level::One,
    };
    ExecutionProfile::builder()
        .consistency(level)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(options.request_timeout))
        .load_balancing_policy(policy.build())
        .build()
}
