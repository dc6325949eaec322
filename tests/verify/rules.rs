//! A good store is clean, and each way of damage is found under its own code and no other.

use crate::damage::DAMAGES;
use crate::pile::{Pile, good};
use millpond_backplane::audit::{Code, Limits, Table};
use std::collections::BTreeSet;

fn codes(pile: &Pile, limits: Limits) -> Vec<Code> {
    pile.judged(limits).found.into_keys().collect()
}

#[test]
fn a_store_of_the_real_router_is_clean() {
    let report = good().judged(Limits::default());
    assert!(report.is_clean(), "{:?}", report.found);
    let rows = |table| report.rows[&table];
    assert_eq!((rows(Table::History), rows(Table::Dedup)), (19, 19));
    assert_eq!(
        rows(Table::Inbox),
        37,
        "two for each message, one for a note"
    );
    assert!(
        rows(Table::Marks) > 0 && rows(Table::Users) > 0,
        "{:?}",
        report.rows
    );
    assert_eq!(rows(Table::Partitions), 1);
}

#[test]
fn no_rows_are_clean() {
    let mut empty = good();
    empty.tables.values_mut().for_each(|rows| rows.clear());
    assert!(empty.judged(Limits::default()).is_clean());
}

#[test]
fn each_damage_is_found_under_its_own_code() {
    for (code, how, damage) in DAMAGES {
        let mut pile = good();
        damage(&mut pile);
        let report = pile.judged(Limits::default());
        let found: Vec<Code> = report.found.keys().copied().collect();
        assert_eq!(found, [*code], "{how}: {:?}", report.found);
    }
}

/// However little fits into memory, the verdict and the counts are the same.
#[test]
fn reading_several_times_finds_the_same() {
    let little = Limits {
        conversations: 1,
        ..Limits::default()
    };
    assert!(good().judged(little).is_clean());
    for (_, how, damage) in DAMAGES {
        let mut pile = good();
        damage(&mut pile);
        assert_eq!(pile.judged(little), pile.judged(Limits::default()), "{how}");
    }
}

#[test]
fn what_is_not_described_is_still_counted() {
    let mut pile = good();
    pile.table(Table::Dedup).clear();
    let limits = Limits {
        findings: 3,
        places: 0,
        ..Limits::default()
    };
    let report = pile.judged(limits);
    let found = &report.found[&Code::NoDedup];
    assert_eq!((found.count, found.places.len()), (19, 3));
    assert_eq!(report.findings(), 19);
}

#[test]
fn two_damages_are_both_found() {
    let mut pile = good();
    for (_, _, damage) in DAMAGES
        .iter()
        .filter(|(code, ..)| [Code::MarksVersion, Code::TwiceInInbox, Code::NoDedup].contains(code))
    {
        damage(&mut pile);
    }
    let wanted = [Code::NoDedup, Code::TwiceInInbox, Code::MarksVersion];
    assert_eq!(codes(&pile, Limits::default()), wanted);
}

#[test]
fn every_code_has_its_damage() {
    let all: BTreeSet<Code> = Code::ALL.iter().map(|(code, ..)| *code).collect();
    let shown: BTreeSet<Code> = DAMAGES.iter().map(|(code, ..)| *code).collect();
    assert_eq!(shown, all);
    let numbers: BTreeSet<&str> = all.iter().map(|code| code.number()).collect();
    assert_eq!(numbers.len(), all.len(), "a number is used twice");
}

/// Whatever row of what cannot be recomputed is gone, it is missed.
#[test]
fn each_lost_row_is_missed() {
    for table in [
        Table::History,
        Table::Dedup,
        Table::Inbox,
        Table::Partitions,
    ] {
        for key in good().tables[&table].keys() {
            let mut pile = good();
            pile.table(table).remove(key);
            assert!(
                !pile.judged(Limits::default()).is_clean(),
                "{table:?} {key:02x?}"
            );
        }
    }
}

/// Whatever byte is wrong, in a key or in a value, the verdict is a report and not a panic; and where history, dedup or
/// inbox rows changed what they name, it is not clean.
#[test]
fn each_wrong_byte_is_survived() {
    let (mut flips, mut found) = (0, 0);
    let good = good();
    for (table, rows) in &good.tables {
        for (key, value) in rows {
            for at in 0..key.len() + value.len() {
                let mut row = [key.as_slice(), value].concat();
                row[at] ^= if at % 2 == 0 { 0x01 } else { 0xff };
                let (new_key, new_value) = row.split_at(key.len());
                let mut pile = good.clone();
                pile.table(*table).remove(key);
                pile.table(*table)
                    .insert(new_key.to_vec(), new_value.to_vec());
                let report = pile.judged(Limits::default());
                flips += 1;
                found += usize::from(!report.is_clean());
                let named = at < key.len() && !matches!(table, Table::Marks | Table::Users);
                assert!(
                    !named || !report.is_clean(),
                    "{table:?} {key:02x?} byte {at}"
                );
            }
        }
    }
    assert!(found * 10 > flips * 8, "{found} of {flips} were found");
}
