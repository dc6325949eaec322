//! The threads of the pool. Each sleeps until a shard rings, takes what is there from all shards in turn, and answers it
//! as one batch.

#![expect(
    clippy::disallowed_types,
    reason = "store and routes are shared by all readers; no shard comes here"
)]

use super::answer::{Placed, answer};
use super::{Ask, Desk, Reply, ReplyBody};
use crate::config::Config;
use millpond_backplane::mesh::{self, Bell, Receiver, Sender, ThreadBell};
use millpond_backplane::routes::{Put, Route, Routes};
use millpond_backplane::store::Store;
use millpond_backplane::{Address, GatewayId};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Questions answered together: what they may hold at a time is in the budget.
pub(crate) const BATCH_MAX: usize = 32;
/// How long a reader waits for room in a shard's queue before it looks again.
const ROOM_WAIT: Duration = Duration::from_millis(1);

/// The readers of a gateway, not yet running, and a desk for each shard, in order of `bells`.
pub(crate) fn pool(
    config: &Config,
    bells: &[Arc<dyn Bell>],
    store: &Arc<dyn Store>,
    routes: &Arc<dyn Routes>,
) -> (Vec<Reader>, Vec<Desk>) {
    let limits = &config.limits;
    let asks_max = limits.page_asks_max;
    let desk = |_| Desk::new(asks_max, limits.connections_max);
    let mut desks: Vec<_> = bells.iter().map(desk).collect();
    let mut readers = Vec::new();
    for index in 0..limits.page_readers {
        let mut reader = Reader {
            wake: Arc::default(),
            asks: Vec::new(),
            replies: Vec::new(),
            store: Arc::clone(store),
            routes: Arc::clone(routes),
            gateway: config.gateway,
            gateway_epoch: config.gateway_epoch,
            lease: (index == 0).then_some((limits.lease_renewal, Instant::now())),
        };
        for (desk, bell) in desks.iter_mut().zip(bells) {
            let (asks, taken) = mesh::channel(asks_max, Arc::clone(&reader.wake) as _);
            let (replies, arrived) = mesh::channel(asks_max * (bells.len() + 1), Arc::clone(bell));
            reader.asks.push(taken);
            reader.replies.push(replies);
            desk.add(asks, arrived);
        }
        readers.push(reader);
    }
    (readers, desks)
}

/// Starts the readers' threads, which end by themselves when every desk is dropped.
pub(crate) fn spawn(readers: Vec<Reader>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let numbered = readers.into_iter().enumerate();
    numbered
        .map(|(index, reader)| {
            let thread = std::thread::Builder::new().name(format!("pages-{index}"));
            thread.spawn(move || reader.run())
        })
        .collect()
}

#[derive(Debug)]
pub(crate) struct Reader {
    wake: Arc<ThreadBell>,
    /// By shard.
    asks: Vec<Receiver<Ask>>,
    replies: Vec<Sender<Reply>>,
    store: Arc<dyn Store>,
    routes: Arc<dyn Routes>,
    gateway: GatewayId,
    gateway_epoch: u32,
    /// Of the reader that renews: the interval, and when it is due.
    lease: Option<(Duration, Instant)>,
}

impl Reader {
    fn run(mut self) {
        let wake = Arc::clone(&self.wake);
        while !self.asks.iter().all(Receiver::is_closed) {
            let nap = self.renew();
            if !self.work() {
                wake.wait(nap);
            }
        }
    }

    /// Answers what is there; says whether there was anything.
    pub(crate) fn work(&mut self) -> bool {
        let mut replies = Vec::new();
        let worked = self.read(&mut replies);
        self.tell(replies);
        worked
    }

    /// Finds the answers to what is there, and says nothing yet.
    pub(crate) fn read(&mut self, replies: &mut Vec<Reply>) -> bool {
        let mut batch = Vec::new();
        self.take(&mut batch);
        self.answer(&batch, replies);
        !batch.is_empty()
    }

    pub(crate) fn tell(&mut self, replies: Vec<Reply>) {
        replies.into_iter().for_each(|reply| self.reply(reply));
        self.replies.iter_mut().for_each(Sender::flush);
    }

    /// Renews the lease when it is due; says how long to sleep at most.
    fn renew(&mut self) -> Duration {
        const IDLE: Duration = Duration::from_secs(1);
        let Some((interval, due)) = &mut self.lease else {
            return IDLE;
        };
        let now = Instant::now();
        if now >= *due {
            self.routes.renew(self.gateway, self.gateway_epoch);
            *due = now + *interval;
        }
        due.duration_since(now).min(IDLE)
    }

    /// One question of each shard in turn, until the batch is full or all queues are empty.
    fn take(&mut self, batch: &mut Vec<Ask>) {
        loop {
            let before = batch.len();
            for asks in &mut self.asks {
                if batch.len() < BATCH_MAX {
                    batch.extend(asks.pop());
                }
            }
            if batch.len() == before {
                return;
            }
        }
    }

    /// A batch that fails is answered one by one: a row that cannot be read is no reason to refuse the others.
    fn answer(&mut self, batch: &[Ask], replies: &mut Vec<Reply>) {
        let place = |ask| Placed {
            older: self.place(ask),
            ask,
        };
        let placed: Vec<_> = batch.iter().map(place).collect();
        if answer(&*self.store, &placed, replies).is_ok() {
            return;
        }
        replies.clear();
        let mut failed = None;
        for one in placed.chunks(1) {
            if let Err(error) = answer(&*self.store, one, replies) {
                failed = Some(error);
                replies.extend(one.iter().map(|placed| placed.ask.failed()));
            }
        }
        if let Some(error) = failed {
            tracing::error!(%error, "questions to the store without an answer; the last of them");
        }
    }

    /// Writes what the question does to the routes; says whether a newer connection holds the route.
    fn place(&mut self, ask: &Ask) -> bool {
        match ask {
            Ask::Open(open) => match self.routes.put(open.route) {
                Put::Older => return true,
                Put::Taken { displaced } => self.displace(open.route.address, displaced),
            },
            Ask::Close(route) => self.routes.remove(route),
            Ask::Page(_) | Ask::History(_) | Ask::Head { .. } => {}
        }
        false
    }

    /// Ends the connection that a newer one has displaced, when it is one of ours.
    fn displace(&mut self, by: Address, displaced: Option<Route>) {
        let Some(Route { address, .. }) = displaced else {
            return;
        };
        let ours = (address.gateway, address.gateway_epoch) == (self.gateway, self.gateway_epoch);
        if ours && address.handle != by.handle {
            self.reply(Reply {
                to: address,
                body: ReplyBody::Displaced,
            });
        }
    }

    /// Waits for room: a shard never waits for a reader, so it drains its queue, or is gone.
    fn reply(&mut self, mut reply: Reply) {
        let Some(replies) = self.replies.get_mut(usize::from(reply.to.handle.shard)) else {
            return;
        };
        while let Err(back) = replies.push(reply) {
            if replies.is_closed() {
                return;
            }
            replies.flush();
            std::thread::park_timeout(ROOM_WAIT);
            reply = back;
        }
    }
}
