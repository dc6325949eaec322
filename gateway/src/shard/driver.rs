//! A shard on a ring: the loop of its thread, one turn at a time.

use super::{Arrival, Brought, Now, Shard};
use crate::counts::Counts;
use crate::tag::{Kind, Tag};
use crate::wheel::TICK;
use millpond_ring::{Completion, Events, Extra, Full, Op, Ring, Token, Wait};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

/// Where senders ring while the shard sleeps.
pub(crate) trait Sleep {
    /// What the ring watches; `None` where nobody rings from another thread.
    fn bell_fd(&self) -> Option<RawFd>;
    /// From now on senders ring.
    fn about_to_sleep(&self);
    fn awake(&self);
}

#[derive(Debug)]
pub(crate) struct Driver<R, S> {
    ring: R,
    sleep: S,
    shard: Shard,
    /// Operations that the ring did not take; they go first in the next turn.
    untaken: VecDeque<(Token, Op)>,
}

impl<R: Ring, S: Sleep> Driver<R, S> {
    pub(crate) fn new(ring: R, sleep: S, shard: Shard) -> Self {
        let mut driver = Self {
            ring,
            sleep,
            shard,
            untaken: VecDeque::new(),
        };
        driver.watch_bell();
        // The first accepts are queued before the first wait.
        driver.shard.end();
        driver
    }

    /// Waits for at most a tick, then does all there is to do.
    pub(crate) fn turn(&mut self, clock: impl FnOnce() -> Now) -> io::Result<()> {
        self.push();
        self.wait()?;
        self.shard.begin(clock());
        while let Some(completion) = self.ring.pop() {
            self.arrive(completion);
        }
        self.shard.end();
        Ok(())
    }

    pub(crate) fn is_done(&self) -> bool {
        self.shard.is_done()
    }

    pub(crate) fn counts(&mut self) -> &mut Counts {
        self.shard.counts()
    }

    pub(crate) fn ring(&self) -> &R {
        &self.ring
    }

    fn push(&mut self) {
        self.untaken.extend(self.shard.operations());
        while let Some((token, op)) = self.untaken.pop_front() {
            if let Err(Full(op)) = self.ring.push(token, op) {
                self.untaken.push_front((token, op));
                return;
            }
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        self.sleep.about_to_sleep();
        let wait = if self.shard.has_mail() || !self.untaken.is_empty() {
            Wait::Not
        } else {
            Wait::Until(TICK)
        };
        let turned = self.ring.turn(wait);
        self.sleep.awake();
        match turned {
            Err(error) if is_passing(&error) => Ok(()),
            other => other,
        }
    }

    fn arrive(&mut self, completion: Completion) {
        let tag = Tag::of(completion.token);
        if tag.kind == Kind::Bell && !completion.more {
            self.watch_bell();
        }
        let (brought, buffer) = match completion.extra {
            Extra::None | Extra::Peer(_) => (Brought::Nothing, None),
            Extra::Sent(bytes) => (Brought::Sent(bytes), None),
            Extra::Buffer(id) => (Brought::Bytes(self.ring.buffer(id)), Some(id)),
        };
        self.shard.arrive(Arrival {
            tag,
            result: completion.result,
            more: completion.more,
            nonempty: completion.nonempty,
            brought,
        });
        if let Some(id) = buffer {
            self.ring.give_back(id);
        }
    }

    fn watch_bell(&mut self) {
        if let Some(fd) = self.sleep.bell_fd() {
            let token = Tag::of_shard(Kind::Bell).token();
            let op = Op::PollFd {
                fd,
                events: Events::IN,
            };
            self.untaken.push_back((token, op));
        }
    }

    #[cfg(test)]
    pub(crate) fn parts(&mut self) -> (&mut R, &mut Shard) {
        (&mut self.ring, &mut self.shard)
    }
}

/// Failures of a wait that say nothing about the ring.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy
    )
}
