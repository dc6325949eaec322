//! A shard that somebody else turns: the code of a running gateway without its threads, over any ring and in any time.
//! Called by simulations, which hold the clock and decide when a turn comes and when page readers work. It must never do
//! anything that a running gateway does not.

#![expect(
    clippy::disallowed_types,
    reason = "a seat holds both ends of what threads share in a running gateway"
)]

use crate::config::Config;
use crate::pages::{self, Reader, Reply};
use crate::shard::{Driver, Inlets, Now, Order, Shard, Sleep};
use crate::start::Seams;
use crate::wheel::TICK;
use millpond_backplane::mesh::{self, Bell};
use millpond_ring::{Ring, Slot};
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// One shard, its page readers, and nobody to wake.
#[derive(Debug)]
pub struct Seat<R> {
    driver: Driver<R, Awake>,
    readers: Vec<Reader>,
    orders: mesh::Sender<Order>,
    /// By reader: answers on their way.
    late: Vec<Vec<Reply>>,
}

/// What a seat takes for now.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since the seat was opened; never goes back.
    pub passed: Duration,
    /// By the wall's clock, which may jump.
    pub unix_ms: u64,
}

/// Nobody rings from another thread.
#[derive(Debug)]
struct Awake;

impl Sleep for Awake {
    fn bell_fd(&self) -> Option<RawFd> {
        None
    }
    fn about_to_sleep(&self) {}
    fn awake(&self) {}
}

impl Bell for Awake {
    fn ring(&self) {}
}

impl<R: Ring> Seat<R> {
    /// A shard on `ring`, which accepts from `listener`.
    ///
    /// # Panics
    /// When `seams` are not those of one shard.
    pub fn open(config: &Config, ring: R, listener: Slot, seams: Seams, at: Moment) -> Self {
        let bell: Arc<dyn Bell> = Arc::new(Awake);
        let one = "a seat is one shard";
        let Seams {
            mut appenders,
            mut downlinks,
            store,
            routes,
            link,
        } = seams;
        let _unreachable = routes.renew(config.gateway, config.gateway_epoch);
        let (orders, ordered) = mesh::channel(1, Arc::clone(&bell));
        let counts = Arc::default();
        let (readers, mut desks) = pages::pool(config, &[bell], &store, &routes, link, &counts);
        let inlets = Inlets {
            listener,
            appender: appenders.pop().expect(one),
            downlinks: downlinks.pop().expect(one),
            orders: ordered,
            desk: desks.pop().expect(one),
        };
        let shard = Shard::new(0, config.clone(), inlets, at.now());
        Self {
            driver: Driver::new(ring, Awake, shard),
            late: readers.iter().map(|_| Vec::new()).collect(),
            readers,
            orders,
        }
    }

    /// One turn of the shard.
    ///
    /// # Errors
    /// Those of the ring.
    pub fn turn(&mut self, at: Moment) -> io::Result<()> {
        self.driver.turn(|| at.now())
    }

    /// The page readers answer what is there; says whether there was anything.
    pub fn read_pages(&mut self) -> bool {
        let mut worked = false;
        for (reader, late) in self.readers.iter_mut().zip(&mut self.late) {
            worked |= !late.is_empty();
            reader.tell(std::mem::take(late));
            worked |= reader.work();
        }
        worked
    }

    /// The page readers read for what is there, but their answers are on their way until [`Seat::read_pages`].
    pub fn read_pages_late(&mut self) {
        for (reader, late) in self.readers.iter_mut().zip(&mut self.late) {
            if late.is_empty() {
                reader.read(late);
            }
        }
    }

    /// As [`crate::Gateway::drain`].
    pub fn drain(&mut self, spread: Duration) {
        // A full queue already holds this order.
        let _ = self.orders.push(Order::Drain { spread });
    }

    /// Drained: whoever turns it may stop.
    pub fn is_done(&self) -> bool {
        self.driver.is_done()
    }
}

impl Moment {
    fn now(self) -> Now {
        let ticks = self.passed.as_millis() / TICK.as_millis();
        Now {
            tick: u32::try_from(ticks).expect("34 years of ticks"),
            unix_ms: self.unix_ms,
        }
    }
}
