//! What things cost, and where each figure comes from. The only file of this crate that holds measured numbers.
//!
//! Measured on Linux 6.18.44, x86-64, in November 2026: live slab objects at two sizes, each times its share of a slab
//! page, so the waste of slabs is in them. `millpond bench floor` measures the same on any kernel.

/// A bare accepted TCP/IPv4 socket: `tcp_sock` 2,368 → 2,520 with slab waste, inode 862, dentry 195, file 195, security
/// blobs 56. The floor: nobody holds a socket for less. IPv6 is 128 bytes more.
pub const SOCKET_BYTES: u64 = 3_829;

/// The node of a filled slot in a ring's table of direct descriptors (the slot's pointer itself counts with the ring).
pub const SLOT_NODE_BYTES: u64 = 32;

/// An armed multishot poll, as every cold connection has one.
pub const POLL_BYTES: u64 = 256;

/// An armed multishot recv (request 256, poll 96, message header 512, on kernels since 6.10), as hot connections have.
pub const RECV_BYTES: u64 = 864;

/// What one cold connection of ours costs the kernel: 4,117; 4,120 were measured as a whole.
pub const KERNEL_BYTES: u64 = SOCKET_BYTES + SLOT_NODE_BYTES + POLL_BYTES;

/// What a client's end of a connection costs when it is on the same machine: a socket of its own, held by the load
/// generator in a ring as ours, with at most 200 bytes of memory in the generator.
pub const CLIENT_BYTES: u64 = KERNEL_BYTES + 200;

/// Inode and dentry of a socket: pinned, but the kernel counts them as reclaimable in MemAvailable, so that MemAvailable
/// is too high by this for every open socket.
pub const RECLAIMABLE_ONLY_IN_NAME_BYTES: u64 = 862 + 195;

/// User memory of an idle plain connection: the bound that the project sets itself (an entry in the slab is 64 bytes).
pub const USER_BYTES: u64 = 150;

/// A ring with its queues, buffers and table: the bound that the project sets itself.
pub const RING_BYTES: u64 = 1 << 20;

/// Memory of a ring that counts against RLIMIT_MEMLOCK of the *user* (all processes together) where the process lacks
/// CAP_IPC_LOCK: the queues (submissions 64 B, completions 16 B, a header) and the ring of provided buffers (16 B each), in
/// whole pages; not the buffers. Here for 1,024 submissions, 8,192 completions and 256 buffers: 49 pages, one for the
/// buffers, one for kernels that keep an array beside the queue. Measured on 6.18: under 8 MiB, the usual limit, ring 42 of
/// that size is refused with ENOMEM.
pub const RING_LOCKED_BYTES: u64 = 51 * 4_096;

/// The first kernel that counts a ring's queues so: since then they are memory regions as any other (`io_create_region`).
/// Since 5.12 and until then they were charged to the control group alone.
pub const RINGS_LOCKED_SINCE: (u64, u64) = (6, 14);

/// A ring's table can have so many slots and no more (`IORING_MAX_FIXED_FILES`).
pub const RING_SLOTS_MAX: u64 = 1 << 20;

/// Ordinary descriptors that a server needs beside its sockets: rings, eventfds, files of the store, the log. Rule of
/// thumb: an embedded store keeps some hundred tables open.
pub const DESCRIPTORS_BESIDE: u64 = 1_024;

/// Of a thousand connections, those that may have a page of data queued in the kernel at the same moment. An idle socket
/// charges nothing to `tcp_mem`; a socket with queued data charges whole pages. Rule of thumb: 100 of 1,000 is one
/// message a second for everybody with clients 100 ms away, more than one machine's worth of messages.
pub const QUEUED_PER_MILLE: u64 = 100;

/// Kept free for everything else on the machine: system, store, page tables. Rule of thumb.
pub const MEMORY_RESERVE_PER_MILLE: u64 = 50;

/// Of the ephemeral ports of one pair of addresses, the part that can be used at full speed: beyond a half, `connect`
/// slows down tenfold (measured: 43,000/s to 4,000/s at 14,115 of 28,232 ports).
pub const PORTS_USED_PER_MILLE: u64 = 500;

/// Heap of an idle TLS connection: rustls 0.23, unbuffered API, measured 2,100–3,200; the high end is taken.
pub const TLS_BYTES: u64 = 3_200;

/// Server CPU of a PING and its PONG: near 200,000 echoes/s on one core, measured by `millpond bench echo`.
pub const PING_NANOSECONDS: u64 = 5_000;

/// Server CPU of a durable 1:1 message, router and store included: 60,200/s on one core, measured by `millpond bench messages`.
pub const MESSAGE_NANOSECONDS: u64 = 16_600;

/// Of a core's time, the part that is planned for; the rest is for bursts, storms and the store's own work. Rule of thumb.
pub const CORE_USED_PER_MILLE: u64 = 500;

/// Connections that one core accepts and answers in a second: measured, a ring server with its first exchange, 38 µs of CPU.
pub const CONNECTS_PER_CORE_SECOND: u64 = 17_857;

/// Seconds between the pings of an idle client, as WELCOME asks for by default.
pub const PING_SECONDS: u64 = 285;

/// A ping, its pong and the acknowledgement on the wire, both directions: three packets of 66 bytes of headers (Ethernet, IPv4,
/// TCP with timestamps) and some 14 bytes of frames in two of them. Computed.
pub const PING_WIRE_BYTES: u64 = 226;

/// A message of 128 bytes on the wire of this server, both directions: SEND, its ack, DELIVER, its cursor ack, each with
/// 66 bytes of headers and some 40 of frame, and an acknowledgement for each by TCP. Computed.
pub const MESSAGE_WIRE_BYTES: u64 = 944;

/// What a ring of these sizes counts against RLIMIT_MEMLOCK (see [`RING_LOCKED_BYTES`]). The sizes are powers of two.
#[must_use]
pub fn ring_locked_bytes(submissions: u32, completions: u32, buffers: u16, page_bytes: u64) -> u64 {
    let [submissions, completions] = [submissions, completions].map(u64::from);
    let buffers = u64::from(buffers);
    const HEADER: u64 = 128;
    let pages = (submissions * 64).div_ceil(page_bytes)
        + (completions * 16 + HEADER).div_ceil(page_bytes)
        + (submissions * 4).div_ceil(page_bytes)
        + (buffers * 16).div_ceil(page_bytes);
    pages * page_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_agree_with_each_other() {
        assert_eq!(KERNEL_BYTES, 4_117);
        assert_eq!(
            ring_locked_bytes(1_024, 8_192, 256, 4_096),
            RING_LOCKED_BYTES
        );
        assert_eq!(
            (8 << 20) / (RING_LOCKED_BYTES - 2 * 4_096),
            41,
            "as measured"
        );
    }
}
