//! Which of two writes stays, and what a replay leaves.

use crate::{ask, commit, direct, open, options, server};
use millpond_backplane::conformance::{history_row, inbox_row, marks_row, user};
use millpond_backplane::row::{HistoryRow, PartitionRow, Stage};
use millpond_backplane::store::{Answer, Batch, Read, Store, Write};
use millpond_backplane::{ConversationKey, Position, VirtualPartition};
use millpond_cassandra::{Options, timestamp};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

fn row(payload: &str, position: Position) -> HistoryRow {
    let mut row = history_row(direct(), 1, 1);
    row.position = position;
    row.message.payload = payload.as_bytes().into();
    row
}

fn writes(position: Position) -> Vec<Write> {
    let mut marks = marks_row(&[user(5), user(9)], position.offset, 1);
    marks.position = position;
    let mut pointer = inbox_row(direct(), 1, 1);
    pointer.position = position;
    vec![
        Write::Message {
            row: row(&format!("{position:?}"), position),
            hash: position.index,
        },
        Write::Marks {
            conversation: direct(),
            row: marks,
        },
        Write::Inbox {
            user: user(5),
            cursor: 1,
            row: pointer,
        },
        Write::Partition {
            stage: Stage::Conversations,
            partition: VirtualPartition(7),
            row: PartitionRow {
                consumed: position,
                time_ms: position.offset,
                high_water: Vec::new(),
            },
        },
    ]
}

fn all(store: &dyn Store) -> Vec<Answer> {
    let reads = [
        Read::HistoryHead(direct()),
        Read::Dedup(millpond_backplane::row::DedupKey::of(
            &history_row(direct(), 1, 1).message,
        )),
        Read::Marks(direct()),
        Read::InboxHead(user(5)),
        Read::Partition {
            stage: Stage::Conversations,
            partition: VirtualPartition(7),
        },
    ];
    store.read(&reads).unwrap()
}

#[test]
fn an_older_write_never_wins() {
    let Some(server) = server() else { return };
    let store = open(&options(server));
    let at = |epoch, offset, index| Position {
        epoch,
        offset,
        index,
    };
    let newest = at(2, 1, 0);
    commit(&store, writes(newest));
    let there = all(&store);
    for older in [
        Position::ZERO,
        at(1, timestamp::OFFSET_MAX, 0),
        at(2, 0, timestamp::INDEX_MAX),
    ] {
        commit(&store, writes(older));
        assert_eq!(all(&store), there, "after {older:?}");
    }
    for newer in [
        at(2, 1, 1),
        at(2, 2, 0),
        at(timestamp::EPOCH_MAX, timestamp::OFFSET_MAX, 0),
    ] {
        commit(&store, writes(newer));
        let expected = one_row(&row(&format!("{newer:?}"), newer));
        assert_eq!(ask(&store, Read::HistoryHead(direct())), expected);
    }
}

fn one_row(row: &HistoryRow) -> Answer {
    Answer::History(vec![row.clone()])
}

#[test]
fn a_position_beyond_the_bounds_is_refused_and_nothing_is_written() {
    let Some(server) = server() else { return };
    let store = open(&options(server));
    let beyond = Position {
        epoch: 1,
        offset: timestamp::OFFSET_MAX + 1,
        index: 0,
    };
    let batch = Batch {
        writes: writes(beyond),
    };
    let error = store.commit(&batch).unwrap_err().to_string();
    assert!(error.contains("has no write timestamp"), "{error}");
    assert_eq!(
        ask(&store, Read::HistoryHead(direct())),
        Answer::History(Vec::new())
    );
}

#[test]
fn a_replay_writes_the_same_cells() {
    let Some(server) = server() else { return };
    let options = options(server);
    let store = open(&options);
    let position = Position {
        epoch: 3,
        offset: 77,
        index: 5,
    };
    commit(&store, writes(position));
    let first = write_times(&options);
    assert_eq!(first, vec![timestamp::exact(position).unwrap(); 5]);
    commit(&store, writes(position));
    assert_eq!(write_times(&options), first);
    // A zombie that is behind changes no cell either.
    let behind = Position {
        offset: 76,
        ..position
    };
    commit(&store, writes(behind));
    assert_eq!(write_times(&options), first);
}

/// Of all cells, asked past the store.
fn write_times(options: &Options) -> Vec<i64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let nodes = &options.contact_points;
        let session: Session = SessionBuilder::new()
            .known_nodes(nodes)
            .build()
            .await
            .unwrap();
        let mut times = Vec::new();
        for table in ["conversations", "marks", "inboxes", "partitions"] {
            let query = format!(
                "SELECT WRITETIME(row_value) FROM {}.{table}",
                options.keyspace
            );
            let result = session.query_unpaged(query, ()).await.unwrap();
            let rows = result.into_rows_result().unwrap();
            times.extend(rows.rows::<(i64,)>().unwrap().map(|row| row.unwrap().0));
        }
        times
    })
}

#[test]
fn conversations_of_one_batch_do_not_mix() {
    let Some(server) = server() else { return };
    let store = open(&options(server));
    let rows = (1..=200).map(|group| history_row(ConversationKey::Group(group), group, group));
    let rows: Vec<HistoryRow> = rows.collect();
    let message = |row: &HistoryRow| Write::Message {
        row: row.clone(),
        hash: 1,
    };
    commit(&store, rows.iter().map(message).collect());
    let reads: Vec<Read> = rows
        .iter()
        .map(|row| Read::HistoryHead(row.message.conversation))
        .collect();
    let wanted: Vec<Answer> = rows.iter().map(one_row).collect();
    assert_eq!(store.read(&reads).unwrap(), wanted, "answers in order");
}
