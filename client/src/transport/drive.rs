//! The task of one client: waits for whatever comes first, tells the core, and carries out what the core then wants.

use super::link::{Link, Turn};
use super::{ClientError, Receipt};
use crate::{
    Conversation, Core, EnqueueError, Event, From, History, Kind, Now, Options, Phase, Provider,
    Reply, RequestError, Saved, Storage, Taken, Token, TokenError, Wish,
};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

/// For the application's token provider.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) enum Command {
    Send {
        outgoing: Outgoing,
        reply: oneshot::Sender<Result<u64, EnqueueError>>,
    },
    History {
        conversation: Conversation,
        from: From,
        limit: u64,
        reply: oneshot::Sender<Result<History, RequestError>>,
    },
    MarkRead {
        conversation: Conversation,
        seq: u64,
    },
    Probe,
    Disconnect,
    Close,
}

/// A message on its way into the outbox.
pub(super) struct Outgoing {
    pub(super) conversation: Conversation,
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    pub(super) room: OwnedSemaphorePermit,
    /// Who waits for the outcome; otherwise it is an event.
    pub(super) inform: Option<oneshot::Sender<Result<Receipt, ClientError>>>,
}

/// What is kept of a message until its outcome is known.
struct Waiter {
    /// Given back with the waiter.
    _room: OwnedSemaphorePermit,
    inform: Option<oneshot::Sender<Result<Receipt, ClientError>>>,
}

/// The far ends of the handles.
pub(super) struct Outlet {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<(Event, Option<Taken>)>,
    pub(super) taken: watch::Receiver<Option<Taken>>,
}

type TokenAnswer = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

pub(super) struct Drive {
    core: Core,
    storage: Box<dyn Storage>,
    address: String,
    provider: Option<Provider>,
    asking: Option<TokenAnswer>,
    link: Link,
    buffer: Vec<u8>,
    began: Instant,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<(Event, Option<Taken>)>,
    taken: watch::Receiver<Option<Taken>>,
    messages: HashMap<u64, Waiter>,
    pages: HashMap<u64, oneshot::Sender<Result<History, RequestError>>>,
}

/// What the task was waiting for.
enum Input {
    Link(Turn),
    Command(Option<Command>),
    Taken,
    Token(Result<String, TokenError>),
    /// The application has room for an event.
    Room,
    /// The application does not listen any more.
    Deaf,
    Time,
}

