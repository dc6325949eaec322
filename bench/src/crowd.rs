//! Very many clients on one thread, nearly all of them still: an idle one is a slot in a ring's table, a one-shot poll, and
//! a few bytes here. It connects, proves who it is, and from then on says no more than its heartbeat, unless told.
//!
//! What the clients say and understand is a [`Protocol`]; this knows sockets, time and counts. Open model: every connect,
//! heartbeat and message has an intended time, and its latency is measured from there.

mod arrivals;
mod member;
mod tokens;
mod wheel;

use arrivals::Arrivals;
pub(crate) use arrivals::{Ramp, source, sources};

use crate::clock::{Clock, nanoseconds};
use crate::latency::Latency;
use crate::protocol::{Heard, Protocol};
use anyhow::{Context, bail};
use member::{Member, State};
use millpond_ring::{
    BufferPlan, Completion, Events, Extra, Full, Op, Plan, Ring, Rings, Setup, Token, Wait,
};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tokens::{Kind, parts, token};
use wheel::Wheel;

/// What sockets do that only connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mute {
    /// Nothing.
    Deaf,
    /// Wait for what the server says.
    Listening,
}

/// What has happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) begun: u64,
    pub(crate) established: u64,
    /// Established connections that ended although nobody here ended them.
    pub(crate) dropped: u64,
    /// Established connections that were ended here, to be made anew.
    pub(crate) left: u64,
    /// Connections that ended before they were established; each is tried again.
    pub(crate) turned_away: u64,
    pub(crate) heartbeats: u64,
    pub(crate) heartbeats_answered: u64,
    /// Heartbeats that had no answer when the next one was due.
    pub(crate) heartbeats_missed: u64,
}

pub(crate) struct Crowd<P> {
    rings: Rings,
    pub(crate) protocol: P,
    clock: Clock,
    target: SocketAddr,
    members: Vec<Member>,
    wheel: Wheel,
    /// Fronts of messages that have not arrived whole.
    partials: HashMap<u32, Vec<u8>>,
    /// Bytes that a full socket did not take.
    unsent: HashMap<u32, Vec<u8>>,
    deferred: VecDeque<(Token, Op)>,
    spare: Vec<Vec<u8>>,
    heard: Vec<Heard>,
    /// What acks, deliveries and refusals meant, for whoever counts messages.
    messages: Vec<Heard>,
    numbers: u64,
    arrivals: Arrivals,
    counts: Counts,
    pub(crate) connects: Latency,
    pub(crate) heartbeats: Latency,
    /// When clients do not speak at all.
    mute: Option<Mute>,
    random: crate::schedule::Random,
}

const SLOTS_PER_RING_MAX: u32 = 19_000;
/// Of every ring: as many as connections may be under way, or receives that find none are made again and again. A longer
/// message takes several.
const BUFFERS: BufferPlan = BufferPlan {
    count: 256,
    bytes: 512,
};
/// A message that has not arrived whole.
const PARTIAL_BYTES_MAX: usize = 512 * 1024;
const SPARES_MAX: usize = 4_096;
/// How long a client that was turned away waits.
const AGAIN_AFTER_NS: u64 = 200_000_000;
const SEED: u64 = 0x636f_7264;

/// How many rings so many sockets need here, with their sizes.
pub(crate) fn plan(connections: u32) -> Plan {
    let slots = connections.clamp(1, SLOTS_PER_RING_MAX);
    let rings = connections.div_ceil(slots).max(1);
    let setup = Setup {
        entries: 1_024,
        completions: 8_192,
        slots,
        buffers: BUFFERS,
    };
    Plan {
        further_buffers_max: BUFFERS.count,
        ..Plan::new(setup, u16::try_from(rings).unwrap_or(u16::MAX))
    }
}

impl<P: Protocol> Crowd<P> {
    /// Clients that will connect to `target`; nobody does yet.
    pub(crate) fn new(
        connections: u32,
        target: SocketAddr,
        clock: Clock,
        protocol: P,
    ) -> anyhow::Result<Self> {
        let plan = plan(connections);
        crate::files::allow_sockets(plan.first.slots)?;
        Ok(Self {
            rings: Rings::open(plan).context("opening the generator's rings")?,
            protocol,
            clock,
            target,
            members: Vec::new(),
            wheel: Wheel::default(),
            partials: HashMap::new(),
            unsent: HashMap::new(),
            deferred: VecDeque::new(),
            spare: Vec::new(),
            heard: Vec::new(),
            messages: Vec::new(),
            numbers: 0,
            arrivals: Arrivals::default(),
            counts: Counts::default(),
            connects: Latency::default(),
            heartbeats: Latency::default(),
            mute: None,
            random: crate::schedule::Random::new(SEED),
        })
    }

