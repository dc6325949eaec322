//! What the double does with each operation: the part of the kernel. Operations start in the order they were queued; what
//! cannot end at once is armed and looked at again in every turn. Called by the double's turns.

use std::time::Duration;

use super::armed::{Armed, Awaits};
use super::arrivals::Lane;
use super::descriptor::{self, Seen};
use super::net::{SocketId, concerns};
use super::stream::{ERR, HUP, IN, RDHUP, Taken, Wakes};
use super::{Double, Violation, slot_at};
use crate::op::{Completion, Events, Extra, Op, Slot, Token};

/// Reads a multishot makes before others have their turn, as the kernel.
const READS_MAX: usize = 32;
/// What a poll reports without being asked.
const ALWAYS: u32 = ERR | HUP | RDHUP;
const LATE_MICROS_MAX: usize = 50;

/// Whether an armed operation waits on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Waits,
    Ended,
}

impl Double {
    pub(super) fn submit(&mut self) {
        while let Some((token, op)) = self.queue.pop_front() {
            self.counters.sqes += 1;
            self.start(token, op);
        }
    }

    /// Looks at everything that waits, and lets in what has come.
    pub(super) fn collect(&mut self) {
        let mail = self.net.world().take_mail(self.ring);
        for (token, result) in mail {
            self.finish(Lane::Mail, token, result);
        }
        let spare = std::mem::take(&mut self.armed_spare);
        let mut waiting = std::mem::replace(&mut self.armed, spare);
        for armed in waiting.drain(..) {
            self.look(armed);
        }
        self.armed_spare = waiting;
        let shuffles = self.random.chance(self.faults.reorder);
        let now = self.net.now();
        self.arrivals
            .let_in(now, shuffles.then_some(&mut self.random));
    }

    fn start(&mut self, token: Token, op: Op) {
        match op {
            Op::Accept { listener: slot } => self.start_accept(token, slot),
            Op::Poll {
                slot,
                events,
                multishot,
            } => self.start_poll(token, slot, events, multishot),
            Op::Recv { slot } => self.start_recv(token, slot),
            Op::RecvMulti { slot } => self.start_recv_multi(token, slot),
            Op::Send { slot, bytes, from } => self.start_send(token, slot, bytes, from),
            Op::Close { slot } => self.start_close(token, slot),
            Op::Cancel { target, .. } => self.start_cancel(token, target),
            Op::Timeout { after } => self.start_timeout(token, after),
            Op::Message {
                ring,
                token: theirs,
                result,
            } => {
                theirs.checked();
                let posted = self.net.world().post(ring.0, theirs, result);
                self.finish(Lane::Alone(token), token, posted);
            }
            Op::PollFd { fd, events } => {
                assert_eq!(
                    events,
                    Events::IN,
                    "the double watches descriptors for reading"
                );
                self.arm(token, Awaits::Descriptor { fd });
            }
        }
    }

    fn start_accept(&mut self, token: Token, slot: Slot) {
        let Some(listener) = self.found(token, slot) else {
            return;
        };
        if self.net.world().listener(listener).is_none() {
            return self.finish(Lane::Socket(listener), token, -libc::EINVAL);
        }
        self.arm(token, Awaits::Connection { listener });
    }

    fn start_poll(&mut self, token: Token, slot: Slot, events: Events, multishot: bool) {
        let Some(socket) = self.found(token, slot) else {
            return;
        };
        if self.random.chance(self.faults.errno) {
            return self.finish(Lane::Socket(socket), token, -libc::ENOMEM);
        }
        self.arm(
            token,
            Awaits::Readiness {
                socket,
                events: events.0,
                multishot,
                seen: None,
            },
        );
    }

    fn start_recv(&mut self, token: Token, slot: Slot) {
        let Some(socket) = self.found(token, slot) else {
            return;
        };
        match self.read(socket) {
            Ok(taken) => {
                let (result, extra) = self.filled(&taken.bytes);
                self.finish_recv(socket, token, result, (false, taken.nonempty), extra);
            }
            Err(errno) => self.finish(Lane::Socket(socket), token, -errno),
        }
    }

