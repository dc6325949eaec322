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

pub(crate) use millpond_background::Background as Runtime;

/// Threads that talk to the cluster; callers wait on their own.
const WORKERS: usize = 2;
/// How often a connection is tried, and how long it may take to answer then: a frozen node is left after twice this.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How often the driver asks whether all nodes know a new table.
const SCHEMA_INTERVAL: Duration = Duration::from_millis(50);

/// # Errors
/// No threads from the system.
pub(crate) fn runtime() -> Result<Runtime, OpenError> {
    Runtime::start("millpond-rows", WORKERS).map_err(OpenError::Threads)
}

pub(crate) struct Connection {
    session: Session,
    statements: Statements,
}

impl Connection {
    pub(crate) async fn open(options: &Options) -> Result<(Self, u64), OpenError> {
        let session = session(options).await?;
        let prepared = prepare(&session, options);
        let prepared = tokio::time::timeout(options.connect_timeout, prepared).await;
        let late =
            |error: tokio::time::error::Elapsed| OpenError::request("preparing statements", &error);
        let (statements, epoch) = prepared.map_err(late)??;
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

/// With the store's epoch.
async fn prepare(session: &Session, options: &Options) -> Result<(Statements, u64), OpenError> {
    let epoch = schema::open(session, &options.keyspace).await?;
    let statements = Statements::prepare(session, &options.keyspace).await;
    statements
        .map(|statements| (statements, epoch))
        .map_err(|error| OpenError::request("preparing statements", &error))
}

/// Without anything prepared. The contact points are tried one after the other: the driver would wait for a node that
/// takes a connection and never answers, and not ask the others.
pub(crate) async fn session(options: &Options) -> Result<Session, OpenError> {
    let nodes = u32::try_from(options.contact_points.len()).unwrap_or(u32::MAX);
    let share = options.connect_timeout / nodes.max(1);
    let mut tried = Vec::new();
    for node in &options.contact_points {
        let builder = builder(options).known_node(node).connection_timeout(share);
        match tokio::time::timeout(share, builder.build()).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) => tried.push(format!("{node}: {error}")),
            Err(_) => tried.push(format!("{node}: no answer within {share:?}")),
        }
    }
    Err(OpenError::Unreachable { tried })
}

fn builder(options: &Options) -> SessionBuilder {
    let builder = SessionBuilder::new()
        .default_execution_profile_handle(profile(options).into_handle())
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .schema_agreement_interval(SCHEMA_INTERVAL)
        .keyspaces_to_fetch([options.keyspace.as_str()])
        .fetch_full_schema_metadata(false);
    match &options.credentials {
        Some(credentials) => builder.user(&credentials.user, &credentials.password),
        None => builder,
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
