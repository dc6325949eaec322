//! The frames between client and server, version 1. `SPEC.md` beside this crate is the normative text.
//!
//! Bytes in, values out, and back: no I/O, no clock, no threads, no unsafe, no dependency. Decoding borrows from the
//! input and validates a frame wholly before any of it is handed out; encoding is canonical, so
//! `encode(decode(bytes)) == bytes` for every valid frame. Called by `gateway`, `client` and `bench`; `backplane` and
//! `router` use the identifiers and [`Record`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod code;
mod decode;
mod encode;
mod frame;
mod id;
mod item;
mod limits;
mod list;
mod reader;
mod record;
mod tag;
mod varint;
mod writer;

pub use code::{Class, Code};
pub use decode::{Decoded, Malformed, Reason, decode};
pub use encode::{encode, encode_deliver_head};
pub use frame::*;
pub use id::{Conversation, DeviceId, UserId};
pub use limits::*;
pub use list::{Item, List};
pub use record::{Kind, Origin, Record, Records, encode_record};
pub use tag::{Direction, Tag};