    fn start_recv_multi(&mut self, token: Token, slot: Slot) {
        let Some(socket) = self.found(token, slot) else {
            return;
        };
        self.arm(token, Awaits::Bytes { socket, seen: None });
    }

    fn start_send(&mut self, token: Token, slot: Slot, bytes: Vec<u8>, from: usize) {
        assert!(from <= bytes.len(), "a send begins inside its bytes");
        let (lane, result) = match self.socket(slot) {
            None => (Lane::Alone(token), self.closed(token, slot)),
            Some(socket) => {
                if !self.sending.insert(socket) {
                    self.violations.push(Violation::TwoSends { slot, token });
                }
                (Lane::Socket(socket), self.sent(socket, &bytes[from..]))
            }
        };
        let extra = Extra::Sent(bytes);
        self.complete(
            lane,
            Completion {
                token,
                result,
                more: false,
                nonempty: false,
                extra,
            },
        );
    }

    fn sent(&mut self, socket: SocketId, bytes: &[u8]) -> i32 {
        let (fails, short) = (self.faults.errno, self.faults.short_send);
        let mut world = self.net.world();
        let Some(stream) = world.stream(socket) else {
            return -libc::EPIPE;
        };
        if self.random.chance(fails) {
            stream.break_down();
            return -libc::ECONNRESET;
        }
        let most = bytes.len().min(stream.room_to_peer());
        let cut = most > 1 && self.random.chance(short);
        let count = if cut {
            1 + self.random.below(most - 1)
        } else {
            bytes.len()
        };
        stream
            .send(&bytes[..count])
            .map_or_else(|errno| -errno, count_of)
    }

    fn start_close(&mut self, token: Token, slot: Slot) {
        let Some(socket) = self.found(token, slot) else {
            return;
        };
        self.slots[slot.0 as usize] = None;
        let armed = self
            .armed
            .iter()
            .filter(|armed| armed.socket() == Some(socket));
        let lingering = armed.map(|armed| Violation::Lingering {
            slot,
            token: armed.token,
        });
        self.violations.extend(lingering);
        self.net.world().let_go(socket);
        self.finish(Lane::Socket(socket), token, 0);
    }

    fn start_cancel(&mut self, token: Token, target: Token) {
        target.checked();
        let place = self.armed.iter().position(|armed| armed.token == target);
        let result = match place {
            None => -libc::ENOENT,
            Some(_) if self.random.chance(self.faults.errno) => -libc::EALREADY,
            Some(_) => 0,
        };
        self.finish(Lane::Alone(token), token, result);
        if let Some(place) = place {
            let armed = self.armed.remove(place);
            self.finish(armed.lane(), target, -libc::ECANCELED);
            self.disarmed(&armed);
        }
    }

    fn start_timeout(&mut self, token: Token, after: Duration) {
        if self.random.chance(self.faults.errno) {
            return self.finish(Lane::Alone(token), token, -libc::ENOMEM);
        }
        let due = self.net.now() + after;
        self.arm(token, Awaits::Time { due });
    }

    /// The socket of a slot; else the operation has ended as the kernel would end it.
    fn found(&mut self, token: Token, slot: Slot) -> Option<SocketId> {
        let socket = self.socket(slot);
        if socket.is_none() {
            let result = self.closed(token, slot);
            self.finish(Lane::Alone(token), token, result);
        }
        socket
    }

    fn closed(&mut self, token: Token, slot: Slot) -> i32 {
        self.violations.push(Violation::ClosedSlot { slot, token });
        -libc::EBADF
    }

    /// An armed operation holds its socket, as in the kernel: a close is seen by the peer once all have ended.
    fn arm(&mut self, token: Token, awaits: Awaits) {
        let armed = Armed { token, awaits };
        if let Some(socket) = armed.socket() {
            self.net.world().hold(socket);
        }
        self.look(armed);
    }

