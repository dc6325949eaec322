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