impl Drive {
    pub(super) fn new(
        options: Options,
        saved: Saved,
        outlet: Outlet,
        room: &Arc<Semaphore>,
    ) -> Self {
        let (token, provider) = match options.token {
            Token::None => (None, None),
            Token::Fixed(token) => (Some(token.into_bytes()), None),
            Token::Provider(provider) => (Some(Vec::new()), Some(provider)),
        };
        // Messages of an earlier process take room too; a smaller outbox than theirs has none for them.
        let stored = saved.outbox.iter().filter_map(|message| {
            let _room = Arc::clone(room).try_acquire_owned().ok()?;
            let inform = None;
            Some((message.client_msg_id, Waiter { _room, inform }))
        });
        let messages = stored.collect();
        let began = Instant::now();
        let seed = rand::random();
        let core = Core::new(options.config, saved, token, seed, now(began));
        Self {
            core,
            storage: options.storage,
            address: options.address,
            provider,
            asking: None,
            link: Link::Down,
            buffer: Vec::new(),
            began,
            commands: outlet.commands,
            events: outlet.events,
            taken: outlet.taken,
            messages,
            pages: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        self.core.start(now(self.began));
        self.settle();
        while !self.is_over() {
            let input = self.input().await;
            self.handle(input);
            self.settle();
        }
        self.commands.close();
        self.inform_stopped();
        self.last_events().await;
    }

    fn is_over(&self) -> bool {
        self.core.phase() == Phase::Stopped
    }

    async fn input(&mut self) -> Input {
        let deadline = self.core.deadline().map(|at| self.began + at);
        let read = self.core.wants_bytes();
        let tell = self.core.has_event();
        tokio::select! {
            turn = self.link.turn(read, &mut self.buffer) => Input::Link(turn),
            command = self.commands.recv() => Input::Command(command),
            changed = self.taken.changed() => match changed {
                Ok(()) => Input::Taken,
                Err(_) => Input::Deaf,
            },
            room = self.events.reserve(), if tell => match room {
                Ok(_) => Input::Room,
                Err(_) => Input::Deaf,
            },
            token = answer(&mut self.asking), if self.asking.is_some() => Input::Token(token),
            () = until(deadline) => Input::Time,
        }
    }

    fn handle(&mut self, input: Input) {
        let now = now(self.began);
        match input {
            Input::Link(Turn::Connected) => self.core.connected(now),
            Input::Link(Turn::Read(bytes)) => self.core.received(&self.buffer[..bytes], now),
            Input::Link(Turn::Written) | Input::Room | Input::Time => self.core.tick(now),
            Input::Link(Turn::Ended(error)) => {
                self.link = Link::Down;
                self.core
                    .disconnected(error.map(|error| error.to_string()), now);
            }
            Input::Command(Some(command)) => self.command(command, now),
            Input::Command(None) | Input::Deaf => self.close(now),
            Input::Taken => self.take(now),
            Input::Token(token) => {
                self.asking = None;
                self.core.token(token.map(String::into_bytes), now);
            }
        }
    }

    fn take(&mut self, now: Now) {
        let taken = *self.taken.borrow_and_update();
        if let Some(taken) = taken {
            self.core.take(taken, now);
        }
    }

    /// What the application has finished with before it asked to close counts.
    fn close(&mut self, now: Now) {
        self.take(now);
        self.core.close(now);
    }

    fn command(&mut self, command: Command, now: Now) {
        match command {
            Command::Send { outgoing, reply } => self.send(outgoing, reply, now),
            Command::History {
                conversation,
                from,
                limit,
                reply,
            } => match self.core.history(conversation, from, limit, now) {
                Ok(rid) => {
                    self.pages.insert(rid, reply);
                }
                Err(error) => tell(reply, Err(error)),
            },
            Command::MarkRead { conversation, seq } => {
                // Marks are hints, and cumulative: with thousands of conversations unsent, one more can be missed.
                let _noted = self.core.mark_read(conversation, seq, now);
            }
            Command::Probe => self.core.probe(now),
            Command::Disconnect => self.core.disconnect(now),
            Command::Close => self.close(now),
        }
    }

    fn send(
        &mut self,
        outgoing: Outgoing,
        reply: oneshot::Sender<Result<u64, EnqueueError>>,
        now: Now,
    ) {
        let Outgoing {
            conversation,
            kind,
            payload,
            room,
            inform,
        } = outgoing;
        let awaited = inform.is_some();
        let id = self.core.enqueue(conversation, kind, payload, awaited, now);
        if let Ok(id) = id {
            let _room = room;
            self.messages.insert(id, Waiter { _room, inform });
        }
        tell(reply, id);
    }

    /// Carries out what the core wants, in the order that keeps its promises: nothing is written before it is saved.
    fn settle(&mut self) {
        let changes = self.core.take_changes();
        if !changes.is_empty()
            && let Err(error) = self.storage.apply(&changes)
        {
            self.core.storage_failed(error.to_string());
        }
        while let Some(reply) = self.core.poll_reply() {
            self.reply(reply);
        }
        while let Some(wish) = self.core.poll_wish() {
            self.wish(wish);
        }
        if self.link.is_drained() {
            let output = self.core.take_output();
            self.link.give(output);
        }
        self.offer_events();
    }

    fn offer_events(&mut self) {
        while self.core.has_event() {
            let Ok(room) = self.events.try_reserve() else {
                return;
            };
            let polled = self.core.poll_event().expect("it has an event");
            if let Event::Sent(sent) = &polled.event {
                self.messages.remove(&sent.client_msg_id);
            } else if let Event::Failed { client_msg_id, .. } = &polled.event {
                self.messages.remove(client_msg_id);
            }
            room.send((polled.event, polled.taken));
        }
    }

    fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Connect { endpoint } => {
                let address = endpoint.unwrap_or_else(|| self.address.clone());
                self.link = Link::connect(address);
            }
            Wish::Close { last_words } => self.link.close(&last_words),
            Wish::Token => {
                self.asking = Some(match self.provider.clone() {
                    Some(provider) => Box::pin(ask(provider)),
                    None => Box::pin(async {
                        let why = "the server refused the only token there is";
                        Err(TokenError::Stop(why.to_owned()))
                    }),
                });
            }
        }
    }

    fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Sent(sent) => {
                let receipt = Receipt {
                    client_msg_id: sent.client_msg_id,
                    seq: sent.seq,
                    server_ms: sent.server_ms,
                    duplicate: sent.duplicate,
                };
                self.inform(sent.client_msg_id, Ok(receipt));
            }
            Reply::Failed {
                client_msg_id,
                code,
                message,
            } => self.inform(client_msg_id, Err(ClientError::Refused { code, message })),
            Reply::Page { rid, page } => self.turn_page(rid, Ok(page)),
            Reply::Refused { rid, error } => self.turn_page(rid, Err(error)),
        }
    }

    fn inform(&mut self, id: u64, outcome: Result<Receipt, ClientError>) {
        let waiter = self.messages.remove(&id);
        if let Some(inform) = waiter.and_then(|waiter| waiter.inform) {
            tell(inform, outcome);
        }
    }

    fn turn_page(&mut self, rid: u64, page: Result<History, RequestError>) {
        if let Some(reply) = self.pages.remove(&rid) {
            tell(reply, page);
        }
    }

    /// Whoever still waits learns that nothing more will come.
    fn inform_stopped(&mut self) {
        for (_, waiter) in self.messages.drain() {
            if let Some(inform) = waiter.inform {
                tell(inform, Err(ClientError::Stopped));
            }
        }
    }

    async fn last_events(&mut self) {
        while let Some(polled) = self.core.poll_event() {
            if self
                .events
                .send((polled.event, polled.taken))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// Whoever asked may have lost interest, which is nobody's fault.
fn tell<T>(to: oneshot::Sender<T>, outcome: T) {
    let _uninterested = to.send(outcome);
}

async fn ask(provider: Provider) -> Result<String, TokenError> {
    let answer = tokio::time::timeout(TOKEN_TIMEOUT, provider.call()).await;
    answer.unwrap_or_else(|_| Err(TokenError::Retry("no token in time".to_owned())))
}

async fn answer(asking: &mut Option<TokenAnswer>) -> Result<String, TokenError> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn now(began: Instant) -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix_ms = unix.map_or(0, |unix| unix.as_millis());
    Now {
        mono: began.elapsed(),
        unix_ms: u64::try_from(unix_ms).unwrap_or(u64::MAX),
    }
}
