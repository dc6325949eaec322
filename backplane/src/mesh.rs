//! Bounded queues between threads, with a doorbell that is rung only for a sleeping receiver.
//!
//! One producer, one consumer, no lock. The data goes through the queue; the doorbell says only "look". A receiver
//! declares itself asleep, looks once more, and only then sleeps; a sender rings after it has pushed a batch.

use std::sync::Arc;

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
