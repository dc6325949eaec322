//! The one door to io_uring: rings, provided-buffer rings, direct-descriptor tables, and [`Double`], a seeded stand-in
//! that injects faults. Knows sockets and completions; never frames, sessions or users. Called by `gateway`'s shards and
//! by `bench`. The only crate with `unsafe`.
//!
//! One thread owns a ring. Operations are values ([`Op`]) that own what the kernel needs until their last completion;
//! completions give it back. So no pointer of a caller ever reaches the kernel.

#![expect(unsafe_code, reason = "the one crate that hands memory to the kernel")]

mod address;
mod doorbell;
mod double;
mod op;
mod rings;
mod socket;
mod uring;

pub use doorbell::Doorbell;
pub use double::{Double, Faults, Gone, Leaks, Net, Peer, Refused, Violation};
pub use op::{BufferId, Completion, Events, Extra, Full, Op, PeerRing, Slot, Token, Wait};
pub use rings::{Plan, Rings};
pub use socket::{abort_on_close, connect, listen};
pub use uring::{BufferPlan, Counters, Flags, OpenError, Refusal, Setup, Step, Uring};

use std::io;
use std::os::fd::OwnedFd;

/// What a shard sees of the kernel. The real ones are [`Uring`] and, for more sockets than one table holds, [`Rings`]; the
/// other is [`Double`]. One script of operations runs against all of them.
pub trait Ring {
    /// Queues one operation; submits by itself when the submission queue is full.
    ///
    /// # Errors
    /// [`Full`] gives the operation back: the kernel takes nothing now (try again after [`Ring::turn`]).
    fn push(&mut self, token: Token, op: Op) -> Result<(), Full>;

    /// Submits what was queued and waits for completions as `wait` says: one `io_uring_enter`.
    fn turn(&mut self, wait: Wait) -> io::Result<()>;

    /// The next completion that arrived, in the order of arrival. Never enters the kernel.
    fn pop(&mut self) -> Option<Completion>;

    /// The bytes of a provided buffer that a completion named.
    fn buffer(&self, id: BufferId) -> &[u8];

    /// Gives a provided buffer back to the kernel. Every buffer a completion names must come back exactly once.
    fn give_back(&mut self, id: BufferId);

    /// Puts an existing socket into the table of direct descriptors; the ring owns it from now on.
    fn adopt(&mut self, socket: OwnedFd) -> io::Result<Slot>;

    /// Provided buffers that are not in use just now.
    fn buffers_free(&self) -> usize;
}
