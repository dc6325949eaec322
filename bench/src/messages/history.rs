//! What clients saw, for the checker: who sent what, what was acked under which sequence, what arrived where.

/// Everything of one run, in the order in which the generator saw it.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Sent {
        at: u32,
        number: u64,
    },
    Acked {
        at: u32,
        number: u64,
        seq: u64,
    },
    Received {
        at: u32,
        from: u32,
        number: u64,
        cursor: u64,
        seq: u64,
    },
}

/// Events kept: with about 40 bytes each, a tenth of a small machine's memory.
const EVENTS_MAX: usize = 60_000_000;

impl History {
    pub(super) fn sent(&mut self, at: usize, number: u64) {
        self.events.push(Event::Sent {
            at: short(at),
            number,
        });
    }

    pub(super) fn acked(&mut self, at: usize, number: u64, seq: u64) {
        self.events.push(Event::Acked {
            at: short(at),
            number,
            seq,
        });
    }

    pub(super) fn received(&mut self, at: usize, cursor: u64, from: usize, number: u64, seq: u64) {
        self.events.push(Event::Received {
            at: short(at),
            from: short(from),
            number,
            cursor,
            seq,
        });
    }

    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn judge(&self) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX
    }
}

fn short(at: usize) -> u32 {
    u32::try_from(at).expect("connections are few")
}
