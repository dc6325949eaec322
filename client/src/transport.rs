//! The core on tokio: one task owns core, storage and socket; the handles talk to it through bounded channels.
//!
//! Nothing is decided here. A test can do with the core alone whatever this does with sockets.

mod drive;
mod link;

use crate::{
    Code, Conversation, EnqueueError, Event, From, History, Kind, Options, RequestError, Taken,
};
use drive::{Command, Drive, Outgoing, Outlet};
use std::io;
use std::sync::Arc;
use tokio::sync::{Semaphore, TryAcquireError, mpsc, oneshot, watch};

/// Commands on their way to the task.
const COMMANDS_MAX: usize = 256;
/// Events on their way to the application; more wait in the core.
const EVENTS_MAX: usize = 64;

/// A client: cheap to clone, all clones are one device. When the last one or its [`Events`] is dropped, the client
/// closes as [`Client::close`] does.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    /// One permit for each message that may wait for its acknowledgement.
    room: Arc<Semaphore>,
}

/// What happens, in order. A message counts as received once the application asks for the next event; until then it
/// would be delivered again to a later process.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<(Event, Option<Taken>)>,
    taken: watch::Sender<Option<Taken>>,
    last: Option<Taken>,
}

/// The proof that a message is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub client_msg_id: u64,
    /// Place in the conversation.
    pub seq: u64,
    /// Unix milliseconds of the server.
    pub server_ms: u64,
    /// An earlier attempt at the same message had been taken already.
    pub duplicate: bool,
}

/// A message that was taken into the outbox: its id, and its outcome when that comes.
#[derive(Debug)]
pub struct Ticket {
    client_msg_id: u64,
    outcome: oneshot::Receiver<Result<Receipt, ClientError>>,
}

/// Why something that was asked for was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the server refused the message: {code} {message}")]
    Refused { code: Code, message: String },
    /// The client was closed or has stopped; a message may or may not have been stored.
    #[error("the client has stopped")]
    Stopped,
}

impl Client {
    /// Starts a client; it connects, and stays connected, by itself. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn connect(mut options: Options) -> io::Result<(Self, Events)> {
        let saved = options.storage.load()?;
        let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (taken, taken_out) = watch::channel(None);
        let room = Arc::new(Semaphore::new(options.config.outbox_messages_max));
        let outlet = Outlet {
            commands: commands_out,
            events: events_in,
            taken: taken_out,
        };
        let drive = Drive::new(options, saved, outlet, &room);
        tokio::spawn(drive.run());
        let events = Events {
            events,
            taken,
            last: None,
        };
        Ok((Self { commands, room }, events))
    }

    /// Sends a text and waits until it is durable, over any number of reconnections.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server will never take it; [`ClientError::Enqueue`] when it cannot be sent at
    /// all; [`ClientError::Stopped`] when the client has stopped before the outcome was known.
    pub async fn send(
        &self,
        conversation: Conversation,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Receipt, ClientError> {
        let ticket = self
            .submit(conversation, Kind::TEXT, payload.into())
            .await?;
        ticket.outcome().await
    }

    /// Takes a message into the outbox, waits for room there, and returns at once. The order of calls is the order in
    /// the conversation.
    ///
    /// # Errors
    /// As [`Client::send`], less what only the server can know.
    pub async fn submit(
        &self,
        conversation: Conversation,
        kind: Kind,
        payload: Vec<u8>,
    ) -> Result<Ticket, ClientError> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|_| ClientError::Stopped)?;
        let (inform, outcome) = oneshot::channel();
        let outgoing = Outgoing {
            conversation,
            kind,
            payload,
            room,
            inform: Some(inform),
        };
        let client_msg_id = self.enqueue_outgoing(outgoing).await?;
        Ok(Ticket {
            client_msg_id,
            outcome,
        })
    }

    /// Takes a text into the outbox without waiting for room; [`Event::Sent`] or [`Event::Failed`] tells the outcome.
    /// Returns its client message id.
    ///
    /// # Errors
    /// [`EnqueueError::Full`] when too many messages wait for their acknowledgement.
    pub async fn enqueue(
        &self,
        conversation: Conversation,
        payload: impl Into<Vec<u8>>,
    ) -> Result<u64, ClientError> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|error| match error {
            TryAcquireError::NoPermits => ClientError::Enqueue(EnqueueError::Full),
            TryAcquireError::Closed => ClientError::Stopped,
        })?;
        let outgoing = Outgoing {
            conversation,
            kind: Kind::TEXT,
            payload: payload.into(),
            room,
            inform: None,
        };
        self.enqueue_outgoing(outgoing).await
    }

    async fn enqueue_outgoing(&self, outgoing: Outgoing) -> Result<u64, ClientError> {
        let (reply, id) = oneshot::channel();
        self.command(Command::Send { outgoing, reply }).await?;
        let id = id.await.map_err(|_| ClientError::Stopped)?;
        Ok(id?)
    }

    /// Reads a page of a conversation; `From::Before(u64::MAX)` is the newest one. `limit` 0: the server's choice.
    ///
    /// # Errors
    /// [`ClientError::Request`], also when there is no answer within the configured time.
    pub async fn history(
        &self,
        conversation: Conversation,
        from: From,
        limit: u64,
    ) -> Result<History, ClientError> {
        let (reply, page) = oneshot::channel();
        self.command(Command::History {
            conversation,
            from,
            limit,
            reply,
        })
        .await?;
        let page = page.await.map_err(|_| ClientError::Stopped)?;
        Ok(page?)
    }

    /// This user has read everything of `conversation` up to `seq`. Cumulative, collected for 300 ms.
    ///
    /// # Errors
    /// When the client has stopped.
    pub async fn mark_read(&self, conversation: Conversation, seq: u64) -> Result<(), ClientError> {
        self.command(Command::MarkRead { conversation, seq }).await
    }

    /// The application comes to the foreground, or the network has changed: the connection has 3 s to show that it
    /// lives, and a wait before the next attempt ends.
    ///
    /// # Errors
    /// When the client has stopped.
    pub async fn probe(&self) -> Result<(), ClientError> {
        self.command(Command::Probe).await
    }

    /// Drops the socket without a word, as a broken network would; the next one is made by itself. For tests.
    ///
    /// # Errors
    /// When the client has stopped.
    pub async fn disconnect(&self) -> Result<(), ClientError> {
        self.command(Command::Disconnect).await
    }

    /// Says BYE and ends. What was not acknowledged stays in the storage. Events end with [`Event::Stopped`].
    pub async fn close(&self) {
        // A client that has ended already is closed.
        let _ended = self.command(Command::Close).await;
        self.commands.closed().await;
    }

    async fn command(&self, command: Command) -> Result<(), ClientError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| ClientError::Stopped)
    }
}

impl Ticket {
    /// The id under which the message is sent; never reused.
    pub fn client_msg_id(&self) -> u64 {
        self.client_msg_id
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn outcome(self) -> Result<Receipt, ClientError> {
        self.outcome.await.unwrap_or(Err(ClientError::Stopped))
    }
}

impl Events {
    /// The next event; `None` after [`Event::Stopped`]. Safe to cancel: an event that was not returned comes again.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(taken) = self.last.take() {
            self.taken.send_replace(Some(taken));
        }
        let (event, taken) = self.events.recv().await?;
        self.last = taken;
        Some(event)
    }
}
