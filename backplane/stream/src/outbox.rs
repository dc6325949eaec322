//! What waits for one gateway: bounded in bytes, and what finds no room is dropped.

use std::collections::VecDeque;

/// A batch of hints, encoded.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) batch: Vec<u8>,
    pub(crate) hints: u64,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
    bytes_max: usize,
}

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Gives the frame back when there is no room.
    pub(crate) fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.bytes + frame.batch.len() > self.bytes_max {
            return Err(frame);
        }
        self.bytes += frame.batch.len();
        self.frames.push_back(frame);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.batch.len();
        Some(frame)
    }

    /// Drops everything; says how many hints that were.
    pub(crate) fn clear(&mut self) -> u64 {
        self.bytes = 0;
        self.frames.drain(..).map(|frame| frame.hints).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize, hints: u64) -> Frame {
        Frame {
            batch: vec![0; bytes],
            hints,
        }
    }

    #[test]
    fn it_is_bounded_in_bytes_and_goes_in_order() {
        let mut outbox = Outbox::new(100);
        outbox.push(frame(60, 1)).unwrap();
        assert_eq!(outbox.push(frame(41, 2)).unwrap_err().hints, 2);
        outbox.push(frame(40, 3)).unwrap();
        assert_eq!(outbox.pop().unwrap().hints, 1);
        outbox.push(frame(60, 4)).unwrap();
        assert_eq!(outbox.clear(), 7);
        assert!(outbox.is_empty() && outbox.pop().is_none());
        outbox.push(frame(100, 5)).unwrap();
    }
}
