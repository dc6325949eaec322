//! Answers and units that are longer than one request.

use crate::{ask, commit, direct, open, options, server, value};
use millpond_backplane::conformance::{history_row, inbox_row, message_write, user};
use millpond_backplane::store::{Answer, Read, Write};
use millpond_wire::PAYLOAD_BYTES_MAX;

fn history_after(after: u64, rows: usize, bytes: usize) -> Read {
    Read::HistoryAfter {
        conversation: direct(),
        after,
        rows,
        bytes,
    }
}

fn seqs(answer: Answer) -> Vec<u64> {
    let Answer::History(rows) = answer else {
        panic!("wanted history, got {answer:?}");
    };
    rows.iter().map(|row| row.message.seq).collect()
}

#[test]
fn a_long_answer_comes_in_pages_and_no_more_of_them_than_it_takes() {
    let Some(server) = server() else { return };
    let store = open(&options(server));
    let writes = (1..=220).map(|seq| message_write(direct(), seq, seq));
    commit(&store, writes.collect());
    let requests = || value(&store, "store_requests_total");
    for (rows, pages) in [(1, 1.0), (50, 1.0), (120, 3.0), (220, 5.0)] {
        let before = requests();
        let found = seqs(ask(&store, history_after(0, rows, usize::MAX)));
        assert_eq!(found, (1..=rows as u64).collect::<Vec<_>>());
        // An answer that ends with its page may take one more request to show it.
        let took = requests() - before;
        assert!((pages..=pages + 1.0).contains(&took), "{rows} rows: {took}");
    }
    let before = requests();
    let few_bytes = seqs(ask(&store, history_after(0, 220, 100)));
    assert!(few_bytes.len() < 10, "{few_bytes:?}");
    assert_eq!(requests() - before, 1.0);
    let backward = Read::HistoryBefore {
        conversation: direct(),
        before: 200,
        rows: 130,
        bytes: usize::MAX,
    };
    let wanted: Vec<u64> = (70..200).rev().collect();
    assert_eq!(seqs(ask(&store, backward)), wanted);
}

#[test]
fn a_long_inbox_comes_whole() {
    let Some(server) = server() else { return };
    let store = open(&options(server));
    let write = |cursor| Write::Inbox {
        user: user(5),
        cursor,
        row: inbox_row(direct(), cursor, cursor),
    };
    commit(&store, (1..=5_000).map(write).collect());
    let read = Read::InboxAfter {
        user: user(5),
        after: 500,
        rows: 4_000,
    };
    let Answer::Inbox(rows) = ask(&store, read) else {
        panic!("wanted an inbox");
    };
    let wanted = (501..=4_500).map(|cursor| (cursor, inbox_row(direct(), cursor, cursor)));
    assert!(rows.into_iter().eq(wanted));
}

#[test]
fn a_unit_of_several_mutations_comes_back() {
    let Some(server) = server() else { return };
    let store = open(&options(server));
    let message = |seq| {
        let mut row = history_row(direct(), seq, seq);
        row.message.payload = vec![7; PAYLOAD_BYTES_MAX].into();
        Write::Message { row, hash: 1 }
    };
    commit(&store, (1..=60).map(message).collect());
    assert!(value(&store, "store_requests_total") >= 4.0);
    let found = seqs(ask(&store, history_after(0, 100, usize::MAX)));
    assert_eq!(found, (1..=60).collect::<Vec<_>>());
}
