//! Bounded queues between threads, with a doorbell that is rung only for a sleeping receiver.
//!
//! One producer, one consumer, no lock. The data goes through the queue; the doorbell says only "look". A receiver
//! declares itself asleep, looks once more, and only then sleeps; a sender rings after it has pushed a batch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Wakes the thread that owns the receiving end, if it sleeps.
pub trait Bell: Send + Sync + std::fmt::Debug {
    fn ring(&self);
}

/// A queue of at most `capacity` items whose receiver is woken by `bell`.
pub fn channel<T>(capacity: usize, bell: Arc<dyn Bell>) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity);
    (
        Sender {
            producer,
            bell,
            rung: true,
        },
        Receiver { consumer },
    )
}

#[derive(Debug)]
pub struct Sender<T> {
    producer: rtrb::Producer<T>,
    bell: Arc<dyn Bell>,
    rung: bool,
}

impl<T> Sender<T> {
    /// Gives the item back when the queue is full or the receiver is gone.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        self.rung = false;
        self.producer
            .push(item)
            .map_err(|rtrb::PushError::Full(item)| item)
    }

    /// Rings once for everything pushed since the last call.
    pub fn flush(&mut self) {
        if !self.rung {
            self.rung = true;
            self.bell.ring();
        }
    }

    /// Whether the receiving end was dropped.
    pub fn is_closed(&self) -> bool {
        self.producer.is_abandoned()
    }

    /// Items that the receiver has not taken.
    fn waiting(&self) -> usize {
        self.capacity() - self.producer.slots()
    }

    fn capacity(&self) -> usize {
        self.producer.buffer().capacity()
    }
}

/// A sender whose queue is bounded in bytes too: what its items hold elsewhere in memory.
#[derive(Debug)]
pub struct WeighedSender<T> {
    sender: Sender<T>,
    /// Bytes of the items that had not been taken when it last looked, oldest first.
    weights: VecDeque<usize>,
    bytes: usize,
    bytes_max: usize,
}

impl<T> WeighedSender<T> {
    pub fn new(sender: Sender<T>, bytes_max: usize) -> Self {
        Self {
            sender,
            weights: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Gives the item back when the queue is full, its bytes are, or the receiver is gone.
    pub fn push(&mut self, item: T, bytes: usize) -> Result<(), T> {
        if self.bytes + bytes > self.bytes_max || self.weights.len() >= self.sender.capacity() {
            self.settle();
        }
        if self.bytes + bytes > self.bytes_max {
            return Err(item);
        }
        self.sender.push(item)?;
        self.weights.push_back(bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// As [`Sender::flush`].
    pub fn flush(&mut self) {
        self.sender.flush();
    }

    /// As [`Sender::is_closed`].
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Forgets what the receiver has taken since.
    fn settle(&mut self) {
        let waiting = self.sender.waiting();
        let taken = self.weights.len().saturating_sub(waiting);
        self.bytes -= self.weights.drain(..taken).sum::<usize>();
    }
}

#[derive(Debug)]
pub struct Receiver<T> {
    consumer: rtrb::Consumer<T>,
}

impl<T> Receiver<T> {
    pub fn pop(&mut self) -> Option<T> {
        self.consumer.pop().ok()
    }

    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// Whether the sending end was dropped; what it pushed before is still here.
    pub fn is_closed(&self) -> bool {
        self.consumer.is_abandoned()
    }
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const RUNG: u8 = 2;

/// The bell of an ordinary thread: it parks, and only a parked one costs the ringer a system call.
///
/// It latches: a ring since the last [`ThreadBell::wait`] returned makes the next one return at once. Why no wake-up is
/// lost: the ringer pushes, then swaps in `RUNG`; the owner swaps `RUNG` out, then looks at its queues. Both swaps are
/// read-modify-writes of one atomic, so they have one order. If the ringer's came first, the owner's reads it
/// (acquire meets release) and sees the push. If it came later, it is still there when the owner waits again: the
/// exchange to `ASLEEP` fails, or the ringer finds `ASLEEP` and unparks; an unpark before the park makes it return.
#[derive(Default, Debug)]
pub struct ThreadBell {
    state: AtomicU8,
    /// Set before the first `ASLEEP` is released, so whoever acquires that sees it.
    owner: OnceLock<Thread>,
}

impl ThreadBell {
    /// Sleeps until it is rung, at most `timeout`. Always on the same thread.
    pub fn wait(&self, timeout: Duration) {
        let owner = self.owner.get_or_init(std::thread::current);
        assert_eq!(
            owner.id(),
            std::thread::current().id(),
            "a bell has one owner"
        );
        let slept = self
            .state
            .compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if slept {
            self.park(timeout);
        }
        self.state.swap(AWAKE, Ordering::AcqRel);
    }

    /// A park may end for no reason, so the state decides.
    fn park(&self, timeout: Duration) {
        let start = Instant::now();
        while self.state.load(Ordering::Acquire) == ASLEEP {
            let Some(left) = timeout.checked_sub(start.elapsed()) else {
                return;
            };
            std::thread::park_timeout(left);
        }
    }
}

impl Bell for ThreadBell {
    fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            let owner = self.owner.get().expect("only an owner falls asleep");
            owner.unpark();
        }
    }
}

#[cfg(test)]
mod tests;
