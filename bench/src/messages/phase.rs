//! What is measured while one load runs.

use crate::generator::Window;
use crate::latency::Latency;

/// Latencies of messages meant for the window, and the longest time in it without any ack while one was awaited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    window: Window,
    pub(crate) ack: Latency,
    pub(crate) delivery: Latency,
    pub(crate) stall_ns: u64,
    /// Since when an ack is awaited without any having come.
    silent_since_ns: u64,
    awaited: u64,
    pub(crate) repeats: u64,
}

impl Phase {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            ..Self::default()
        }
    }

    pub(crate) fn sent(&mut self, now_ns: u64) {
        if self.awaited == 0 {
            self.silent_since_ns = now_ns;
        }
        self.awaited += 1;
    }

    pub(crate) fn acked(&mut self, intended_ns: u64, now_ns: u64) {
        self.silence_ends(now_ns);
        self.awaited = self.awaited.saturating_sub(1);
        if self.window.holds(intended_ns) {
            self.ack.record(now_ns.saturating_sub(intended_ns));
        }
    }

    pub(crate) fn delivered(&mut self, intended_ns: u64, now_ns: u64) {
        if self.window.holds(intended_ns) {
            self.delivery.record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// A message of this phase was never acked, or never delivered.
    pub(crate) fn lost(&mut self, intended_ns: u64, acked: bool, delivered: bool) {
        if self.window.holds(intended_ns) {
            self.ack.lose(u64::from(!acked));
            self.delivery.lose(u64::from(!delivered));
        }
    }

    /// The phase is over.
    pub(crate) fn end(&mut self, now_ns: u64) {
        if self.awaited > 0 {
            self.silence_ends(now_ns);
        }
    }

    /// Only the part inside the window counts.
    fn silence_ends(&mut self, now_ns: u64) {
        let from_ns = self.silent_since_ns.max(self.window.from_ns);
        let silent_ns = now_ns.min(self.window.until_ns).saturating_sub(from_ns);
        self.stall_ns = self.stall_ns.max(silent_ns);
        self.silent_since_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase() -> Phase {
        Phase::new(Window {
            from_ns: 100,
            until_ns: 1_000,
        })
    }

    #[test]
    fn silence_counts_only_while_an_ack_is_awaited_and_inside_the_window() {
        let mut phase = phase();
        phase.sent(50);
        phase.acked(50, 150);
        assert_eq!(phase.stall_ns, 50);
        // Nothing is awaited from 150 to 600.
        phase.sent(600);
        phase.sent(610);
        phase.acked(600, 680);
        assert_eq!(phase.stall_ns, 80);
        phase.end(5_000);
        assert_eq!(phase.stall_ns, 320);
    }

    #[test]
    fn latencies_outside_the_window_do_not_count_and_lost_ones_do() {
        let mut phase = phase();
        phase.acked(99, 150);
        phase.acked(100, 150);
        phase.delivered(1_000, 1_100);
        phase.lost(500, true, false);
        assert_eq!((phase.ack.count(), phase.delivery.count()), (1, 1));
        assert_eq!(phase.delivery.lost(), 1);
    }
}
