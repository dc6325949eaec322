//! Two people who talk to each other through the SDK as fast as acknowledgements allow, and everything they saw.

use crate::peer::with;
use millpond_client::{
    Client, ClientError, EnqueueError, Event, Events, MemoryStorage, Message, Options, Sent, Token,
};
use millpond_wire::DeviceId;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the two talk.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Messages of each side; fewer when [`Talk::enough`] is said before.
    pub(crate) messages_max: u64,
    /// One in this many events makes a side drop its connection; 0 never.
    pub(crate) disconnect_one_in: u32,
    pub(crate) seed: u64,
    /// A side is done when it has heard nothing for this long after all its own messages were acknowledged.
    pub(crate) quiet: Duration,
}

/// What one side saw, in the order in which it saw it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) user: u64,
    pub(crate) peer: u64,
    pub(crate) device: u64,
    pub(crate) seen: Vec<Sight>,
}

#[derive(Debug)]
pub(crate) enum Sight {
    /// It is about to send this text under this id.
    Sending {
        id: u64,
        text: String,
    },
    Acked(Sent),
    Received(Message),
    Reset {
        epoch: u64,
        head: u64,
    },
}

/// The two, talking.
#[derive(Debug)]
pub(crate) struct Talk {
    enough: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    sides: Vec<JoinHandle<Seen>>,
}

/// Unanswered messages of a side.
const WINDOW: usize = 32;
/// After this a side that is not done has lost something for good.
const PATIENCE: Duration = Duration::from_secs(180);

impl Talk {
    /// Starts a thread for each of the two.
    pub(crate) fn start(address: SocketAddr, people: [(u64, Vec<u8>); 2], plan: &Plan) -> Self {
        Self::start_at([address; 2], people, plan)
    }

    /// Each at a server of its own.
    pub(crate) fn start_at(
        addresses: [SocketAddr; 2],
        people: [(u64, Vec<u8>); 2],
        plan: &Plan,
    ) -> Self {
        let (enough, acked) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let users = [people[0].0, people[1].0];
        let sides = people
            .into_iter()
            .zip([users[1], users[0]])
            .zip(addresses)
            .map(|(((user, token), peer), address)| {
                let side = Side {
                    seen: Seen {
                        user,
                        peer,
                        device: 100 + user,
                        seen: Vec::new(),
                    },
                    plan: plan.clone(),
                    enough: enough.clone(),
                    acked_by_all: acked.clone(),
                    random: SmallRng::seed_from_u64(plan.seed ^ user),
                    sent: 0,
                    open: 0,
                };
                let token = String::from_utf8(token).expect("a token is text");
                std::thread::spawn(move || side.run(address, token))
            });
        let sides = sides.collect();
        Self {
            enough,
            acked,
            sides,
        }
    }

    /// Messages acknowledged until now, of both.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Nothing new is sent from now on.
    pub(crate) fn enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// Waits until both are done.
    pub(crate) fn finish(self) -> Vec<Seen> {
        self.sides
            .into_iter()
            .map(|side| side.join().expect("a side ends by itself"))
            .collect()
    }
}

struct Side {
    seen: Seen,
    plan: Plan,
    enough: Arc<AtomicBool>,
    acked_by_all: Arc<AtomicU64>,
    random: SmallRng,
    sent: u64,
    open: usize,
}

impl Side {
    fn run(mut self, address: SocketAddr, token: String) -> Seen {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut options = Options::new(address.to_string(), Token::Fixed(token))
                .storage(MemoryStorage::new(DeviceId(self.seen.device)));
            options.config.backoff_base = Duration::from_millis(50);
            options.config.backoff_cap = Duration::from_millis(500);
            options.config.ack_timeout = Duration::from_secs(3);
            let (client, mut events) = Client::connect(options).expect("memory can be read");
            self.talk(&client, &mut events).await;
            client.close().await;
        });
        self.seen
    }

    async fn talk(&mut self, client: &Client, events: &mut Events) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.fill(client).await || self.open > 0;
            if !self.hear(client, events).await && !more {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} waits for {} acks",
                self.seen.user,
                self.open
            );
        }
    }

    /// Sends up to the window; whether there is more to send.
    async fn fill(&mut self, client: &Client) -> bool {
        while self.sent < self.plan.messages_max && !self.enough.load(Ordering::Relaxed) {
            if self.open >= WINDOW {
                return true;
            }
            let text = format!("{} says {}", self.seen.user, self.sent + 1);
            let id = match client.enqueue(with(self.seen.peer), text.clone()).await {
                Ok(id) => id,
                // Events wait for us: they come first.
                Err(ClientError::Enqueue(EnqueueError::Full)) => return true,
                Err(error) => panic!("{error}"),
            };
            self.sent += 1;
            self.seen.seen.push(Sight::Sending { id, text });
            self.open += 1;
        }
        false
    }

    /// Takes one event; `false` after a quiet time without any.
    async fn hear(&mut self, client: &Client, events: &mut Events) -> bool {
        let Ok(event) = tokio::time::timeout(self.plan.quiet, events.next()).await else {
            return false;
        };
        match event.expect("nobody stopped this client") {
            Event::Message(message) => self.seen.seen.push(Sight::Received(message)),
            Event::Sent(sent) => {
                self.open -= 1;
                self.acked_by_all.fetch_add(1, Ordering::Relaxed);
                self.seen.seen.push(Sight::Acked(sent));
            }
            Event::Reset { epoch, head, .. } => self.seen.seen.push(Sight::Reset { epoch, head }),
            Event::Failed { code, message, .. } => panic!("refused: {code} {message}"),
            Event::Stopped { why } => panic!("stopped: {why}"),
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Synced
            | Event::Receipt { .. } => {}
        }
        let odds = self.plan.disconnect_one_in;
        if odds > 0 && self.random.random_range(0..odds) == 0 {
            client.disconnect().await.expect("the client runs");
        }
        true
    }
}
