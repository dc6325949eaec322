//! Against a plain list: whatever is read from where, it is what the list has.

use super::*;
use millpond_backplane::codec::encode_envelope;
use millpond_backplane::conformance::user;
use millpond_backplane::{Command, CommandBody, ConversationKey, Entry};
use proptest::prelude::*;

const EPOCH: u32 = 3;
const NAME: (Topic, i32) = (Topic::Commands, 0);

/// A few groups, which lie in a few virtual partitions.
fn entry(group: u64, up_to: u64) -> Entry {
    Entry::Command(Command {
        conversation: ConversationKey::Group(group),
        body: CommandBody::Read {
            user: user(1),
            up_to,
        },
    })
}

fn partition(group: u64) -> VirtualPartition {
    VirtualPartition::of_conversation(ConversationKey::Group(group))
}

/// Kafka's partition: payloads by offset.
#[derive(Default)]
struct Kafka {
    records: Vec<Vec<u8>>,
    logged: Vec<Logged>,
}

impl Kafka {
    fn append(&mut self, entries: &[Entry]) {
        let offset = self.records.len() as u64;
        let mut payload = Vec::new();
        encode_envelope(entries, &mut payload);
        self.records.push(payload);
        for (entry, index) in entries.iter().zip(0..) {
            self.logged.push(Logged {
                position: Position {
                    epoch: EPOCH,
                    offset,
                    index,
                },
                append_ms: 1_000 + offset,
                entry: entry.clone(),
            });
        }
    }

    /// What a reader does when nothing is queued: hands over the next `records`.
    fn feed(&self, demux: &mut Demux, records: usize) {
        for (_, tap) in demux.taps() {
            tap.moved = false;
        }
        let next = demux.taps().next().map_or(0, |(_, tap)| tap.next);
        for (offset, payload) in (0..)
            .zip(&self.records)
            .skip(usize::try_from(next).unwrap())
            .take(records)
        {
            let _corrupt = demux.record(NAME, offset, 1_000 + offset, payload);
        }
    }

    fn behind(&self, group: u64, after: Position) -> Vec<Logged> {
        let of = |logged: &&Logged| {
            logged.entry.partition() == partition(group) && logged.position > after
        };
        self.logged.iter().filter(of).cloned().collect()
    }
}

fn take(demux: &mut Demux, group: u64, after: Position, max: usize) -> Vec<Logged> {
    demux
        .take(NAME.0, NAME.1, partition(group), after, max)
        .unwrap()
}

proptest! {
    /// Readers of some partitions go forward, stop, and go back to any earlier place, while records come.
    #[test]
    fn every_reader_sees_its_own_in_order(
        appends in prop::collection::vec(prop::collection::vec(1..5_u64, 1..6), 1..12),
        steps in prop::collection::vec((1..5_u64, 1..5_usize, any::<prop::sample::Index>(), 0..8_u8), 1..80),
    ) {
        let mut kafka = Kafka::default();
        for (number, groups) in appends.iter().enumerate() {
            let entries: Vec<_> = groups.iter().map(|group| entry(*group, number as u64)).collect();
            kafka.append(&entries);
        }
        let mut demux = Demux::new(EPOCH, usize::MAX);
        let mut places = BTreeMap::new();
        for (group, max, back, choice) in steps {
            let place = places.entry(group).or_insert(Position::ZERO);
            if choice == 0 {
                let known = &kafka.logged[back.index(kafka.logged.len())];
                *place = (*place).min(known.position);
            }
            let taken = take(&mut demux, group, *place, max);
            if taken.is_empty() {
                kafka.feed(&mut demux, usize::from(choice));
                continue;
            }
            let wanted = kafka.behind(group, *place);
            prop_assert_eq!(&taken[..], &wanted[..taken.len()]);
            *place = taken.last().unwrap().position;
        }
        for (group, place) in places {
            let mut rest = Vec::new();
            let mut after = place;
            for _ in 0..2 * kafka.records.len() + 2 {
                let taken = take(&mut demux, group, after, 3);
                after = taken.last().map_or(after, |logged| logged.position);
                if taken.is_empty() {
                    kafka.feed(&mut demux, usize::MAX);
                }
                rest.extend(taken);
            }
            prop_assert_eq!(rest, kafka.behind(group, place));
        }
        prop_assert!(demux.taps().all(|(_, tap)| tap.queues.values().all(|it| it.items.is_empty()) || tap.bytes > 0));
    }
}

#[test]
fn reading_begins_in_the_middle_of_an_envelope() {
    let mut kafka = Kafka::default();
    kafka.append(&[entry(1, 1), entry(1, 2), entry(1, 3)]);
    let mut demux = Demux::new(EPOCH, usize::MAX);
    let after = kafka.logged[1].position;
    assert!(take(&mut demux, 1, after, 9).is_empty());
    kafka.feed(&mut demux, 9);
    assert_eq!(take(&mut demux, 1, after, 9), kafka.logged[2..]);
}

