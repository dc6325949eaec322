//! Looks at what clients write, when somebody asks which frames were seen.

use crate::notes::Notes;
use millpond_wire::{Decoded, PREFACE, decode};

impl Notes {
    /// Whole frames, perhaps behind a preface.
    pub(crate) fn see_frames(&mut self, bytes: &[u8]) {
        if self.seen.is_none() {
            return;
        }
        let mut rest = bytes.strip_prefix(&PREFACE).unwrap_or(bytes);
        while let Ok(Decoded::Frame(frame, length)) = decode(rest, usize::MAX >> 1) {
            if let Some(tag) = frame.tag() {
                self.saw(tag.name());
            }
            rest = &rest[length..];
        }
    }
}
