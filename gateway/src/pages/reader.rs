//! The threads of the pool. Each sleeps until a shard rings, takes what is there from all shards in turn, and answers it
//! as one batch.

#![expect(
    clippy::disallowed_types,
    reason = "store, routes and link are shared by all readers; no shard comes here"
)]

use super::answer::{Placed, answer};
use super::{Ask, Desk, Reply, ReplyBody, RouteCounts};
use crate::config::Config;
use millpond_backplane::link::{Downlink, DownlinkBody, Link};
use millpond_backplane::mesh::{self, Bell, Receiver, Sender, ThreadBell};
use millpond_backplane::routes::{Put, Renewal, Route, Routes};
use millpond_backplane::store::Store;
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_wire::{Code, DeviceId, UserId};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Questions answered together: what they may hold at a time is in the budget.
pub(crate) const BATCH_MAX: usize = 32;
/// From a renewal that had no answer to the next one.
const RENEWAL_RETRY: Duration = Duration::from_millis(500);
/// How long a reader waits for room in a shard's queue before it looks again.
const ROOM_WAIT: Duration = Duration::from_millis(1);

/// The readers of a gateway, not yet running, and a desk for each shard, in order of `bells`.
pub(crate) fn pool(
    config: &Config,
    bells: &[Arc<dyn Bell>],
    store: &Arc<dyn Store>,
    routes: &Arc<dyn Routes>,
    link: Option<Box<dyn Link>>,
    counts: &Arc<RouteCounts>,
) -> (Vec<Reader>, Vec<Desk>) {
    let limits = &config.limits;
    let asks_max = limits.page_asks_max;
    let desk = |_| Desk::new(asks_max, limits.connections_max);
    let mut desks: Vec<_> = bells.iter().map(desk).collect();
    let mut readers = Vec::new();
    let link = link.map(|link| Arc::new(Mutex::new(link)));
    for index in 0..limits.page_readers {
        let mut reader = Reader {
            wake: Arc::default(),
            asks: Vec::new(),
            replies: Vec::new(),
            store: Arc::clone(store),
            routes: Arc::clone(routes),
            link: link.clone(),
            counts: Arc::clone(counts),
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
    /// To the other gateways; none where there are no others.
    link: Option<Arc<Mutex<Box<dyn Link>>>>,
    counts: Arc<RouteCounts>,
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
        let Some((interval, mut due)) = self.lease else {
            return IDLE;
        };
        let now = Instant::now();
        if now >= due {
            let retry = interval.min(RENEWAL_RETRY);
            due = now + if self.renew_now() { interval } else { retry };
            self.lease = Some((interval, due));
        }
        due.duration_since(now).min(IDLE)
    }

    /// False when the routes do not answer.
    fn renew_now(&mut self) -> bool {
        let Ok(renewal) = self.routes.renew(self.gateway, self.gateway_epoch) else {
            return false;
        };
        self.counts.renewals.add(1);
        match renewal {
            Renewal::Standing => {}
            Renewal::Lost => {
                tracing::warn!("routes were lost: every connection asserts its own again");
                self.counts.losses.add(1);
                for shard in 0..self.replies.len() {
                    self.tell_shard(u16::try_from(shard).expect("shards are few"));
                }
                self.replies.iter_mut().for_each(Sender::flush);
            }
            Renewal::Ended => self.counts.ended.set(1),
        }
        true
    }

    fn tell_shard(&mut self, shard: u16) {
        let handle = Handle {
            shard,
            slot: 0,
            generation: 0,
        };
        let to = Address {
            gateway: self.gateway,
            gateway_epoch: self.gateway_epoch,
            handle,
            // Of nobody.
            user: UserId::new(1).expect("1 is a user"),
            device: DeviceId(0),
        };
        let body = ReplyBody::RoutesLost;
        self.reply(Reply { to, body });
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
        let placed = self.place(batch);
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

    /// Writes what the questions do to the routes: one call for those who come and for lost ones, then one for those who
    /// go. A connection comes before it goes, and whoever goes removes only its own route, so a new connection of its
    /// device that has come meanwhile stays; that it was told to displace somebody who is gone does no harm.
    fn place<'a>(&mut self, batch: &'a [Ask]) -> Vec<Placed<'a>> {
        let mut wanted = self.without_route(batch);
        let lost = wanted.len();
        wanted.extend(batch.iter().filter_map(Ask::opened));
        let puts = self.put(&wanted);
        for (at, (route, put)) in wanted.iter().zip(&puts).enumerate() {
            match put {
                Put::Older if at < lost => self.end(route.address),
                Put::Taken {
                    displaced: Some(old),
                } if old.address != route.address => self.end(old.address),
                Put::Older | Put::Taken { .. } => {}
            }
        }
        self.remove(batch);
        let mut opened = puts[lost..].iter();
        let placed = |ask: &'a Ask| Placed {
            older: matches!(ask, Ask::Open(_)) && opened.next() == Some(&Put::Older),
            ask,
        };
        batch.iter().map(placed).collect()
    }

    fn put(&self, routes: &[Route]) -> Vec<Put> {
        let mut puts = Vec::with_capacity(routes.len());
        if routes.is_empty() {
            return puts;
        }
        match self.routes.put(routes, &mut puts) {
            Ok(()) => self.counts.wrote(routes.len()),
            // Connections stand without a route meanwhile; their heartbeats put it.
            Err(_) => puts.resize(routes.len(), Put::Taken { displaced: None }),
        }
        puts
    }

    fn remove(&self, batch: &[Ask]) {
        let closed = batch.iter().filter_map(|ask| match ask {
            Ask::Close(route) => Some(*route),
            Ask::Open(_) | Ask::Page(_) | Ask::History(_) | Ask::Head(_) => None,
        });
        let closed: Vec<_> = closed.collect();
        // One that stays behind an error is stale: the gateway's slab says so to whoever uses it.
        if !closed.is_empty() && self.routes.remove(&closed).is_ok() {
            self.counts.wrote(closed.len());
        }
    }

    /// The kick of a displaced connection is a hint, and routes may be lost: each heartbeat makes good for both. Whoever
    /// was displaced is told so now; named are those who have no route any more, because of a newer connection that has
    /// ended or with all the others. A heartbeat whose route stands writes nothing.
    fn without_route(&mut self, batch: &[Ask]) -> Vec<Route> {
        let mut asserted: Vec<Route> = batch.iter().filter_map(Ask::asserted).collect();
        if asserted.is_empty() {
            return asserted;
        }
        asserted.sort_unstable_by_key(|route| route.address.user);
        let mut users: Vec<UserId> = asserted.iter().map(|route| route.address.user).collect();
        users.dedup();
        let mut found = Vec::new();
        if self.routes.find(&users, &mut found).is_err() {
            return Vec::new();
        }
        asserted.retain(|route| {
            let same = |other: &&Route| of_one_device(route, other);
            match found.iter().find(same) {
                Some(standing) if standing.address == route.address => false,
                Some(standing) if rank(standing) >= rank(route) => {
                    self.end(route.address);
                    false
                }
                Some(_) | None => true,
            }
        });
        asserted
    }

    /// Tells a displaced connection, on whichever gateway it is.
    fn end(&mut self, to: Address) {
        if (to.gateway, to.gateway_epoch) == (self.gateway, self.gateway_epoch) {
            let body = ReplyBody::Displaced;
            return self.reply(Reply { to, body });
        }
        if let Some(link) = &self.link {
            let mut link = link.lock().unwrap_or_else(PoisonError::into_inner);
            let body = DownlinkBody::Kick(Code::REPLACED);
            link.send(Downlink { to, body });
            link.flush();
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

fn of_one_device(a: &Route, b: &Route) -> bool {
    (a.address.user, a.address.device) == (b.address.user, b.address.device)
}

/// Who keeps a device: the higher.
fn rank(route: &Route) -> (u32, u32) {
    (route.attempt, route.address.gateway_epoch)
}

#[cfg(test)]
mod tests;
