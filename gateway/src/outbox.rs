//! What waits to be written to one socket. Frames of one turn leave as one send; one send is in flight at a time; what
//! the socket does not take waits for one readiness, not in an armed send.

use std::mem::take;

#[derive(Default, Debug)]
pub(crate) struct Outbox {
    /// Encoded frames behind those that are being written.
    queued: Vec<u8>,
    writing: Writing,
    /// Already in the shard's list of outboxes to drain.
    pub(crate) listed: bool,
    /// The tick of the last progress, of an outbox that is not idle.
    pub(crate) moved: u32,
}

#[derive(Default, Debug)]
enum Writing {
    #[default]
    Idle,
    /// The kernel has them.
    Sending { from: usize, bytes: usize },
    /// The socket was full: they wait here for it.
    Blocked { bytes: Vec<u8>, from: usize },
}

/// What follows when a send comes back.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// All written; the empty buffer can be used again.
    All(Vec<u8>),
    /// Wait until the socket takes bytes, then [`Outbox::unblock`].
    Blocked,
    /// The socket is dead.
    Failed(Vec<u8>),
}

impl Outbox {
    /// Where frames are encoded; the buffer of a fresh outbox comes from `spare`.
    pub(crate) fn queue(&mut self, spare: impl FnOnce() -> Vec<u8>) -> &mut Vec<u8> {
        if self.queued.capacity() == 0 {
            self.queued = spare();
        }
        &mut self.queued
    }

    /// Bytes that the socket has not taken.
    pub(crate) fn bytes(&self) -> usize {
        let writing = match &self.writing {
            Writing::Idle => 0,
            Writing::Sending { from, bytes } => bytes - from,
            Writing::Blocked { bytes, from } => bytes.len() - from,
        };
        self.queued.len() + writing
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.writing, Writing::Idle) && self.queued.is_empty()
    }

    /// A send or a wait for the socket is in the kernel.
    pub(crate) fn in_kernel(&self) -> bool {
        !matches!(self.writing, Writing::Idle)
    }

    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self.writing, Writing::Blocked { .. })
    }

    /// The bytes of the next send, when none is under way.
    pub(crate) fn start(&mut self) -> Option<(Vec<u8>, usize)> {
        if self.in_kernel() || self.queued.is_empty() {
            return None;
        }
        let bytes = take(&mut self.queued);
        self.writing = Writing::Sending {
            from: 0,
            bytes: bytes.len(),
        };
        Some((bytes, 0))
    }

    /// The send came back with its bytes and the system call's result.
    pub(crate) fn sent(&mut self, mut bytes: Vec<u8>, result: i32) -> Sent {
        let Writing::Sending { from, .. } = take(&mut self.writing) else {
            panic!("a send comes back once");
        };
        let taken = match usize::try_from(result) {
            Ok(taken) => taken,
            Err(_) if result == -libc::EAGAIN || result == -libc::EINTR => 0,
            Err(_) => return Sent::Failed(emptied(bytes)),
        };
        let from = from + taken;
        assert!(from <= bytes.len(), "a socket takes what it is given");
        if from == bytes.len() {
            bytes.clear();
            return Sent::All(bytes);
        }
        self.writing = Writing::Blocked { bytes, from };
        Sent::Blocked
    }

    /// The socket takes bytes again: the rest of the send that was cut short.
    pub(crate) fn unblock(&mut self) -> Option<(Vec<u8>, usize)> {
        match take(&mut self.writing) {
            Writing::Blocked { bytes, from } => {
                self.writing = Writing::Sending {
                    from,
                    bytes: bytes.len(),
                };
                Some((bytes, from))
            }
            other @ (Writing::Idle | Writing::Sending { .. }) => {
                self.writing = other;
                None
            }
        }
    }

    /// Drops what the kernel does not hold; says how many bytes. A blocked outbox's wait ends by itself or by a cancel.
    pub(crate) fn discard(&mut self) -> usize {
        let mut dropped = self.queued.len();
        self.queued = Vec::new();
        if let Writing::Blocked { bytes, from } = &mut self.writing {
            dropped += bytes.len() - *from;
            drop(take(bytes));
            *from = 0;
        }
        dropped
    }

    /// The wait of a discarded outbox has ended.
    pub(crate) fn wait_over(&mut self) {
        assert!(
            self.bytes() == 0,
            "only a discarded outbox gives up its wait"
        );
        self.writing = Writing::Idle;
    }
}

fn emptied(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.clear();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_of_one_turn_leave_as_one_send_and_the_next_waits_for_it() {
        let mut outbox = Outbox::default();
        outbox.queue(Vec::new).extend(b"ab");
        outbox.queue(Vec::new).extend(b"cd");
        let (bytes, from) = outbox.start().unwrap();
        assert_eq!((bytes.as_slice(), from), (&b"abcd"[..], 0));
        outbox.queue(Vec::new).extend(b"ef");
        assert_eq!(outbox.start(), None);
        assert_eq!(outbox.bytes(), 6);
        assert_eq!(outbox.sent(bytes, 4), Sent::All(Vec::new()));
        assert_eq!(outbox.start().unwrap().0, b"ef");
    }

    #[test]
    fn a_dead_socket_is_a_failure() {
        let mut outbox = Outbox::default();
        outbox.queue(Vec::new).extend(b"ab");
        let (bytes, _) = outbox.start().unwrap();
        assert!(matches!(outbox.sent(bytes, -libc::EPIPE), Sent::Failed(_)));
        assert!(outbox.is_idle());
    }

    proptest! {
        #[test]
        fn every_byte_leaves_once_and_in_order(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..20),
            takes in prop::collection::vec(0..30usize, 1..50),
        ) {
            let mut outbox = Outbox::default();
            let mut written = Vec::new();
            let mut takes = takes.into_iter().cycle();
            let expected: Vec<u8> = frames.concat();
            for frame in frames {
                outbox.queue(Vec::new).extend(frame);
                let next = outbox.start().or_else(|| outbox.unblock());
                send(&mut outbox, next, takes.next().unwrap(), &mut written);
            }
            let mut idle_turns = 0;
            while !outbox.is_idle() && idle_turns < 10_000 {
                let next = outbox.start().or_else(|| outbox.unblock());
                send(&mut outbox, next, takes.next().unwrap() + 1, &mut written);
                idle_turns += 1;
            }
            prop_assert_eq!(written, expected);
            prop_assert_eq!(outbox.bytes(), 0);
        }
    }

    /// A socket that takes at most `takes` bytes, none of them as −EAGAIN.
    fn send(
        outbox: &mut Outbox,
        next: Option<(Vec<u8>, usize)>,
        takes: usize,
        written: &mut Vec<u8>,
    ) {
        let Some((bytes, from)) = next else { return };
        let taken = takes.min(bytes.len() - from);
        written.extend(&bytes[from..from + taken]);
        let result = if taken == 0 {
            -libc::EAGAIN
        } else {
            i32::try_from(taken).unwrap()
        };
        outbox.sent(bytes, result);
    }
}
