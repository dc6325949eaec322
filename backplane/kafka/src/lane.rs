//! What one appender has for one partition of one topic: envelopes that wait, and how many are under way.
//!
//! Pure: [`Queue`] takes encoded entries, says which envelope may leave, and is told how it went. The bound of what is
//! under way makes its own clock: the slower the brokers answer, the more entries an envelope brings.

use std::collections::VecDeque;
use std::time::Instant;

/// Entries of one tick, as one record of Kafka will hold them.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: u64,
}

impl Envelope {
    /// What its entries were counted with, each with a version of its own.
    pub(crate) fn pushed_bytes(&self) -> usize {
        let entries = usize::try_from(self.entries).expect("entries fit into memory");
        self.bytes.len() - 1 + entries
    }
}

/// One that has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnderWay {
    pub(crate) pushed_bytes: usize,
    pub(crate) entries: u64,
    pub(crate) since: Instant,
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Envelope>,
    /// In the order in which they left, which is that of the reports.
    under_way: VecDeque<UnderWay>,
    under_way_max: usize,
    envelope_bytes: usize,
}

impl Queue {
    pub(crate) fn new(under_way_max: usize, envelope_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            under_way: VecDeque::new(),
            under_way_max,
            envelope_bytes,
        }
    }

    /// Adds an entry, given as an envelope of it alone.
    pub(crate) fn push(&mut self, alone: &[u8]) {
        let (version, entry) = alone.split_first().expect("an envelope has a version");
        let open = self.waiting.back_mut();
        let open = open.filter(|it| it.bytes.len() + entry.len() <= self.envelope_bytes);
        match open {
            Some(open) => {
                open.bytes.extend_from_slice(entry);
                open.entries += 1;
            }
            None => {
                let mut bytes = Vec::with_capacity(alone.len());
                bytes.push(*version);
                bytes.extend_from_slice(entry);
                self.waiting.push_back(Envelope { bytes, entries: 1 });
            }
        }
    }

    /// The envelope that may leave now. Whoever takes it says [`Queue::left`], or gives it back.
    pub(crate) fn next(&mut self) -> Option<Envelope> {
        if self.under_way.len() >= self.under_way_max {
            return None;
        }
        self.waiting.pop_front()
    }

    pub(crate) fn left(&mut self, envelope: &Envelope, since: Instant) {
        self.under_way.push_back(UnderWay {
            pushed_bytes: envelope.pushed_bytes(),
            entries: envelope.entries,
            since,
        });
    }

    pub(crate) fn give_back(&mut self, envelope: Envelope) {
        self.waiting.push_front(envelope);
    }

    /// The oldest that is under way has ended, one way or the other.
    pub(crate) fn ended(&mut self) -> Option<UnderWay> {
        self.under_way.pop_front()
    }

    /// Forgets what waits; says the bytes that were pushed for it, and its entries.
    pub(crate) fn clear(&mut self) -> (usize, u64) {
        let sum =
            |(bytes, entries), it: Envelope| (bytes + it.pushed_bytes(), entries + it.entries);
        self.waiting.drain(..).fold((0, 0), sum)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Whether something waits although nothing that is under way will call for it.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.waiting.is_empty() && self.under_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(byte: u8, bytes: usize) -> Vec<u8> {
        let mut alone = vec![1];
        alone.resize(1 + bytes, byte);
        alone
    }

    fn leave(queue: &mut Queue) -> Option<(usize, u64)> {
        let envelope = queue.next()?;
        queue.left(&envelope, Instant::now());
        assert_eq!(envelope.bytes[0], 1, "each has the version once");
        Some((envelope.bytes.len(), envelope.entries))
    }

    #[test]
    fn entries_share_envelopes_up_to_their_bytes() {
        let mut queue = Queue::new(10, 100);
        for byte in 0..5 {
            queue.push(&alone(byte, 40));
        }
        queue.push(&alone(9, 500));
        queue.push(&alone(9, 1));
        let left: Vec<_> = std::iter::from_fn(|| leave(&mut queue)).collect();
        assert_eq!(left, [(81, 2), (81, 2), (41, 1), (501, 1), (2, 1)]);
    }

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let mut queue = Queue::new(2, 10);
        for byte in 0..4 {
            queue.push(&alone(byte, 10));
        }
        assert!(queue.is_stuck());
        assert_eq!(leave(&mut queue), Some((11, 1)));
        assert_eq!(leave(&mut queue), Some((11, 1)));
        assert_eq!(leave(&mut queue), None);
        assert!(!queue.is_stuck());
        assert_eq!(queue.ended().unwrap().entries, 1);
        assert_eq!(leave(&mut queue), Some((11, 1)));
        assert_eq!(queue.clear(), (11, 1));
        assert!(queue.ended().is_some() && queue.ended().is_some());
        assert!(queue.is_empty() && queue.ended().is_none());
    }

    #[test]
    fn what_is_given_back_leaves_first() {
        let mut queue = Queue::new(2, 10);
        queue.push(&alone(1, 10));
        queue.push(&alone(2, 9));
        let first = queue.next().unwrap();
        queue.give_back(first);
        assert_eq!(queue.next().unwrap().bytes[1], 1);
    }
}
