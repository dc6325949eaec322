//! What opens, and what is refused with which words.

use crate::{open, options, server, tables};
use millpond_backplane::store::Store;
use millpond_cassandra::{CassandraStore, Keyspace, OpenError, Options};
use scylla::client::session_builder::SessionBuilder;
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn tables_are_made_once_and_keep_their_epoch() {
    let Some(server) = server() else { return };
    let options = options(server);
    let error = CassandraStore::open(&options).unwrap_err();
    assert!(matches!(error, OpenError::NoStore { .. }), "{error}");
    let epoch = open(&options).epoch();
    assert!(epoch > 0 && epoch < 1 << 62);
    assert_eq!(open(&options).epoch(), epoch, "made again");
    tables::renew_epoch(&options).unwrap();
    assert_ne!(open(&options).epoch(), epoch);
    let other = open(&self::options(server));
    assert_ne!(other.epoch(), epoch, "of another store");
}

#[test]
fn tables_of_others_are_left_alone() {
    let Some(server) = server() else { return };
    let options = options(server);
    let keyspace = &options.keyspace;
    tell(
        &options,
        &[
            format!(
                "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
            ),
            format!("CREATE TABLE {keyspace}.users (name text PRIMARY KEY)"),
        ],
    );
    for error in [
        tables::apply(&options).unwrap_err(),
        CassandraStore::open(&options).unwrap_err(),
    ] {
        let said = error.to_string();
        assert!(said.contains("no store of ours (found users)"), "{said}");
    }
}

#[test]
fn tables_of_a_newer_program_are_refused() {
    let Some(server) = server() else { return };
    let options = options(server);
    drop(open(&options));
    let newer = format!(
        "UPDATE {}.millpond SET value = {} WHERE name = 'schema' IF EXISTS",
        options.keyspace,
        tables::VERSION + 1
    );
    tell(&options, &[newer]);
    for error in [
        tables::apply(&options).unwrap_err(),
        CassandraStore::open(&options).unwrap_err(),
    ] {
        let said = error.to_string();
        assert!(
            said.contains("have version 2, this program knows version 1"),
            "{said}"
        );
    }
}

/// Statements past the store.
fn tell(options: &Options, statements: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let builder = SessionBuilder::new().known_nodes(&options.contact_points);
        let session = builder.build().await.unwrap();
        for statement in statements {
            let done = session.query_unpaged(statement.as_str(), ()).await;
            done.unwrap();
        }
    });
}

fn unreachable(address: &str) {
    let keyspace = Keyspace::parse("mill").unwrap();
    let options = Options {
        connect_timeout: Duration::from_secs(1),
        ..Options::new(vec![address.to_owned()], keyspace)
    };
    let start = Instant::now();
    let error = CassandraStore::open(&options).unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(address), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn an_address_where_nobody_listens_is_named_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    unreachable(&address.to_string());
}

#[test]
fn an_address_that_never_answers_is_named_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    unreachable(&listener.local_addr().unwrap().to_string());
}

#[test]
fn a_contact_point_that_never_answers_does_not_hide_the_others() {
    let Some(server) = server() else { return };
    let mut options = options(server);
    let epoch = open(&options).epoch();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    options.contact_points.insert(0, silent);
    options.connect_timeout = Duration::from_secs(4);
    let store = CassandraStore::open(&options).unwrap();
    assert_eq!(store.epoch(), epoch);
}
