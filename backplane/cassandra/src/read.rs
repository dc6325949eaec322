//! Answers to reads, each by a statement of its own, all of one call at a time.

use crate::cluster::Cluster;
use crate::schema::{DEDUP, HISTORY};
use crate::statement::Statement;
use crate::write::{dedup_row_key, history_row_key, inbox_row_key, signed, stage_and_number};
use millpond_backplane::codec::{self, Undecodable};
use millpond_backplane::row::{DedupKey, HistoryRow, InboxRow, Stage};
use millpond_backplane::store::{Answer, PayloadBound, Read, StoreError};
use millpond_backplane::{ConversationKey, VirtualPartition};
use millpond_wire::{DeviceId, UserId};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::task::JoinSet;

/// One to each read, in their order.
pub(crate) async fn answers(
    cluster: &Arc<Cluster>,
    reads: &[Read],
) -> Result<Vec<Answer>, StoreError> {
    // One needs no task of its own.
    let Some((first, rest)) = reads.split_first() else {
        return Ok(Vec::new());
    };
    let mut tasks = JoinSet::new();
    for (place, read) in rest.iter().copied().enumerate() {
        let cluster = cluster.clone();
        tasks.spawn(async move { (place, answer(&cluster, read).await) });
    }
    let first = answer(cluster, *first).await?;
    let mut others: Vec<Option<Answer>> = vec![None; rest.len()];
    while let Some(done) = tasks.join_next().await {
        let (place, answer) =
            done.map_err(|error| StoreError::Failed(format!("a read ended early: {error}")))?;
        others[place] = Some(answer?);
    }
    Ok(std::iter::once(first)
        .chain(others.into_iter().flatten())
        .collect())
}

async fn answer(cluster: &Cluster, read: Read) -> Result<Answer, StoreError> {
    use Order::{Ascending, Descending};
    match read {
        Read::HistoryHead(conversation) => {
            let head = (1, usize::MAX);
            history(cluster, conversation, ALL, Descending, head).await
        }
        Read::HistoryAfter {
            conversation,
            after,
            rows,
            bytes,
        } => {
            history(
                cluster,
                conversation,
                above(after),
                Ascending,
                (rows, bytes),
            )
            .await
        }
        Read::HistoryBefore {
            conversation,
            before,
            rows,
            bytes,
        } => {
            history(
                cluster,
                conversation,
                below(before),
                Descending,
                (rows, bytes),
            )
            .await
        }
        Read::HistoryAt { conversation, seq } => history_at(cluster, conversation, seq).await,
        Read::Dedup(key) => dedup(cluster, &key).await,
        Read::DedupHighest {
            conversation,
            user,
            device,
        } => dedup_highest(cluster, conversation, user, device).await,
        Read::Marks(conversation) => marks(cluster, conversation).await,
        Read::InboxHead(user) => inbox(cluster, user, ALL, Descending, 1).await,
        Read::InboxAfter { user, after, rows } => {
            inbox(cluster, user, above(after), Ascending, rows).await
        }
        Read::User(user) => {
            let values = (signed(user),);
            let row = row(
                cluster,
                Statement::User,
                "users",
                &values,
                codec::decode_user,
            );
            row.await.map(Answer::User)
        }
        Read::Partition { stage, partition } => consumed(cluster, stage, partition).await,
    }
}

/// The first and the last number, both included, of those that are asked for; `None` if there are none.
type Range = Option<(u64, u64)>;

const ALL: Range = Some((0, u64::MAX));

fn above(after: u64) -> Range {
    after.checked_add(1).map(|first| (first, u64::MAX))
}

fn below(before: u64) -> Range {
    before.checked_sub(1).map(|last| (0, last))
}

async fn dedup(cluster: &Cluster, key: &DedupKey) -> Result<Answer, StoreError> {
    let values = (key.conversation.to_bytes(), DEDUP, dedup_row_key(key));
    let row = row(
        cluster,
        Statement::Conversation,
        "dedup",
        &values,
        codec::decode_dedup,
    );
    row.await.map(Answer::Dedup)
}

async fn marks(cluster: &Cluster, conversation: ConversationKey) -> Result<Answer, StoreError> {
    let values = (codec::marks_key(conversation),);
    let row = row(
        cluster,
        Statement::Marks,
        "marks",
        &values,
        codec::decode_marks,
    );
    row.await.map(Answer::Marks)
}

async fn consumed(
    cluster: &Cluster,
    stage: Stage,
    partition: VirtualPartition,
) -> Result<Answer, StoreError> {
    let values = stage_and_number(stage, partition);
    let row = row(
        cluster,
        Statement::Partition,
        "partitions",
        &values,
        codec::decode_partition,
    );
    row.await.map(Answer::Partition)
}

async fn history_at(
    cluster: &Cluster,
    conversation: ConversationKey,
    seq: u64,
) -> Result<Answer, StoreError> {
    let key = history_row_key(conversation, seq);
    let values = (conversation.to_bytes(), HISTORY, key);
    let row = row(
        cluster,
        Statement::Conversation,
        "history",
        &values,
        |bytes| codec::decode_history(conversation, seq, bytes),
    );
    let row = row.await?;
    Ok(Answer::History(row.into_iter().collect()))
}