    fn disarmed(&mut self, armed: &Armed) {
        if let Some(socket) = armed.socket() {
            self.net.world().let_go(socket);
        }
    }

    fn look(&mut self, mut armed: Armed) {
        let token = armed.token;
        let next = match &mut armed.awaits {
            Awaits::Connection { listener } => self.look_for_connection(token, *listener),
            Awaits::Readiness { .. } => self.look_for_readiness(&mut armed),
            Awaits::Bytes { socket, seen } => self.look_for_bytes(token, *socket, seen),
            Awaits::Descriptor { fd } => self.look_for_ring(token, *fd),
            Awaits::Time { due } => self.look_at_clock(token, *due),
        };
        match next {
            Next::Waits => self.armed.push(armed),
            Next::Ended => self.disarmed(&armed),
        }
    }

    fn look_for_connection(&mut self, token: Token, listener: SocketId) -> Next {
        let fails = self.faults.errno;
        let mut world = self.net.world();
        let backlog = &mut world
            .listener(listener)
            .expect("looked at when armed")
            .backlog;
        if backlog.is_empty() {
            return Next::Waits;
        }
        if self.random.chance(fails) {
            drop(world);
            self.finish(Lane::Socket(listener), token, -libc::ENOMEM);
            return Next::Ended;
        }
        let id = backlog.pop_front().expect("not empty");
        if self.random.chance(fails) {
            world.refuse(id);
            drop(world);
            self.finish(Lane::Socket(listener), token, -libc::ECONNABORTED);
            return Next::Ended;
        }
        drop(world);
        self.accept(token, listener, id);
        Next::Ended
    }

    fn accept(&mut self, token: Token, listener: SocketId, id: SocketId) {
        let Some(index) = self.free_slot() else {
            self.counters.no_slots += 1;
            self.net.world().let_go(id);
            return self.finish(Lane::Socket(listener), token, -libc::ENFILE);
        };
        self.slots[index] = Some(id);
        let peer = self
            .net
            .world()
            .stream(id)
            .expect("connections are streams")
            .peer_address;
        let result = i32::try_from(slot_at(index).0).expect("a table has fewer slots than 2^31");
        let extra = Extra::Peer(peer);
        let completion = Completion {
            token,
            result,
            more: false,
            nonempty: false,
            extra,
        };
        self.complete(Lane::Socket(listener), completion);
    }

    fn look_for_readiness(&mut self, armed: &mut Armed) -> Next {
        let Awaits::Readiness {
            socket,
            events,
            multishot,
            seen,
        } = &mut armed.awaits
        else {
            unreachable!("called for polls");
        };
        let (mask, wakes) = self.net.world().readiness(*socket);
        let woken = seen.is_none_or(|seen| concerns(*events, seen, wakes));
        let ready = mask & (*events | ALWAYS);
        *seen = Some(wakes);
        if !woken || ready == 0 {
            return Next::Waits;
        }
        let more = *multishot && !self.random.chance(self.faults.cut_multishot);
        let result = i32::try_from(ready).expect("poll events are small");
        let (token, extra) = (armed.token, Extra::None);
        let completion = Completion {
            token,
            result,
            more,
            nonempty: false,
            extra,
        };
        self.complete(Lane::Socket(*socket), completion);
        if more { Next::Waits } else { Next::Ended }
    }