    /// The same, of sockets that connect and say nothing.
    pub(crate) fn mute(mut self, mute: Mute) -> Self {
        self.mute = Some(mute);
        self
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Established and not gone.
    pub(crate) fn standing(&self) -> u64 {
        self.counts.established - self.counts.dropped - self.counts.left
    }

    /// Lets clients up to the `until`-th connect, from now on.
    pub(crate) fn arrive(&mut self, until: u32, ramp: Ramp) {
        let now_ns = self.clock.now_ns();
        self.arrivals.begin(until as usize, ramp, now_ns);
    }

    /// Whether everybody who was let in stands.
    pub(crate) fn has_arrived(&self) -> bool {
        let arrivals = &self.arrivals;
        arrivals.next == arrivals.until && arrivals.under_way == 0 && arrivals.again.is_empty()
    }

    /// Ends all connections at once, as if every client had lost its network, and forgets who stood.
    pub(crate) fn scatter(self) -> P {
        self.protocol
    }

    /// Whether this client may speak now.
    pub(crate) fn stands(&self, at: usize) -> bool {
        self.members
            .get(at)
            .is_some_and(|member| member.state == State::Established)
    }

    /// What acks, deliveries and refusals have come since it was last asked.
    pub(crate) fn take_messages(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.messages)
    }

    /// A number that no message of this crowd had before.
    pub(crate) fn number_message(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers - 1
    }

    /// Operations that the rings have not taken yet, and clients whose sockets are full.
    pub(crate) fn backlog(&self) -> usize {
        self.deferred.len() + self.unsent.len()
    }

    /// Whether a client's socket is full.
    pub(crate) fn blocks(&self, at: usize) -> bool {
        self.unsent.contains_key(&index(at))
    }

    /// Clients who have ever begun.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Ends the connection of a client that stands, who should have come back at `intended_ns`. What waits on the socket
    /// would keep it open: it is closed when that has ended.
    pub(crate) fn leave(&mut self, at: usize, intended_ns: u64) {
        let member = &mut self.members[at];
        let (slot, life, at) = (member.slot(), member.life, index(at));
        member.leave(intended_ns);
        self.counts.left += 1;
        let cancel = Op::Cancel {
            target: token(Kind::Readable, life, at),
            slot: Some(slot),
        };
        self.deferred
            .push_back((token(Kind::Cancel, life, at), cancel));
    }

    /// Nothing waits any more on the socket of a client that leaves.
    fn left(&mut self, at: u32) {
        self.close(at);
        let now_ns = self.clock.now_ns();
        self.arrivals.again.push_back((now_ns, at));
    }

    fn close(&mut self, at: u32) {
        let member = &mut self.members[at as usize];
        let (slot, life) = (member.slot(), member.life);
        member.end();
        self.partials.remove(&at);
        self.unsent.remove(&at);
        self.deferred
            .push_back((token(Kind::Close, life, at), Op::Close { slot }));
    }

