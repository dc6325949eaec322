//! The sequences of one conversation as they come along one inbox.

use crate::audit::Code;

/// What is wrong with the row at a cursor, and the sequence it names.
pub(super) type Fault = (Code, u64, u64);

#[derive(Clone, Debug)]
pub(super) struct Order {
    /// The last sequence of the conversation.
    pub(super) head: u64,
    /// The highest that came.
    last: u64,
    /// Those below it that did not come yet: first and last of each range, ascending.
    missing: Vec<(u64, u64)>,
    pub(super) faults: Vec<Fault>,
}

impl Order {
    pub(super) fn new(head: u64) -> Self {
        Self {
            head,
            last: 0,
            missing: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(super) fn any_came(&self) -> bool {
        self.last > 0
    }

    /// Takes the next sequence; `ranges_max` bounds what is remembered of those that are late.
    pub(super) fn take(&mut self, seq: u64, ranges_max: usize) -> Option<Code> {
        if seq > self.last {
            if seq > self.last + 1 && self.missing.len() < ranges_max {
                self.missing.push((self.last + 1, seq - 1));
            }
            self.last = seq;
            return None;
        }
        let late = self
            .missing
            .iter()
            .position(|(first, last)| (*first..=*last).contains(&seq));
        let Some(index) = late else {
            return Some(Code::TwiceInInbox);
        };
        let (first, last) = self.missing.remove(index);
        let rest = [(first, seq - 1), (seq + 1, last)];
        let rest = rest.into_iter().filter(|(first, last)| first <= last);
        self.missing.splice(index..index, rest);
        Some(Code::InboxOrder)
    }

    /// What never came, without the sequences that history itself lacks.
    pub(super) fn missing(mut self, gaps: &[(u64, u64)]) -> Vec<(u64, u64)> {
        if self.last < self.head {
            self.missing.push((self.last + 1, self.head));
        }
        self.missing
            .into_iter()
            .flat_map(|range| without(range, gaps))
            .collect()
    }
}

/// A range without some others, which ascend.
fn without((first, last): (u64, u64), others: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut rest = Vec::new();
    let mut next = first;
    for (from, to) in others
        .iter()
        .copied()
        .filter(|(from, to)| *from <= last && *to >= first)
    {
        if next < from {
            rest.push((next, from - 1));
        }
        next = to + 1;
    }
    if next <= last {
        rest.push((next, last));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seqs: &[u64], head: u64) -> (Vec<Option<Code>>, Vec<(u64, u64)>) {
        let mut order = Order::new(head);
        let codes = seqs.iter().map(|seq| order.take(*seq, 8)).collect();
        (codes, order.missing(&[]))
    }

    #[test]
    fn in_order_nothing_is_missing() {
        assert_eq!(order(&[1, 2, 3], 3), (vec![None; 3], vec![]));
    }

    #[test]
    fn what_never_comes_is_missing_also_at_the_ends() {
        assert_eq!(order(&[2, 5], 7).1, [(1, 1), (3, 4), (6, 7)]);
        assert_eq!(order(&[], 2).1, [(1, 2)]);
    }

    #[test]
    fn late_is_another_thing_than_twice() {
        let (codes, missing) = order(&[1, 5, 3, 3, 5], 5);
        let wanted = [
            None,
            None,
            Some(Code::InboxOrder),
            Some(Code::TwiceInInbox),
            Some(Code::TwiceInInbox),
        ];
        assert_eq!(codes, wanted);
        assert_eq!(missing, [(2, 2), (4, 4)]);
    }

    #[test]
    fn what_history_lacks_is_not_missing() {
        assert_eq!(without((1, 10), &[(2, 3), (10, 12)]), [(1, 1), (4, 9)]);
        assert_eq!(without((5, 6), &[(1, 4), (5, 6)]), []);
        assert_eq!(without((5, 6), &[]), [(5, 6)]);
    }
}
