//! The conversation as far as it is shown: which of my lines got how far, and up to where the other side is shown.
//!
//! Pure: events in, changes out. It keeps my newest lines only, because marks of older ones change nothing that can
//! still be seen.

use std::collections::VecDeque;

/// My lines whose ticks can still change.
const LINES_MAX: usize = 1024;

/// How far a line of mine got; it never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Tick {
    Waiting,
    Sent,
    Delivered,
    Read,
    Failed,
}

impl Tick {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Waiting => "…",
            Self::Sent => "✓",
            Self::Delivered => "✓✓",
            Self::Read => "✓✓ read",
            Self::Failed => "✗ not sent",
        }
    }
}

/// A line of mine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// In the order of writing, from 0.
    pub(crate) number: u64,
    /// Unknown for what another device, or an earlier run, has sent.
    pub(crate) client_msg_id: Option<u64>,
    pub(crate) seq: Option<u64>,
    pub(crate) tick: Tick,
}

/// A line whose tick has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Changed {
    pub(crate) number: u64,
    pub(crate) seq: Option<u64>,
    pub(crate) tick: Tick,
}

#[derive(Debug, Default)]
pub(crate) struct Transcript {
    lines: VecDeque<Line>,
    lines_begun: u64,
    /// Of the first line written here; ids only grow.
    first_id: Option<u64>,
    delivered_up_to: u64,
    read_up_to: u64,
    shown_up_to: u64,
}

impl Transcript {
    /// A line of mine on its way; gives its number.
    pub(crate) fn wrote(&mut self, client_msg_id: u64) -> u64 {
        self.first_id.get_or_insert(client_msg_id);
        self.add(Some(client_msg_id), None, Tick::Waiting)
    }

    /// A line of mine that is known to be sent, from history or another device.
    pub(crate) fn found(&mut self, seq: u64) -> Changed {
        let tick = self.tick_of(seq);
        let number = self.add(None, Some(seq), tick);
        Changed {
            number,
            seq: Some(seq),
            tick,
        }
    }

    /// The line is durable. `None` when it was not written here.
    pub(crate) fn sent(&mut self, client_msg_id: u64, seq: u64) -> Option<Changed> {
        let tick = self.tick_of(seq);
        let line = self.line(client_msg_id)?;
        line.seq = Some(seq);
        change(line, tick)
    }

    pub(crate) fn failed(&mut self, client_msg_id: u64) -> Option<Changed> {
        change(self.line(client_msg_id)?, Tick::Failed)
    }

    /// The other side has everything up to `up_to`.
    pub(crate) fn delivered(&mut self, up_to: u64) -> Vec<Changed> {
        self.delivered_up_to = self.delivered_up_to.max(up_to);
        self.refresh()
    }

    pub(crate) fn read(&mut self, up_to: u64) -> Vec<Changed> {
        self.read_up_to = self.read_up_to.max(up_to);
        self.refresh()
    }

    /// Whether the message of this place in the conversation was not shown before; from now on it was.
    pub(crate) fn is_new(&mut self, seq: u64) -> bool {
        let is_new = seq > self.shown_up_to;
        self.shown_up_to = self.shown_up_to.max(seq);
        is_new
    }

    /// Whether it came by, on the screen or as a line that was there already.
    pub(crate) fn was_shown(&self, seq: u64) -> bool {
        seq <= self.shown_up_to
    }

    /// Whether a message that this device has sent was typed in this run, however long ago.
    pub(crate) fn is_of_this_run(&self, client_msg_id: u64) -> bool {
        self.first_id.is_some_and(|first| client_msg_id >= first)
    }

    /// What is shown from now on may be shown before.
    pub(crate) fn forget_shown(&mut self) {
        self.shown_up_to = 0;
    }

    /// Whether this is a line of mine that was typed here.
    pub(crate) fn wrote_here(&self, client_msg_id: u64) -> bool {
        self.lines
            .iter()
            .any(|line| line.client_msg_id == Some(client_msg_id))
    }