    /// Sends what `put` appends, as this client.
    pub(crate) fn say(&mut self, at: usize, put: impl FnOnce(&mut P, &mut Vec<u8>)) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        put(&mut self.protocol, &mut bytes);
        self.send(index(at), bytes);
    }

    /// Connects who is due, sends the heartbeats that are, waits at most for `wait`, and hears what has come.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.connect_due()?;
        self.beat();
        let busy = self.push();
        let wait = if busy { Wait::Not } else { Wait::Until(wait) };
        self.rings.turn(wait).context("the generator's rings")?;
        while let Some(completion) = self.rings.pop() {
            self.complete(completion)?;
        }
        Ok(())
    }

    /// Whether the rings took not everything.
    fn push(&mut self) -> bool {
        while let Some((token, op)) = self.deferred.pop_front() {
            if let Err(Full(op)) = self.rings.push(token, op) {
                self.deferred.push_front((token, op));
                return true;
            }
        }
        false
    }

    fn connect_due(&mut self) -> anyhow::Result<()> {
        let now_ns = self.clock.now_ns();
        while self.arrivals.under_way < self.arrivals.ramp.under_way_max {
            let Some((at, intended_ns)) = self.next_due(now_ns) else {
                return Ok(());
            };
            self.connect(at, intended_ns)?;
        }
        Ok(())
    }

    fn next_due(&mut self, now_ns: u64) -> Option<(usize, u64)> {
        let arrivals = &mut self.arrivals;
        let first = arrivals.again.front().copied();
        if let Some((_, at)) = first.filter(|(after_ns, _)| *after_ns <= now_ns) {
            arrivals.again.pop_front();
            let at = at as usize;
            return Some((at, self.members[at].begun_ns(now_ns)));
        }
        if arrivals.next == arrivals.until {
            return None;
        }
        let intended_ns = arrivals.intended_ns();
        (intended_ns <= now_ns).then(|| {
            arrivals.next += 1;
            (arrivals.next - 1, intended_ns)
        })
    }

    fn connect(&mut self, at: usize, intended_ns: u64) -> anyhow::Result<()> {
        let socket = millpond_ring::connect(self.target, source(self.target, at))
            .and_then(|socket| millpond_ring::abort_on_close(&socket).map(|()| socket))
            .with_context(|| format!("connecting client {at} to {}", self.target))?;
        let slot = self.rings.adopt(socket);
        let slot = slot.with_context(|| match self.rings.refused() {
            Some(refused) => format!("the limit is your client: {refused}"),
            None => "the limit is your client: its tables of sockets are full".to_owned(),
        })?;
        self.counts.begun += 1;
        if at == self.members.len() {
            self.members.push(Member::default());
        }
        self.members[at].begin(slot, intended_ns);
        if let Some(mute) = self.mute {
            self.members[at].state = State::Established;
            self.established(at);
            if mute == Mute::Listening {
                self.wait_readable(index(at));
            }
            return Ok(());
        }
        self.arrivals.under_way += 1;
        let mut bytes = self.spare.pop().unwrap_or_default();
        self.protocol.greet(at, &mut bytes)?;
        self.send(index(at), bytes);
        self.wait_readable(index(at));
        Ok(())
    }

    fn established(&mut self, at: usize) {
        self.counts.established += 1;
        let now_ns = self.clock.now_ns();
        self.connects
            .record(now_ns - self.members[at].begun_ns(now_ns));
    }

    /// Heartbeats whose time has come.
    fn beat(&mut self) {
        let now_ns = self.clock.now_ns();
        while let Some((at, due_ns)) = self.wheel.due(now_ns) {
            let member = &mut self.members[at as usize];
            if member.state != State::Established {
                member.beats = false;
                continue;
            }
            let missed = u64::from(member.awaits_answer());
            self.counts.heartbeats_missed += missed;
            self.heartbeats.lose(missed);
            let next_ns = member.beat(due_ns);
            self.counts.heartbeats += 1;
            self.wheel.set(at, next_ns);
            self.say(at as usize, |protocol, out| {
                protocol.heartbeat(at as usize, out);
            });
        }
    }

    fn complete(&mut self, completion: Completion) -> anyhow::Result<()> {
        let (kind, life, at) = parts(completion.token);
        let member = &self.members[at as usize];
        let current = member.life == life;
        if current && member.state == State::Leaving && matches!(kind, Kind::Readable | Kind::Recv)
        {
            if let Extra::Buffer(id) = completion.extra {
                self.rings.give_back(id);
            }
            self.left(at);
            return Ok(());
        }
        match (kind, completion.extra) {
            (Kind::Send, Extra::Sent(bytes)) => self.sent(at, current, bytes, completion.result),
            (Kind::Recv, Extra::Buffer(id)) => {
                let bytes = self.rings.buffer(id).to_vec();
                self.rings.give_back(id);
                if current {
                    self.bytes(at, &bytes)?;
                    self.read_on(at, completion.nonempty);
                }
            }
            _ if !current => {}
            (Kind::Recv, _) => self.recv_failed(at, completion.result),
            (Kind::Readable, _) if completion.result < 0 => self.gone(at),
            (Kind::Readable, _) => self.recv(at),
            (Kind::Writable, _) => self.writable(at, completion.result),
            (Kind::Send | Kind::Close | Kind::Cancel, _) => {}
        }
        Ok(())
    }

    fn read_on(&mut self, at: u32, nonempty: bool) {
        let member = &self.members[at as usize];
        if member.is_gone() {
            return;
        }
        if nonempty {
            self.recv(at);
        } else {
            self.wait_readable(at);
        }
    }

    fn recv_failed(&mut self, at: u32, result: i32) {
        match -result {
            libc::EAGAIN | libc::EINTR => self.wait_readable(at),
            libc::ENOBUFS => self.recv(at),
            // The end, or an error of the socket.
            _ => self.gone(at),
        }
    }

    fn bytes(&mut self, at: u32, bytes: &[u8]) -> anyhow::Result<()> {
        let mut joined = Vec::new();
        let bytes = match self.partials.remove(&at) {
            Some(front) => {
                joined = front;
                joined.extend_from_slice(bytes);
                &joined[..]
            }
            None => bytes,
        };
        let mut out = self.spare.pop().unwrap_or_default();
        let mut heard = std::mem::take(&mut self.heard);
        let taken = self
            .protocol
            .received(at as usize, bytes, &mut out, &mut heard);
        let taken = taken.with_context(|| format!("client {at}"))?;
        let comes = self.members[at as usize].state == State::Coming;
        let refused = comes && heard.iter().any(|one| matches!(one, Heard::Refused { .. }));
        for one in heard.drain(..) {
            self.hear(at, one);
        }
        self.heard = heard;
        if refused {
            self.gone(at);
            return Ok(());
        }
        if out.is_empty() {
            self.spare.push(out);
        } else {
            self.send(at, out);
        }
        if taken < bytes.len() {
            if bytes.len() - taken > PARTIAL_BYTES_MAX {
                bail!(
                    "client {at} got {} bytes that are no whole message",
                    bytes.len()
                );
            }
            self.partials.insert(at, bytes[taken..].to_vec());
        }
        drop(joined);
        Ok(())
    }

    fn hear(&mut self, at: u32, heard: Heard) {
        match heard {
            Heard::Established { heartbeat } => {
                let now_ns = self.clock.now_ns();
                let every_ns = nanoseconds(heartbeat);
                // Heartbeats of those who came together do not come together.
                let first_ns = now_ns + 1 + self.random.word() % every_ns.max(1);
                let member = &mut self.members[at as usize];
                if member.state != State::Coming {
                    return;
                }
                member.establish(every_ns);
                let beats = std::mem::replace(&mut member.beats, true);
                self.arrivals.under_way -= 1;
                self.established(at as usize);
                // Whoever was there before is in the wheel still.
                if !beats {
                    self.wheel.set(at, first_ns);
                }
            }
            Heard::HeartbeatAnswered => {
                let now_ns = self.clock.now_ns();
                if let Some(intended_ns) = self.members[at as usize].answered(now_ns) {
                    self.counts.heartbeats_answered += 1;
                    self.heartbeats.record(now_ns - intended_ns);
                }
            }
            Heard::Acked { .. } | Heard::Delivered { .. } | Heard::Refused { .. } => {
                self.messages.push(heard);
            }
        }
    }

    fn send(&mut self, at: u32, bytes: Vec<u8>) {
        if let Some(unsent) = self.unsent.get_mut(&at) {
            unsent.extend_from_slice(&bytes);
            return;
        }
        let member = &self.members[at as usize];
        if member.is_gone() {
            return;
        }
        let op = Op::Send {
            slot: member.slot(),
            bytes,
            from: 0,
        };
        self.deferred
            .push_back((token(Kind::Send, member.life, at), op));
    }

    fn sent(&mut self, at: u32, current: bool, mut bytes: Vec<u8>, result: i32) {
        let taken = usize::try_from(result).unwrap_or(0);
        if current && (taken > 0 || result == -libc::EAGAIN) && taken < bytes.len() {
            bytes.drain(..taken);
            let unsent = self.unsent.entry(at).or_default();
            // What was said later is behind it.
            bytes.append(unsent);
            *unsent = bytes;
            self.wait_writable(at);
            return;
        }
        // An error of the socket shows when it is read.
        if self.spare.len() < SPARES_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    fn writable(&mut self, at: u32, result: i32) {
        let Some(bytes) = self.unsent.remove(&at) else {
            return;
        };
        if result >= 0 {
            self.send(at, bytes);
        }
    }

    fn recv(&mut self, at: u32) {
        let member = &self.members[at as usize];
        let op = Op::Recv {
            slot: member.slot(),
        };
        self.deferred
            .push_back((token(Kind::Recv, member.life, at), op));
    }

    fn wait_readable(&mut self, at: u32) {
        self.wait(at, Kind::Readable, Events::IN);
    }

    fn wait_writable(&mut self, at: u32) {
        self.wait(at, Kind::Writable, Events::OUT);
    }

    fn wait(&mut self, at: u32, kind: Kind, events: Events) {
        let member = &self.members[at as usize];
        let op = Op::Poll {
            slot: member.slot(),
            events,
            multishot: false,
        };
        self.deferred.push_back((token(kind, member.life, at), op));
    }

    /// The server, or the way to it, has ended this connection.
    fn gone(&mut self, at: u32) {
        let member = &self.members[at as usize];
        let stood = member.state == State::Established;
        if member.is_gone() {
            return;
        }
        self.close(at);
        self.protocol.lost(at as usize);
        if stood {
            self.counts.dropped += 1;
            return;
        }
        self.counts.turned_away += 1;
        self.arrivals.under_way -= 1;
        let after_ns = self.clock.now_ns() + AGAIN_AFTER_NS;
        self.arrivals.again.push_back((after_ns, at));
    }
}

fn index(at: usize) -> u32 {
    u32::try_from(at).expect("a crowd is counted in 32 bits")
}