    /// Reads on while the last read says that there is more; a buffer is chosen before each, as in the kernel.
    fn look_for_bytes(&mut self, token: Token, socket: SocketId, seen: &mut Option<Wakes>) -> Next {
        let (_, wakes) = self.net.world().readiness(socket);
        if seen
            .replace(wakes)
            .is_some_and(|seen| seen.reading == wakes.reading)
        {
            return Next::Waits;
        }
        for _ in 0..READS_MAX {
            let taken = match self.read(socket) {
                Ok(taken) => taken,
                Err(libc::EAGAIN) => return Next::Waits,
                Err(errno) => {
                    self.finish(Lane::Socket(socket), token, -errno);
                    return Next::Ended;
                }
            };
            let goes_on = !taken.bytes.is_empty();
            let more = goes_on && !self.random.chance(self.faults.cut_multishot);
            let (result, extra) = self.filled(&taken.bytes);
            self.finish_recv(socket, token, result, (more, taken.nonempty), extra);
            if !more {
                return Next::Ended;
            }
            // Waiting begins with a look at the level: an end behind the bytes is seen at once.
            if self.net.world().readiness(socket).0 & IN == 0 {
                return Next::Waits;
            }
        }
        // The next turn goes on where this one stopped.
        *seen = None;
        Next::Waits
    }

    fn look_for_ring(&mut self, token: Token, fd: i32) -> Next {
        let lane = Lane::Descriptor(fd);
        match descriptor::look(fd) {
            Seen::Nothing => Next::Waits,
            Seen::Invalid => {
                self.finish(lane, token, -libc::EBADF);
                Next::Ended
            }
            Seen::Rung => {
                let more = !self.random.chance(self.faults.cut_multishot);
                let (result, extra) = (i32::from(libc::POLLIN), Extra::None);
                let completion = Completion {
                    token,
                    result,
                    more,
                    nonempty: false,
                    extra,
                };
                self.complete(lane, completion);
                if more { Next::Waits } else { Next::Ended }
            }
        }
    }

    fn look_at_clock(&mut self, token: Token, due: Duration) -> Next {
        if self.net.now() < due {
            return Next::Waits;
        }
        self.finish(Lane::Alone(token), token, -libc::ETIME);
        Next::Ended
    }

    /// One read of at most a buffer, or the errno.
    fn read(&mut self, socket: SocketId) -> Result<Taken, i32> {
        if self.pool.free() == 0 || self.random.chance(self.faults.no_buffers) {
            self.counters.no_buffers += 1;
            return Err(libc::ENOBUFS);
        }
        let (fails, short) = (self.faults.errno, self.faults.short_recv);
        let mut world = self.net.world();
        let stream = world.stream(socket).ok_or(libc::ENOTCONN)?;
        let most = self.pool.buffer_bytes().min(stream.bytes_waiting());
        if most > 0 && self.random.chance(fails) {
            stream.break_down();
            return Err(libc::ECONNRESET);
        }
        let cut = most > 1 && self.random.chance(short);
        stream.recv(if cut {
            1 + self.random.below(most - 1)
        } else {
            most
        })
    }

    fn filled(&mut self, bytes: &[u8]) -> (i32, Extra) {
        if bytes.is_empty() {
            return (0, Extra::None);
        }
        (count_of(bytes.len()), Extra::Buffer(self.pool.fill(bytes)))
    }

    fn finish_recv(
        &mut self,
        socket: SocketId,
        token: Token,
        result: i32,
        (more, nonempty): (bool, bool),
        extra: Extra,
    ) {
        let completion = Completion {
            token,
            result,
            more,
            nonempty,
            extra,
        };
        self.complete(Lane::Socket(socket), completion);
    }

    fn finish(&mut self, lane: Lane, token: Token, result: i32) {
        let extra = Extra::None;
        self.complete(
            lane,
            Completion {
                token,
                result,
                more: false,
                nonempty: false,
                extra,
            },
        );
    }

    fn complete(&mut self, lane: Lane, completion: Completion) {
        let late = self.random.chance(self.faults.late);
        let micros = if late {
            1 + self.random.below(LATE_MICROS_MAX)
        } else {
            0
        };
        let due = self.net.now() + Duration::from_micros(micros as u64);
        self.arrivals.add(lane, due, completion);
    }
}

/// As the kernel counts: no call moves more than 2 GiB.
fn count_of(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