/// Rows of these sequences, bounded by their number and the bytes of their payloads.
async fn history(
    cluster: &Cluster,
    conversation: ConversationKey,
    seqs: Range,
    order: Order,
    (rows, bytes): (usize, usize),
) -> Result<Answer, StoreError> {
    let Some((first, last)) = seqs.filter(|_| rows > 0) else {
        return Ok(Answer::History(Vec::new()));
    };
    let mut bound = PayloadBound::new(bytes);
    let mut taken: Vec<HistoryRow> = Vec::new();
    let (first, last) = (
        history_row_key(conversation, first),
        history_row_key(conversation, last),
    );
    let prefix = conversation.to_bytes();
    let values = (prefix, HISTORY, first, last, limit(rows));
    let statement = order.of(
        Statement::ConversationAscending,
        Statement::ConversationDescending,
    );
    let take = |key: &[u8], value: &[u8]| {
        let seq = codec::history_seq(&[&prefix, key].concat())?;
        let row = codec::decode_history(conversation, seq, value)?;
        bound.take(&row);
        taken.push(row);
        Ok(until(bound.is_reached()))
    };
    scan(cluster, statement, "history", &values, take).await?;
    Ok(Answer::History(taken))
}

async fn inbox(
    cluster: &Cluster,
    user: UserId,
    cursors: Range,
    order: Order,
    rows: usize,
) -> Result<Answer, StoreError> {
    let Some((first, last)) = cursors.filter(|_| rows > 0) else {
        return Ok(Answer::Inbox(Vec::new()));
    };
    let mut taken: Vec<(u64, InboxRow)> = Vec::new();
    let (first, last) = (inbox_row_key(user, first), inbox_row_key(user, last));
    let values = (signed(user), first, last, limit(rows));
    let statement = order.of(Statement::InboxAscending, Statement::InboxDescending);
    let prefix = codec::inbox_prefix(user);
    let take = |key: &[u8], value: &[u8]| {
        let cursor = codec::inbox_cursor(&[&prefix, key].concat())?;
        taken.push((cursor, codec::decode_inbox(user, value)?));
        Ok(until(false))
    };
    scan(cluster, statement, "inbox", &values, take).await?;
    Ok(Answer::Inbox(taken))
}

async fn dedup_highest(
    cluster: &Cluster,
    conversation: ConversationKey,
    user: UserId,
    device: DeviceId,
) -> Result<Answer, StoreError> {
    let key = |client_msg_id| {
        dedup_row_key(&DedupKey {
            conversation,
            user,
            device,
            client_msg_id,
        })
    };
    let mut highest = None;
    let prefix = conversation.to_bytes();
    let values = (prefix, DEDUP, key(0), key(u64::MAX), 1_i32);
    let take = |key: &[u8], _: &[u8]| {
        let key = codec::decode_dedup_key(&[&prefix, key].concat())?;
        highest = Some(key.client_msg_id);
        Ok(until(true))
    };
    scan(
        cluster,
        Statement::ConversationDescending,
        "dedup",
        &values,
        take,
    )
    .await?;
    Ok(Answer::DedupHighest(highest))
}

#[derive(Clone, Copy)]
enum Order {
    Ascending,
    Descending,
}

impl Order {
    fn of(self, ascending: Statement, descending: Statement) -> Statement {
        match self {
            Self::Ascending => ascending,
            Self::Descending => descending,
        }
    }
}

/// As the server counts.
fn limit(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}

fn until(reached: bool) -> ControlFlow<()> {
    if reached {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// The value of the one row that a statement finds, if it does.
async fn row<T>(
    cluster: &Cluster,
    statement: Statement,
    table: &'static str,
    values: &(impl SerializeRow + Sync),
    decode: impl FnOnce(&[u8]) -> Result<T, Undecodable>,
) -> Result<Option<T>, StoreError> {
    let start = PagingState::start();
    let (result, _) = cluster.page(statement, values, &start).await?;
    let rows = result
        .into_rows_result()
        .map_err(|error| corrupt(table, error))?;
    let row = rows
        .maybe_first_row::<(&[u8],)>()
        .map_err(|error| corrupt(table, error))?;
    let row = row.map(|(value,)| decode(value));
    row.transpose().map_err(|error| corrupt(table, error))
}

/// Gives keys and values to `take` until it has enough. Only pages that are needed are fetched.
async fn scan(
    cluster: &Cluster,
    statement: Statement,
    table: &'static str,
    values: &(impl SerializeRow + Sync),
    mut take: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Undecodable>,
) -> Result<(), StoreError> {
    let mut from = PagingState::start();
    loop {
        let (result, next) = cluster.page(statement, values, &from).await?;
        let rows = result
            .into_rows_result()
            .map_err(|error| corrupt(table, error))?;
        let rows = rows
            .rows::<(&[u8], &[u8])>()
            .map_err(|error| corrupt(table, error))?;
        for row in rows {
            let (key, value) = row.map_err(|error| corrupt(table, error))?;
            let taken = take(key, value).map_err(|error| corrupt(table, error))?;
            if taken.is_break() {
                return Ok(());
            }
        }
        match next {
            PagingStateResponse::HasMorePages { state } => from = state,
            PagingStateResponse::NoMorePages => return Ok(()),
        }
    }
}

fn corrupt(table: &'static str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        table,
        what: error.to_string(),
    }
}
