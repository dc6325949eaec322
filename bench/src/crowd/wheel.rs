//! When each client of a crowd is to send its next heartbeat: four bytes a client, no search.

use std::collections::VecDeque;

/// Heartbeats of one tick leave together.
const TICK_NS: u64 = 50_000_000;
/// With the tick, 27 minutes: longer than any heartbeat.
const SPAN: usize = 1 << 15;

#[derive(Debug)]
pub(super) struct Wheel {
    ticks: Vec<Vec<u32>>,
    /// Everything due before this tick has been taken.
    swept: u64,
    /// Of the tick being taken.
    due: VecDeque<u32>,
    due_ns: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            ticks: vec![Vec::new(); SPAN],
            swept: 0,
            due: VecDeque::new(),
            due_ns: 0,
        }
    }
}

impl Wheel {
    /// At `due_ns`, or at the end of the span if that is earlier.
    pub(super) fn set(&mut self, at: u32, due_ns: u64) {
        let last = self.swept + SPAN as u64 - 1;
        let tick = (due_ns / TICK_NS + 1).clamp(self.swept, last);
        self.ticks[place(tick)].push(at);
    }

    /// A client whose tick has come, and when that was.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<(u32, u64)> {
        let now = now_ns / TICK_NS;
        while self.due.is_empty() {
            if self.swept > now {
                return None;
            }
            self.due = std::mem::take(&mut self.ticks[place(self.swept)]).into();
            self.due_ns = self.swept * TICK_NS;
            self.swept += 1;
        }
        self.due.pop_front().map(|at| (at, self.due_ns))
    }
}

fn place(tick: u64) -> usize {
    usize::try_from(tick % SPAN as u64).expect("below the span")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_due_once_and_not_early() {
        let mut wheel = Wheel::default();
        for at in 0..1_000_u32 {
            wheel.set(at, u64::from(at) * 7_000_000);
        }
        let mut seen = Vec::new();
        for now_ns in (0..8_000_000_000).step_by(10_000_000) {
            while let Some((at, due_ns)) = wheel.due(now_ns) {
                assert!(due_ns >= u64::from(at) * 7_000_000 && due_ns <= now_ns);
                assert!(due_ns <= u64::from(at) * 7_000_000 + 2 * TICK_NS);
                seen.push(at);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn beyond_the_span_is_at_its_end() {
        let mut wheel = Wheel::default();
        wheel.set(1, u64::MAX / 2);
        assert_eq!(wheel.due(TICK_NS * (SPAN as u64 - 2)), None);
        assert_eq!(wheel.due(TICK_NS * SPAN as u64).unwrap().0, 1);
    }
}
