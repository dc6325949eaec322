//! A store of many rows: it is read in one go and tells how far it is. `MILLPOND_LARGE=1000000` makes it as large.

use crate::good::{START_MS, at, send};
use millpond_backplane::audit::{Limits, Table, audit};
use millpond_backplane::store::{Durability, Store as _};
use millpond_embedded::{FjallStore, OfflineRows, Options};
use millpond_router::digest::digest;
use millpond_router::fused::{Config, FusedCore};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const USERS: u64 = 500;
const PER_TURN: u64 = 1_000;

#[test]
fn a_large_store_is_judged_and_tells_how_far_it_is() {
    let messages = std::env::var("MILLPOND_LARGE").map_or(20_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), messages);
    let rows = OfflineRows::open(folder.path(), &Options::default()).unwrap();
    let (start, mut told) = (Instant::now(), Vec::new());
    let report = audit(&rows, Limits::default(), digest, &mut |table, rows| {
        told.push((table, rows))
    });
    let report = report.unwrap();
    let took = start.elapsed();
    assert!(report.is_clean(), "{:?}", report.found);
    assert_eq!(report.rows[&Table::History], messages);
    assert_eq!(report.rows[&Table::Inbox], 2 * messages);
    assert!(told.contains(&(Table::Inbox, 1 << 15)), "{told:?}");
    let rate = f64::from(u32::try_from(messages).unwrap()) / took.as_secs_f64();
    eprintln!(
        "{messages} messages in {took:?}, {rate:.0} per second; resident {}",
        resident()
    );
}

/// User n of 500 writes to another one, in conversations of a few messages and of many.
fn fill(data: &Path, messages: u64) {
    let options = Options {
        durability: Durability::Os,
        ..Options::default()
    };
    let store = Arc::new(FjallStore::open(data, &options).unwrap());
    let mut core = FusedCore::open(Config::default(), store.clone()).unwrap();
    for turn in 0..messages.div_ceil(PER_TURN) {
        let ids = turn * PER_TURN..messages.min((turn + 1) * PER_TURN);
        let entry = |id| {
            let from = 1 + id % USERS;
            let to = 1 + (from + 1 + id / USERS % 7 * (id % 61)) % USERS;
            let to = if to == from { 1 + from % USERS } else { to };
            send(from, from, to, id)
        };
        let turn = core
            .run(&mut ids.map(entry).collect(), at(START_MS + turn))
            .unwrap();
        store.commit(&turn.batch).unwrap();
        core.committed(turn.number, None);
    }
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.unwrap_or("unknown").to_owned()
}
