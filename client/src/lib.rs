//! The Rust SDK of Millpond: a core without I/O, and a thin tokio transport around it.
//!
//! [`Client`] and [`Events`] are what an application uses: messages are sent under ids that are never reused, so a
//! retry has no second effect; what arrives comes in the order of the inbox, each message once; connections come
//! and go beneath. [`Core`] is the same behaviour as a value: bytes, commands and time go in; bytes, events and
//! wishes come out. Nothing here logs a payload or a token.
//!
//! # Examples
//! ```no_run
//! use millpond_client::{Client, Conversation, Event, Options, Token, UserId};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::new("127.0.0.1:7400", Token::Fixed("eyJ…".into()));
//! let (client, mut events) = Client::connect(options)?;
//! let bob = Conversation::Direct(UserId::new(2).ok_or("a user id")?);
//! let receipt = client.send(bob, b"hello".to_vec()).await?;
//! println!("stored as number {}", receipt.seq);
//! while let Some(event) = events.next().await {
//!     if let Event::Message(message) = event {
//!         println!("{:?}: {} bytes", message.conversation, message.payload.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod config;
mod core;
mod event;
mod options;
mod storage;
mod transport;

pub use config::Config;
pub use core::{Core, EnqueueError, Now, Phase, Polled, Reply, RequestError, Taken, Wish};
pub use event::{Event, History, Message, ReceiptKind, Sent, Stop, Why};
pub use millpond_wire::{Code, Conversation, DeviceId, From, Kind, Origin, UserId};
pub use options::{Options, Provider, Token, TokenError};
pub use storage::{Change, FileStorage, MemoryStorage, Position, Saved, Storage, Stored};
pub use transport::{Client, ClientError, Events, Receipt, Ticket};