    /// Lines that are neither durable nor refused.
    pub(crate) fn waiting(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| line.tick == Tick::Waiting)
            .count()
    }

    fn add(&mut self, client_msg_id: Option<u64>, seq: Option<u64>, tick: Tick) -> u64 {
        let number = self.lines_begun;
        self.lines_begun += 1;
        self.lines.push_back(Line {
            number,
            client_msg_id,
            seq,
            tick,
        });
        while self.lines.len() > LINES_MAX && self.lines[0].tick != Tick::Waiting {
            self.lines.pop_front();
        }
        number
    }

    fn line(&mut self, client_msg_id: u64) -> Option<&mut Line> {
        self.lines
            .iter_mut()
            .find(|line| line.client_msg_id == Some(client_msg_id))
    }

    fn refresh(&mut self) -> Vec<Changed> {
        let (delivered, read) = (self.delivered_up_to, self.read_up_to);
        let known = self
            .lines
            .iter_mut()
            .filter_map(|line| line.seq.map(|seq| (line, seq)));
        known
            .filter_map(|(line, seq)| change(line, tick(seq, delivered, read)))
            .collect()
    }

    fn tick_of(&self, seq: u64) -> Tick {
        tick(seq, self.delivered_up_to, self.read_up_to)
    }
}

fn tick(seq: u64, delivered_up_to: u64, read_up_to: u64) -> Tick {
    if seq <= read_up_to {
        Tick::Read
    } else if seq <= delivered_up_to {
        Tick::Delivered
    } else {
        Tick::Sent
    }
}

fn change(line: &mut Line, tick: Tick) -> Option<Changed> {
    if tick <= line.tick {
        return None;
    }
    line.tick = tick;
    Some(Changed {
        number: line.number,
        seq: line.seq,
        tick,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_waiting_to_read() {
        let mut transcript = Transcript::default();
        let number = transcript.wrote(50);
        assert_eq!(transcript.waiting(), 1);
        let sent = transcript.sent(50, 3).unwrap();
        assert_eq!(
            (sent.number, sent.seq, sent.tick),
            (number, Some(3), Tick::Sent)
        );
        assert_eq!(transcript.waiting(), 0);
        assert_eq!(
            transcript.sent(50, 3),
            None,
            "a repeated ack changes nothing"
        );
        assert_eq!(transcript.delivered(2), []);
        assert_eq!(transcript.delivered(3)[0].tick, Tick::Delivered);
        assert_eq!(transcript.read(9)[0].tick, Tick::Read);
        assert_eq!(transcript.delivered(9), [], "it never goes back");
    }

    #[test]
    fn a_mark_may_come_before_the_ack() {
        let mut transcript = Transcript::default();
        transcript.wrote(1);
        assert_eq!(transcript.read(1), []);
        assert_eq!(transcript.sent(1, 1).unwrap().tick, Tick::Read);
        assert_eq!(transcript.found(1).tick, Tick::Read);
        assert_eq!(transcript.found(2).tick, Tick::Sent);
    }

    #[test]
    fn marks_are_cumulative() {
        let mut transcript = Transcript::default();
        for id in 1..=3 {
            transcript.wrote(id);
            transcript.sent(id, id);
        }
        assert_eq!(transcript.delivered(2).len(), 2);
        assert_eq!(transcript.delivered(3).len(), 1);
    }

    #[test]
    fn a_refused_line_is_not_waited_for() {
        let mut transcript = Transcript::default();
        transcript.wrote(1);
        assert_eq!(transcript.failed(1).unwrap().tick, Tick::Failed);
        assert_eq!(transcript.failed(2), None);
        assert_eq!(transcript.waiting(), 0);
    }

    #[test]
    fn each_message_is_new_once() {
        let mut transcript = Transcript::default();
        assert!(transcript.is_new(4));
        assert!(!transcript.is_new(4) && !transcript.is_new(1));
        assert!(!transcript.was_shown(5));
        assert!(transcript.is_new(5) && transcript.was_shown(5));
    }

    #[test]
    fn a_line_of_this_run_is_known_after_it_was_let_go() {
        let mut transcript = Transcript::default();
        assert!(!transcript.is_of_this_run(7));
        for id in 7..9 + LINES_MAX as u64 {
            transcript.wrote(id);
            transcript.sent(id, id);
        }
        assert!(!transcript.wrote_here(7) && transcript.is_of_this_run(7));
        assert!(!transcript.is_of_this_run(6), "of an earlier run");
    }

    #[test]
    fn old_lines_are_let_go_but_never_waiting_ones() {
        let mut transcript = Transcript::default();
        transcript.wrote(1);
        for seq in 1..=2 * LINES_MAX as u64 {
            transcript.found(seq);
        }
        assert_eq!(transcript.waiting(), 1);
        transcript.sent(1, 5000);
        transcript.found(5001);
        assert_eq!(transcript.lines.len(), LINES_MAX);
    }
}
