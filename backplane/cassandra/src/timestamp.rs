//! The write timestamp of a row: its position as a number that grows with it.
//!
//! ```text
//! bit   62     56 55                            16 15          0
//!       epoch  7  offset                        40 index      16
//! ```
//!
//! The server keeps the cell with the higher timestamp; of two equal ones the greater value, and those are equal, because
//! the same position writes the same bytes. So writing again changes nothing, and an older write never wins.
//!
//! Bounds: 128 epochs (an epoch ends only by a drained switch of the log), 2^40 envelopes in one partition of the log (34
//! years at 1,000 a second), and as many entries as an envelope may have. What is beyond them is refused, never wrapped.
//! These are no microseconds since 1970: compaction by time windows must not be used on these tables, who deletes a row by
//! hand must do so with a timestamp of this form, and Scylla has to be told `restrict_future_timestamp: false`.

use millpond_backplane::Position;
use millpond_backplane::codec::ENTRIES_PER_ENVELOPE_MAX;

const INDEX_BITS: u32 = 16;
const OFFSET_BITS: u32 = 40;
const EPOCH_BITS: u32 = 7;

pub const INDEX_MAX: u32 = (1 << INDEX_BITS) - 1;
pub const OFFSET_MAX: u64 = (1 << OFFSET_BITS) - 1;
pub const EPOCH_MAX: u32 = (1 << EPOCH_BITS) - 1;

/// Of a position that no timestamp can say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} has no write timestamp: wanted an epoch up to {EPOCH_MAX}, an offset up to {OFFSET_MAX}, an index up to {INDEX_MAX}"
)]
pub struct OutOfBounds(pub Position);

/// The timestamp of a row that is replaced all the time: the position alone decides which one stays.
///
/// # Errors
/// A position beyond the bounds.
pub fn exact(position: Position) -> Result<i64, OutOfBounds> {
    let fits =
        position.epoch <= EPOCH_MAX && position.offset <= OFFSET_MAX && position.index <= INDEX_MAX;
    if fits {
        Ok(pack(position.epoch, position.offset, position.index))
    } else {
        Err(OutOfBounds(position))
    }
}

/// The timestamp of a row that is the same whoever writes it (a message, a pointer in an inbox): beyond the bounds the
/// highest one below. It never falls when positions grow. A router's batch holds the partition's row too, which is then
/// refused, and with it the batch.
pub fn saturating(position: Position) -> i64 {
    let Position {
        epoch,
        offset,
        index,
    } = position;
    if epoch > EPOCH_MAX {
        pack(EPOCH_MAX, OFFSET_MAX, INDEX_MAX)
    } else if offset > OFFSET_MAX {
        pack(epoch, OFFSET_MAX, INDEX_MAX)
    } else {
        pack(epoch, offset, index.min(INDEX_MAX))
    }
}

fn pack(epoch: u32, offset: u64, index: u32) -> i64 {
    let bits =
        u64::from(epoch) << (OFFSET_BITS + INDEX_BITS) | offset << INDEX_BITS | u64::from(index);
    i64::try_from(bits).expect("the fields have 63 bits together")
}

const _: () = assert!(EPOCH_BITS + OFFSET_BITS + INDEX_BITS == 63);
const _: () = assert!(INDEX_MAX as usize == ENTRIES_PER_ENVELOPE_MAX - 1);

#[cfg(test)]
mod tests {
    use super::{EPOCH_MAX, INDEX_MAX, OFFSET_MAX, exact, saturating};
    use millpond_backplane::Position;

    fn at(epoch: u32, offset: u64, index: u32) -> Position {
        Position {
            epoch,
            offset,
            index,
        }
    }

    #[test]
    fn timestamps_grow_with_positions() {
        let ascending = [
            Position::ZERO,
            at(0, 0, 1),
            at(0, 0, INDEX_MAX),
            at(0, 1, 0),
            at(0, OFFSET_MAX, INDEX_MAX),
            at(1, 0, 0),
            at(1, 7, 3),
            at(1, 8, 0),
            at(EPOCH_MAX, OFFSET_MAX, INDEX_MAX - 1),
            at(EPOCH_MAX, OFFSET_MAX, INDEX_MAX),
        ];
        let stamps = ascending.map(|position| exact(position).unwrap());
        assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
        assert_eq!((stamps[0], stamps[9]), (0, i64::MAX));
        assert_eq!(stamps, ascending.map(saturating));
        assert_eq!(exact(at(1, 2, 3)), Ok(0x0100_0000_0002_0003));
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_never_wraps() {
        for (beyond, highest) in [
            (at(EPOCH_MAX + 1, 0, 0), i64::MAX),
            (
                at(1, OFFSET_MAX + 1, 0),
                exact(at(1, OFFSET_MAX, INDEX_MAX)).unwrap(),
            ),
            (at(1, 5, INDEX_MAX + 1), exact(at(1, 5, INDEX_MAX)).unwrap()),
            (at(u32::MAX, u64::MAX, u32::MAX), i64::MAX),
        ] {
            let error = exact(beyond).unwrap_err().to_string();
            assert!(error.contains("an epoch up to 127"), "{error}");
            assert_eq!(saturating(beyond), highest, "{beyond:?}");
        }
    }
}
