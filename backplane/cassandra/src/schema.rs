//! The tables, and the one program that makes them.
//!
//! ```text
//! conversations  conversation blob | kind tinyint, row_key blob | row_value blob     kind 0 history, 1 dedup
//! marks          conversation blob |                            | row_value blob
//! inboxes        user_id bigint    | row_key blob               | row_value blob
//! users          user_id bigint    |                            | row_value blob
//! partitions     stage, number     |                            | row_value blob
//! millpond       name text         |                            | value bigint       "schema", "epoch"
//! ```
//!
//! Keys are those of `LOG.md` without the part that the partition key says; values are those of `LOG.md`. A message and
//! its dedup row share partition and table, because only that is one mutation everywhere: Cassandra makes one of all
//! tables in a batch, Scylla one of each. A conversation is one partition, not yet cut into buckets: a dedup row must be
//! written with its message, and found by who knows no sequence. A message takes some 250 bytes, so a million of them are
//! 250 MB, which a node bears; conversations of very many members need buckets, and a table of another version.

use crate::connection::{self, Runtime};
use crate::options::{Options, Replication};
use crate::{Keyspace, OpenError};
use scylla::client::session::Session;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

/// Of the tables: another key, or another table, is another version.
pub const VERSION: i64 = 1;

pub(crate) const HISTORY: i8 = 0;
pub(crate) const DEDUP: i8 = 1;

/// The table that makes a keyspace ours.
const META: &str = "millpond";
const SCHEMA: &str = "schema";
const EPOCH: &str = "epoch";

/// Epochs leave room above for the resets that are added to them.
const EPOCH_MAX: u64 = (1 << 62) - 1;

/// What makes the keyspace and its tables, in this order. Each changes nothing where its thing is there already.
///
/// Rows of three tables are replaced all the time: levels keep few old copies of them.
pub fn statements(options: &Options) -> Vec<String> {
    const REPLACED: &str = "WITH compaction = {'class': 'LeveledCompactionStrategy'}";
    let keyspace = &options.keyspace;
    let table = |name: &str, columns: &str, with: &str| {
        format!("CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns}) {with}")
            .trim_end()
            .to_owned()
    };
    vec![
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {}",
            replication(&options.replication)
        ),
        table(META, "name text PRIMARY KEY, value bigint", ""),
        table(
            "conversations",
            "conversation blob, kind tinyint, row_key blob, row_value blob, \
             PRIMARY KEY ((conversation), kind, row_key)",
            "",
        ),
        table(
            "marks",
            "conversation blob PRIMARY KEY, row_value blob",
            REPLACED,
        ),
        table(
            "inboxes",
            "user_id bigint, row_key blob, row_value blob, PRIMARY KEY ((user_id), row_key)",
            "",
        ),
        table(
            "users",
            "user_id bigint PRIMARY KEY, row_value blob",
            REPLACED,
        ),
        table(
            "partitions",
            "stage tinyint, number smallint, row_value blob, PRIMARY KEY ((stage, number))",
            REPLACED,
        ),
    ]
}

fn replication(replication: &Replication) -> String {
    match replication {
        Replication::Simple { copies } => {
            format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}")
        }
        Replication::Datacenters(each) => {
            let copies = each
                .iter()
                .map(|(name, copies)| format!(", '{}': {copies}", name.replace('\'', "''")));
            format!(
                "{{'class': 'NetworkTopologyStrategy'{}}}",
                copies.collect::<String>()
            )
        }
    }
}

/// Makes what is missing: keyspace, tables, an epoch, at last the version. May be repeated, but not run twice at a time:
/// two nodes that make the same table at once make it differently.
///
/// # Errors
/// A keyspace with tables that are not ours, or of a newer version.
pub fn apply(options: &Options) -> Result<(), OpenError> {
    let runtime = connection::runtime()?;
    runtime.block_on(async {
        let session = connection::session(options).await?;
        match look(&session, &options.keyspace).await? {
            Found::Nothing | Found::Store(Meta { schema: None, .. }) => {}
            Found::Store(meta) => meta.check(&options.keyspace)?,
        }
        for statement in statements(options) {
            let done = session.query_unpaged(statement.as_str(), ()).await;
            done.map_err(|error| OpenError::request(statement, &error))?;
        }
        set_once(&session, &options.keyspace, EPOCH, drawn_epoch()).await?;
        set_once(&session, &options.keyspace, SCHEMA, VERSION).await
    })
}

