//! Damage of every kind: what a crash tears is told from what was synced, whatever clients have written into it.

use super::{BATCH, END, MAGIC, ROW, find_damage};
use xxhash_rust::xxh3::xxh3_64;

/// A batch of the format above.
fn batch(number: u64, values: &[&[u8]]) -> Vec<u8> {
    let rows: Vec<u8> = values.iter().flat_map(|value| row(value)).collect();
    let count = u32::try_from(values.len()).unwrap();
    let mut bytes = vec![BATCH];
    bytes.extend(count.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(&rows);
    bytes.push(END);
    bytes.extend(xxh3_64(&rows).to_le_bytes());
    bytes.extend(MAGIC);
    bytes
}

fn row(value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_le_bytes();
    let mut bytes = vec![ROW, 0, 0];
    bytes.extend(7_u64.to_le_bytes());
    bytes.extend(3_u16.to_le_bytes());
    bytes.extend([length, length].concat());
    bytes.extend(b"key");
    bytes.extend(value);
    bytes
}

/// A journal that is longer than what was written, as the engine makes it; and where its last batch begins.
fn journal(batches: &[Vec<u8>]) -> (Vec<u8>, usize) {
    let mut bytes = batches.concat();
    let last = bytes.len() - batches.last().unwrap().len();
    bytes.extend([0; 100_000]);
    (bytes, last)
}

fn follows(bytes: &[u8], damaged_at: usize) -> bool {
    let damage = find_damage(bytes).unwrap();
    assert_eq!(damage.offset, damaged_at);
    damage.batch_follows
}

#[test]
fn a_whole_journal_has_no_damage() {
    let (bytes, _) = journal(&[batch(5, &[b"one"]), batch(6, &[b"two", b"three"])]);
    assert!(find_damage(&bytes).is_none());
    assert!(find_damage(&[]).is_none());
}

/// A client sends what the next batches would look like, and the power goes while just that is written.
#[test]
fn a_payload_that_looks_like_a_batch_is_none() {
    let fake: Vec<u8> = (0..500).flat_map(|number| batch(number, &[b"x"])).collect();
    let torn = batch(6, &[b"before", &fake, b"after"]);
    let (mut bytes, last) = journal(&[batch(5, &[b"one"]), torn.clone()]);
    let row_end = last + 13 + 3 * 24 + b"before".len() + fake.len() - 24;
    for lost in [row_end + 3, row_end + 40, last + torn.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[lost..].fill(0);
        assert!(!follows(&bytes, last), "the end is lost from {lost}");
    }
    bytes[row_end - 10..row_end].fill(0);
    assert!(!follows(&bytes, last), "a hole in the row");
}

/// The header is lost too, so nobody can tell where the rows are.
#[test]
fn a_payload_without_a_header_is_a_batch_only_with_the_right_number() {
    let fakes = |first: u64| {
        let fakes = (0..50).flat_map(|number| batch(first + number, &[b"x"]));
        fakes.collect::<Vec<u8>>()
    };
    let follows_with = |first: u64| {
        let (mut bytes, last) = journal(&[
            batch(9_000_000, &[b"one"]),
            batch(9_000_001, &[&fakes(first)]),
        ]);
        bytes[last..last + 20].fill(0);
        follows(&bytes, last)
    };
    for first in [0, 8_999_900, 9_010_000, u64::MAX - 100] {
        assert!(!follows_with(first), "{first}");
    }
    assert!(
        follows_with(9_000_002),
        "it could be true, so an operator looks"
    );
}

/// Every bit of a batch that was synced, since another one stands behind it.
#[test]
fn a_flipped_bit_before_a_whole_batch_is_no_torn_end() {
    let first = batch(5, &[b"one"]);
    let damaged = batch(6, &[b"two", b"three", &[9; 300]]);
    let (bytes, _) = journal(&[first.clone(), damaged.clone(), batch(7, &[b"four"])]);
    for at in first.len()..first.len() + damaged.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let Some(damage) = find_damage(&bytes) else {
                // Numbers are covered by no checksum.
                assert!((5..13).contains(&(at - first.len())), "bit {bit} of {at}");
                continue;
            };
            assert!(damage.batch_follows, "bit {bit} of byte {at}");
        }
    }
}