#[test]
fn a_record_that_does_not_decode_is_told_in_its_place() {
    let mut kafka = Kafka::default();
    kafka.append(&[entry(1, 1)]);
    kafka.records.push(vec![0xFF]);
    kafka.append(&[entry(1, 2)]);
    let mut demux = Demux::new(EPOCH, usize::MAX);
    assert!(take(&mut demux, 1, Position::ZERO, 9).is_empty());
    kafka.feed(&mut demux, 9);
    let first = take(&mut demux, 1, Position::ZERO, 9);
    assert_eq!(first.len(), 1);
    let after = first[0].position;
    for _ in 0..2 {
        let error = demux
            .take(NAME.0, NAME.1, partition(1), after, 9)
            .unwrap_err();
        assert!(
            matches!(error, LogError::Corrupt { offset: 1, .. }),
            "{error}"
        );
    }
    let past = Position::end_of(EPOCH, 1);
    assert_eq!(take(&mut demux, 1, past, 9), kafka.logged[1..]);
}

#[test]
fn what_is_gone_is_an_error_and_what_was_taken_is_not_missed() {
    let mut demux = Demux::new(EPOCH, usize::MAX);
    let at = |offset| Position {
        epoch: EPOCH,
        offset,
        index: 0,
    };
    assert!(take(&mut demux, 1, at(6), 9).is_empty());
    demux.taps().for_each(|(_, tap)| tap.first = 7);
    assert!(
        take(&mut demux, 1, at(6), 9).is_empty(),
        "6 was the last that is gone"
    );
    for after in [at(5), Position::ZERO] {
        let error = demux
            .take(NAME.0, NAME.1, partition(1), after, 9)
            .unwrap_err();
        assert!(matches!(error, LogError::Truncated { .. }), "{error}");
    }
}

#[test]
fn an_earlier_epoch_begins_anew_and_a_later_one_is_an_error() {
    let mut demux = Demux::new(EPOCH, usize::MAX);
    let of = |epoch| Position {
        epoch,
        offset: 900,
        index: 0,
    };
    assert!(take(&mut demux, 1, of(EPOCH - 1), 9).is_empty());
    assert_eq!(demux.taps().next().unwrap().1.next, 0);
    let later = demux.take(NAME.0, NAME.1, partition(1), of(EPOCH + 1), 9);
    assert!(matches!(later, Err(LogError::Unreadable(_))));
}

#[test]
fn a_queue_without_news_is_passed_by_its_neighbours() {
    let mut kafka = Kafka::default();
    kafka.append(&[entry(1, 1), entry(2, 1)]);
    kafka.append(&[entry(1, 2)]);
    kafka.append(&[entry(1, 3)]);
    let mut demux = Demux::new(EPOCH, usize::MAX);
    let passed = |demux: &Demux, group| demux.passed(NAME.0, NAME.1, partition(group));
    assert_eq!(passed(&demux, 2), Position::ZERO);
    assert!(take(&mut demux, 2, Position::ZERO, 9).is_empty());
    assert_eq!(
        passed(&demux, 2),
        Position::ZERO,
        "Kafka has not been asked yet"
    );
    kafka.feed(&mut demux, 9);
    assert_eq!(passed(&demux, 2), Position::ZERO, "an entry waits");
    assert_eq!(take(&mut demux, 2, Position::ZERO, 9).len(), 1);
    let end = Position::end_of(EPOCH, 2);
    assert_eq!(passed(&demux, 2), end);
    assert_eq!(passed(&demux, 1), Position::ZERO, "nobody asked for it");
    kafka.append(&[entry(2, 2)]);
    assert!(take(&mut demux, 2, end, 9).is_empty());
    kafka.feed(&mut demux, 9);
    assert_eq!(take(&mut demux, 2, end, 9).len(), 1);
}

#[test]
fn a_full_tap_is_paused_until_half_of_it_is_taken() {
    let mut kafka = Kafka::default();
    for number in 0..100 {
        kafka.append(&[entry(1, number)]);
    }
    let mut demux = Demux::new(EPOCH, 50 * ENTRY_BYTES);
    assert!(take(&mut demux, 1, Position::ZERO, 9).is_empty());
    kafka.feed(&mut demux, 100);
    assert_eq!(demux.flow(), (vec![NAME], vec![]));
    assert_eq!(demux.flow(), (vec![], vec![]));
    let mut after = Position::ZERO;
    let mut taken = 0;
    while demux.flow().1.is_empty() {
        let some = take(&mut demux, 1, after, 10);
        after = some.last().unwrap().position;
        taken += some.len();
    }
    assert!((70..=90).contains(&taken), "{taken}");
}
