//! What has to survive the process: who this device is, where its inbox stands, what waits to be sent.
//!
//! The core never calls a storage. It says what has changed, and the transport applies the changes before it writes
//! the bytes that depend on them.

mod file;

use crate::{Conversation, DeviceId, Kind};
pub use file::FileStorage;
use std::io;

/// Where this device stands in its user's inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub epoch: u64,
    pub cursor: u64,
}

/// A message that waits for its acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub client_msg_id: u64,
    pub conversation: Conversation,
    pub kind: Kind,
    pub payload: Vec<u8>,
}

/// Everything a client starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Stays the same for an installation; a reinstalled or restored one takes a new one.
    pub device: DeviceId,
    /// Of the last connection.
    pub attempt: u32,
    /// `None` before the first synchronisation.
    pub position: Option<Position>,
    /// The highest client message id that was ever given; 0 before the first.
    pub last_id: u64,
    /// In the order of their ids.
    pub outbox: Vec<Stored>,
}

impl Saved {
    /// Of a device that has never connected.
    pub fn fresh(device: DeviceId) -> Self {
        Self {
            device,
            attempt: 0,
            position: None,
            last_id: 0,
            outbox: Vec::new(),
        }
    }

    /// What is saved after `change`.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Attempt(attempt) => self.attempt = *attempt,
            Change::Position(position) => self.position = Some(*position),
            Change::Added(stored) => {
                self.last_id = self.last_id.max(stored.client_msg_id);
                self.outbox.push(stored.clone());
            }
            Change::Removed(id) => self.outbox.retain(|stored| stored.client_msg_id != *id),
        }
    }
}

/// One thing to save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A connection is about to be made under this number.
    Attempt(u32),
    /// The application has finished with everything up to here.
    Position(Position),
    /// A message was enqueued.
    Added(Stored),
    /// A message was acknowledged or refused.
    Removed(u64),
}

/// Keeps the state of one device. Called from the transport's task, so an implementation should be quick.
pub trait Storage: Send {
    /// What a client starts from.
    fn load(&mut self) -> io::Result<Saved>;
    /// Keeps all of `changes`, or fails; a failure stops the client.
    fn apply(&mut self, changes: &[Change]) -> io::Result<()>;
}

/// Keeps nothing beyond the process: the next one is a new device.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    saved: Saved,
}

impl MemoryStorage {
    pub fn new(device: DeviceId) -> Self {
        Self {
            saved: Saved::fresh(device),
        }
    }
}

impl Default for MemoryStorage {
    /// A random device.
    fn default() -> Self {
        Self::new(DeviceId(rand::random()))
    }
}

impl Storage for MemoryStorage {
    fn load(&mut self) -> io::Result<Saved> {
        Ok(self.saved.clone())
    }

    /// Nothing reads it again, so nothing is kept.
    fn apply(&mut self, _changes: &[Change]) -> io::Result<()> {
        Ok(())
    }
}
