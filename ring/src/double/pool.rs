//! The provided buffers of the double, as strict as they can be: a buffer given back is overwritten, so that a caller who
//! still reads it reads nonsense. Called by the double alone.

use std::collections::VecDeque;

use super::super::uring::BufferPlan;
use crate::op::BufferId;

const POISON: u8 = 0xdd;

#[derive(Debug)]
pub(super) struct Pool {
    buffers: Vec<Box<[u8]>>,
    held: Vec<bool>,
    free: VecDeque<u16>,
}

impl Pool {
    pub(super) fn new(plan: BufferPlan) -> Self {
        let buffer = vec![POISON; plan.bytes as usize].into_boxed_slice();
        Self {
            buffers: vec![buffer; usize::from(plan.count)],
            held: vec![false; usize::from(plan.count)],
            free: (0..plan.count).collect(),
        }
    }

    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    pub(super) fn held(&self) -> usize {
        self.buffers.len() - self.free.len()
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffers[0].len()
    }

    pub(super) fn fill(&mut self, bytes: &[u8]) -> BufferId {
        let index = self.free.pop_front().expect("looked at before reading");
        let place = usize::from(index);
        self.held[place] = true;
        self.buffers[place][..bytes.len()].copy_from_slice(bytes);
        let bytes = u32::try_from(bytes.len()).expect("no more than a buffer");
        BufferId {
            ring: 0,
            index,
            bytes,
        }
    }

    pub(super) fn bytes(&self, id: BufferId) -> &[u8] {
        let place = usize::from(id.index);
        assert!(place < self.held.len(), "a buffer this ring never had");
        assert!(self.held[place], "a buffer that the kernel has not given");
        &self.buffers[place][..id.bytes as usize]
    }

    pub(super) fn give_back(&mut self, id: BufferId) {
        let place = usize::from(id.index);
        assert!(place < self.held.len(), "a buffer this ring never had");
        assert!(self.held[place], "a buffer comes back once");
        self.held[place] = false;
        self.buffers[place].fill(POISON);
        self.free.push_back(id.index);
    }
}
