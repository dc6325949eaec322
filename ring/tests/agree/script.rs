//! Chooses the next step by chance and by what the double has said so far. Keeps within what both worlds define: one
//! armed operation per connection, and no more unread bytes than fit everywhere.

use crate::actor::{Outcome, Step, armed_token};

/// Unread bytes per direction; the kernel's smallest socket buffers take more.
const UNREAD_MAX: usize = 16 << 10;
const BYTES_MAX: usize = 2_000;
const CONNECTIONS_MAX: usize = 24;

pub(crate) struct Script {
    state: u64,
    connections: Vec<Connection>,
    accepting: bool,
    timing: bool,
}

#[derive(Default)]
struct Connection {
    /// No slot was free for it.
    refused: bool,
    armed: bool,
    /// Its slot is closed: using it again would hit whoever has it now.
    closed: bool,
    peer_finished: bool,
    peer_closed: bool,
    /// It has heard the end; the kernel tells a reset once.
    peer_ended: bool,
    unread_here: usize,
    unread_there: usize,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        let connections = Vec::new();
        Self {
            state: seed,
            connections,
            accepting: false,
            timing: false,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    pub(crate) fn next(&mut self) -> Step {
        loop {
            let step = self.any();
            if self.fits(&step) {
                return step;
            }
        }
    }

    fn any(&mut self) -> Step {
        let count = self.connections.len();
        if count == 0 {
            return Step::Connect;
        }
        let (connection, bytes) = (self.below(count), 1 + self.below(BYTES_MAX));
        match self.below(64) {
            0..=2 => Step::Connect,
            3 => Step::AcceptNobody,
            4 => Step::CancelAccept,
            5..=16 => Step::Recv(connection),
            17..=23 => Step::Send(connection, bytes),
            24..=28 => Step::ArmPoll(connection, bytes.is_multiple_of(2)),
            29..=30 => Step::PollOut(connection),
            31..=34 => Step::ArmRecv(connection),
            35..=37 => Step::Cancel(connection),
            38 => Step::Close(connection),
            39..=42 => Step::GiveBack,
            43 => Step::Timeout,
            44 => Step::CancelTimeout,
            45 => Step::Sleep,
            46..=56 => Step::PeerWrite(connection, bytes),
            57..=60 => Step::PeerRead(connection),
            61 => Step::PeerFinish(connection),
            62 => Step::PeerClose(connection),
            _ => Step::PeerReset(connection),
        }
    }

    fn fits(&self, step: &Step) -> bool {
        match *step {
            Step::Connect => !self.accepting && self.connections.len() < CONNECTIONS_MAX,
            Step::AcceptNobody => !self.accepting,
            Step::Timeout => !self.timing,
            Step::CancelAccept | Step::CancelTimeout | Step::GiveBack | Step::Sleep => true,
            Step::Recv(at) | Step::PollOut(at) | Step::Close(at) => self.usable(at),
            Step::Send(at, bytes) => {
                self.usable(at) && self.connections[at].unread_there + bytes <= UNREAD_MAX
            }
            Step::ArmPoll(at, _) | Step::ArmRecv(at) => {
                self.usable(at) && !self.connections[at].armed
            }
            Step::Cancel(at) => !self.connections[at].refused,
            Step::PeerWrite(at, bytes) => {
                let it = &self.connections[at];
                let unread = it.unread_here + bytes;
                !it.refused && !it.peer_finished && !it.peer_closed && unread <= UNREAD_MAX
            }
            Step::PeerRead(at) => {
                let it = &self.connections[at];
                !it.peer_closed && !it.peer_ended
            }
            Step::PeerFinish(at) | Step::PeerClose(at) | Step::PeerReset(at) => {
                !self.connections[at].peer_closed
            }
        }
    }

    fn usable(&self, at: usize) -> bool {
        !self.connections[at].refused && !self.connections[at].closed
    }

    pub(crate) fn note(&mut self, step: &Step, outcome: &Outcome) {
        match *step {
            Step::Connect => {
                let refused = outcome.said.iter().any(|said| said.result == -libc::ENFILE);
                self.connections.push(Connection {
                    refused,
                    ..Connection::default()
                });
            }
            Step::AcceptNobody => self.accepting = true,
            Step::CancelAccept => self.accepting = false,
            Step::Timeout => self.timing = true,
            Step::CancelTimeout => self.timing = false,
            Step::Send(at, bytes) => self.connections[at].unread_there += bytes,
            Step::ArmPoll(at, _) | Step::ArmRecv(at) => self.connections[at].armed = true,
            Step::Close(at) => self.connections[at].closed = true,
            Step::PeerWrite(at, bytes) => self.connections[at].unread_here += bytes,
            Step::PeerRead(at) => {
                self.connections[at].unread_there = 0;
                self.connections[at].peer_ended =
                    outcome.heard.as_ref().is_some_and(|it| it.end.is_some());
            }
            Step::PeerFinish(at) => self.connections[at].peer_finished = true,
            Step::PeerClose(at) | Step::PeerReset(at) => self.connections[at].peer_closed = true,
            Step::Recv(_) | Step::PollOut(_) | Step::Cancel(_) | Step::GiveBack | Step::Sleep => {}
        }
        self.note_said(outcome);
    }

    fn note_said(&mut self, outcome: &Outcome) {
        for said in &outcome.said {
            for (at, connection) in self.connections.iter_mut().enumerate() {
                let armed = armed_token(at);
                connection.armed &= said.token != armed || said.more;
                // Sends and polls are not reads; what they subtract too much only makes the script write sooner.
                if said.token == armed || said.token == armed + 1 {
                    connection.unread_here -= connection.unread_here.min(said.bytes.0.len());
                }
            }
        }
    }
}
