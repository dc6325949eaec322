//! The threads of the pool. Each sleeps until a shard rings, takes what is there from all shards in turn, and answers it
//! as one batch.

#![expect(
    clippy::disallowed_types,
    reason = "store and routes are shared by all readers; no shard comes here"
)]

use super::answer::{Placed, answer};
use super::{Ask, Desk, Line, Reply, ReplyBody};
use crate::config::Config;
use millpond_backplane::mesh::{self, Bell, Receiver, Sender};
use millpond_backplane::routes::{Put, Route, Routes};
use millpond_backplane::store::Store;
use millpond_backplane::{Address, GatewayId};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Questions answered together.
const BATCH_MAX: usize = 256;
/// How long a reader waits for room in a shard's queue before it looks again.
const ROOM_WAIT: Duration = Duration::from_millis(1);

/// The running pool: ends by itself when every [`Desk`] is dropped.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// Starts the readers; a desk for each shard, in order of `bells`.
pub(crate) fn start(
    config: &Config,
    bells: &[Arc<dyn Bell>],
    store: &Arc<dyn Store>,
    routes: &Arc<dyn Routes>,
) -> std::io::Result<(Pool, Vec<Desk>)> {
    let limits = &config.limits;
    let mut desks: Vec<_> = bells
        .iter()
        .map(|_| Desk {
            readers: Vec::new(),
            asks_max: limits.page_asks_max,
        })
        .collect();
    let mut threads = Vec::new();
    for index in 0..limits.page_readers {
        let wake = Arc::new(Unpark::default());
        let mut reader = Reader {
            asks: Vec::new(),
            replies: Vec::new(),
            store: Arc::clone(store),
            routes: Arc::clone(routes),
            gateway: config.gateway,
            gateway_epoch: config.gateway_epoch,
            lease: (index == 0).then_some((limits.lease_renewal, Instant::now())),
        };
        for (desk, bell) in desks.iter_mut().zip(bells) {
            let (asks, taken) = mesh::channel(limits.page_asks_max, Arc::clone(&wake) as _);
            let replies_max = limits.page_asks_max * (bells.len() + 1);
            let (replies, arrived) = mesh::channel(replies_max, Arc::clone(bell));
            reader.asks.push(taken);
            reader.replies.push(replies);
            desk.readers.push(Line {
                asks,
                replies: arrived,
                open: 0,
            });
        }
        let name = format!("pages-{index}");
        let run = move || {
            wake.sleeper.get_or_init(std::thread::current);
            reader.run();
        };
        threads.push(std::thread::Builder::new().name(name).spawn(run)?);
    }
    Ok((Pool { threads }, desks))
}

/// Wakes a parked reader. A ring before the thread runs is not lost: it looks into its queues before it parks.
#[derive(Default, Debug)]
struct Unpark {
    sleeper: OnceLock<Thread>,
}

impl Bell for Unpark {
    fn ring(&self) {
        if let Some(thread) = self.sleeper.get() {
            thread.unpark();
        }
    }
}

#[derive(Debug)]
struct Reader {
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
        let mut batch = Vec::new();
        let mut replies = Vec::new();
        loop {
            let nap = self.renew();
            self.take(&mut batch);
            if batch.is_empty() {
                if self.asks.iter().all(Receiver::is_closed) {
                    return;
                }
                std::thread::park_timeout(nap);
                continue;
            }
            self.answer(&batch, &mut replies);
            batch.clear();
            replies.drain(..).for_each(|reply| self.reply(reply));
            self.replies.iter_mut().for_each(Sender::flush);
        }
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

    fn answer(&mut self, batch: &[Ask], replies: &mut Vec<Reply>) {
        let older: Vec<_> = batch.iter().map(|ask| self.place(ask)).collect();
        let failed = {
            let placed: Vec<_> = batch
                .iter()
                .zip(&older)
                .map(|(ask, older)| Placed { ask, older: *older })
                .collect();
            answer(&*self.store, &placed, replies).err()
        };
        if let Some(error) = failed {
            tracing::error!(%error, questions = batch.len(), "pages cannot be read");
            replies.clear();
            replies.extend(batch.iter().map(Ask::failed));
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