/// Gives all inboxes another epoch: after a backup was restored, cursors may have been given out that the rows do not know.
/// Every process that has the store open must be stopped before, since they read it once.
///
/// # Errors
/// No store, or no node that answers.
pub fn renew_epoch(options: &Options) -> Result<(), OpenError> {
    let runtime: Runtime = connection::runtime()?;
    runtime.block_on(async {
        let session = connection::session(options).await?;
        open(&session, &options.keyspace).await?;
        let keyspace = &options.keyspace;
        let renew = format!("UPDATE {keyspace}.{META} SET value = ? WHERE name = ? IF EXISTS");
        let done = session.query_unpaged(renew, (drawn_epoch(), EPOCH)).await;
        done.map(drop)
            .map_err(|error| OpenError::request("renewing the epoch", &error))
    })
}

/// The epoch of the store that is there.
pub(crate) async fn open(session: &Session, keyspace: &Keyspace) -> Result<u64, OpenError> {
    let none = || OpenError::NoStore {
        keyspace: keyspace.to_string(),
    };
    let Found::Store(meta) = look(session, keyspace).await? else {
        return Err(none());
    };
    meta.check(keyspace)?;
    let (Some(_), Some(epoch)) = (meta.schema, meta.epoch) else {
        return Err(none());
    };
    u64::try_from(epoch).map_err(|error| OpenError::request("the store's epoch", &error))
}

enum Found {
    Nothing,
    Store(Meta),
}

#[derive(Default)]
struct Meta {
    /// `None` while the tables are being made.
    schema: Option<i64>,
    epoch: Option<i64>,
}

impl Meta {
    fn check(&self, keyspace: &Keyspace) -> Result<(), OpenError> {
        match self.schema {
            Some(found) if found != VERSION => Err(OpenError::Version {
                keyspace: keyspace.to_string(),
                found,
                wanted: VERSION,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

async fn look(session: &Session, keyspace: &Keyspace) -> Result<Found, OpenError> {
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables: Vec<(String,)> = rows(session, tables, (keyspace.as_str(),)).await?;
    if tables.is_empty() {
        return Ok(Found::Nothing);
    }
    if !tables.iter().any(|(name,)| name == META) {
        let names: Vec<&str> = tables.iter().map(|(name,)| name.as_str()).collect();
        return Err(OpenError::NotAStore {
            keyspace: keyspace.to_string(),
            found: names.join(", "),
        });
    }
    let all = format!("SELECT name, value FROM {keyspace}.{META}");
    let mut values: BTreeMap<String, i64> = rows::<(String, i64)>(session, &all, ())
        .await?
        .into_iter()
        .collect();
    Ok(Found::Store(Meta {
        schema: values.remove(SCHEMA),
        epoch: values.remove(EPOCH),
    }))
}

async fn rows<R>(
    session: &Session,
    query: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, OpenError>
where
    R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
{
    let failed = |error: &dyn std::error::Error| OpenError::request(query, error);
    let result = session.query_unpaged(query, values).await;
    let result = result.map_err(|error| failed(&error))?;
    let result = result.into_rows_result().map_err(|error| failed(&error))?;
    let rows = result.rows::<R>().map_err(|error| failed(&error))?;
    rows.collect::<Result<_, _>>()
        .map_err(|error| failed(&error))
}

async fn set_once(
    session: &Session,
    keyspace: &Keyspace,
    name: &str,
    value: i64,
) -> Result<(), OpenError> {
    let insert = format!("INSERT INTO {keyspace}.{META} (name, value) VALUES (?, ?) IF NOT EXISTS");
    let done = session.query_unpaged(insert, (name, value)).await;
    done.map(drop)
        .map_err(|error| OpenError::request(format!("writing {name}"), &error))
}

/// The standard library's hash keys come from the operating system, which is random enough not to meet again.
fn drawn_epoch() -> i64 {
    let drawn = RandomState::new().hash_one(EPOCH) & EPOCH_MAX;
    i64::try_from(drawn.max(1)).expect("it has 62 bits")
}

#[cfg(test)]
mod tests {
    use super::{Options, Replication, statements};
    use crate::Keyspace;

    #[test]
    fn every_statement_may_be_repeated() {
        let options = Options::new(Vec::new(), Keyspace::parse("mill").unwrap());
        let all = statements(&options);
        assert_eq!(
            all[0],
            "CREATE KEYSPACE IF NOT EXISTS mill WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}"
        );
        assert!(all.iter().all(|one| one.contains(" IF NOT EXISTS mill")));
    }

    #[test]
    fn datacenters_are_named_and_quoted() {
        let mut options = Options::new(Vec::new(), Keyspace::parse("mill").unwrap());
        let copies = vec![("east".to_owned(), 3), ("we'st".to_owned(), 2)];
        options.replication = Replication::Datacenters(copies);
        let wanted = "{'class': 'NetworkTopologyStrategy', 'east': 3, 'we''st': 2}";
        assert!(statements(&options)[0].ends_with(wanted));
    }
}
