//! From a configuration to running shards, and back. Called by the program, on its main thread; nothing here is on the
//! way of a message.

#![expect(
    clippy::disallowed_types,
    reason = "threads are started, told and counted here; shards themselves share nothing"
)]

use crate::budget::Budget;
use crate::config::Config;
use crate::counts::Board;
use crate::pages::{self, RouteCounts};
use crate::shard::{Driver, Inlets, Now, Order, Shard, Sleep};
use crate::tables::Tables;
use crate::wheel::TICK;
use millpond_backplane::link::{Downlink, Link};
use millpond_backplane::log::Appender;
use millpond_backplane::mesh::{self, Bell, Receiver};
use millpond_backplane::metrics::{Sample, Source};
use millpond_backplane::routes::Routes;
use millpond_backplane::store::Store;
use millpond_ring::{Doorbell, OpenError, Plan, Ring, Rings, listen};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Orders that one shard may have waiting.
const ORDERS_MAX: usize = 8;
/// How often [`Gateway::join`] looks.
const JOIN_POLL: Duration = Duration::from_millis(10);

/// What the shards speak to; one appender and one receiver of hints for each, in order.
#[derive(Debug)]
pub struct Seams {
    pub appenders: Vec<Box<dyn Appender>>,
    pub downlinks: Vec<Receiver<Downlink>>,
    pub store: Arc<dyn Store>,
    pub routes: Arc<dyn Routes>,
    /// To the connections of other gateways, which are told when one here has displaced them. `None` without others.
    pub link: Option<Box<dyn Link>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("a gateway needs at least one shard and one page reader")]
    NoShards,
    #[error("{0}")]
    Limits(&'static str),
    #[error("cannot listen on {address}: {error} (choose another address with --listen)")]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("{seams} {what} for {shards} shards: each shard needs its own")]
    Seams {
        what: &'static str,
        seams: usize,
        shards: usize,
    },
    #[error(
        "the limit of open files is {limit}: too few for any connection; raise it with ulimit -n"
    )]
    OpenFiles { limit: u64 },
    #[error("shard {shard}: {error}")]
    Ring { shard: u16, error: OpenError },
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Threads that did not end in time.
#[derive(Debug, thiserror::Error)]
#[error("{threads} threads of the gateway did not end in time")]
pub struct Unfinished {
    pub threads: usize,
}

/// Listens, but serves nobody yet: clients wait in the backlog.
#[derive(Debug)]
pub struct Prepared {
    config: Config,
    plan: Plan,
    budget: Budget,
    address: SocketAddr,
    listeners: Vec<OwnedFd>,
    bells: Vec<Arc<ShardBell>>,
}

/// Opens a listener and a doorbell for each shard.
///
/// # Errors
/// [`StartError`] says what was wanted, what was found, and what to type.
pub fn prepare(mut config: Config) -> Result<Prepared, StartError> {
    if config.shards == 0 || config.limits.page_readers == 0 {
        return Err(StartError::NoShards);
    }
    if let Some(fault) = config.limits.fault() {
        return Err(StartError::Limits(fault));
    }
    let limit = open_files_limit()?;
    let tables = Tables::of(&config.limits, config.shards, limit);
    let tables = tables.ok_or(StartError::OpenFiles { limit })?;
    config.limits.connections_max = tables.connections_max;
    let (listeners, address) = open_listeners(&config)?;
    let bells = (0..config.shards)
        .map(|_| Ok(Arc::new(ShardBell(Doorbell::new()?))))
        .collect::<io::Result<_>>()?;
    Ok(Prepared {
        budget: Budget::of(&config, &tables),
        plan: tables.plan,
        config,
        address,
        listeners,
        bells,
    })
}

fn open_files_limit() -> io::Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    Ok(match soft {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().map_err(io::Error::other)?,
        None => return Err(io::Error::other("/proc/self/limits names no open files")),
    })
}

/// The first listener may choose the port; the others share it.
fn open_listeners(config: &Config) -> Result<(Vec<OwnedFd>, SocketAddr), StartError> {
    let mut address = config.listen;
    let mut listeners = Vec::new();
    for _ in 0..config.shards {
        let failed = |error| StartError::Listen { address, error };
        let backlog = config.limits.accept_backlog;
        let listener = listen(address, backlog).map_err(failed)?;
        address = local_addr(&listener).map_err(failed)?;
        listeners.push(listener);
    }
    Ok((listeners, address))
}

fn local_addr(listener: &OwnedFd) -> io::Result<SocketAddr> {
    std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?).local_addr()
}

/// A shard's doorbell, for those who send to it and for itself.
#[derive(Debug)]
struct ShardBell(Doorbell);

impl Bell for ShardBell {
    fn ring(&self) {
        self.0.ring();
    }
}

impl Sleep for Arc<ShardBell> {
    fn bell_fd(&self) -> Option<RawFd> {
        Some(self.0.fd())
    }

    fn about_to_sleep(&self) {
        self.0.about_to_sleep();
    }

    fn awake(&self) {
        self.0.awake();
    }
}

impl Prepared {
    /// A bell per shard: for the queues whose receivers go into [`Seams::downlinks`].
    pub fn bells(&self) -> Vec<Arc<dyn Bell>> {
        self.bells
            .iter()
            .map(|bell| Arc::clone(bell) as _)
            .collect()
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn budget(&self) -> Budget {
        self.budget.clone()
    }

    /// Starts the page readers and the shards; returns when every ring stands.
    ///
    /// # Errors
    /// [`StartError`] when the seams do not fit the shards, or the kernel refuses a ring.
    pub fn start(self, seams: Seams) -> Result<Gateway, StartError> {
        let shards = usize::from(self.config.shards);
        check_count("appenders", seams.appenders.len(), shards)?;
        check_count("receivers of hints", seams.downlinks.len(), shards)?;
        let bells = self.bells();
        // An early one: the readers renew it from now on, and without it connections only have no live deliveries yet.
        let _unreachable = seams
            .routes
            .renew(self.config.gateway, self.config.gateway_epoch);
        let counts = Arc::new(RouteCounts::default());
        let (readers, desks) = pages::pool(
            &self.config,
            &bells,
            &seams.store,
            &seams.routes,
            seams.link,
            &counts,
        );
        let mut gateway = Gateway {
            orders: Mutex::default(),
            boards: Vec::new(),
            routes: Arc::clone(&counts),
            threads: pages::spawn(readers)?,
        };
        let (opened, results) = mpsc::channel();
        let numbered = (0..self.config.shards).zip(self.listeners).zip(self.bells);
        let parts = seams.appenders.into_iter().zip(seams.downlinks).zip(desks);
        for (((index, listener), bell), ((appender, downlinks), desk)) in numbered.zip(parts) {
            let (orders, ordered) = mesh::channel(ORDERS_MAX, Arc::clone(&bell) as _);
            let board = Arc::new(Board::new(index));
            let start = ShardStart {
                index,
                config: self.config.clone(),
                plan: self.plan,
                listener,
                bell,
                board: Arc::clone(&board),
                appender,
                downlinks,
                orders: ordered,
                desk,
            };
            gateway.boards.push(board);
            gateway.orders_mut().push(orders);
            let opened = opened.clone();
            let run = move || start.run(&opened);
            let name = format!("shard-{index}");
            let thread = std::thread::Builder::new().name(name).spawn(run)?;
            gateway.threads.push(thread);
        }
        drop(opened);
        let opened: Result<(), _> = results.into_iter().take(shards).collect();
        match opened {
            Ok(()) => Ok(gateway),
            Err(error) => {
                // The other shards serve nobody alone.
                gateway.drain(Duration::ZERO);
                Err(error)
            }
        }
    }
}

fn check_count(what: &'static str, seams: usize, shards: usize) -> Result<(), StartError> {
    if seams == shards {
        return Ok(());
    }
    Err(StartError::Seams {
        what,
        seams,
        shards,
    })
}

/// Everything one shard's thread begins with.
struct ShardStart {
    index: u16,
    config: Config,
    plan: Plan,
    listener: OwnedFd,
    bell: Arc<ShardBell>,
    board: Arc<Board>,
    appender: Box<dyn Appender>,
    downlinks: Receiver<Downlink>,
    orders: Receiver<Order>,
    desk: pages::Desk,
}

impl ShardStart {
    fn run(self, opened: &mpsc::Sender<Result<(), StartError>>) {
        let shard = self.index;
        let board = Arc::clone(&self.board);
        let clock = Clock::new();
        let driver = match self.open(&clock) {
            Ok(driver) => driver,
            Err(error) => {
                // Nobody waits any more when another shard has failed before.
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok(()));
        if let Err(error) = serve(driver, &clock, &board) {
            tracing::error!(shard, %error, "the ring failed; its clients are cut off");
        }
    }

    fn open(self, clock: &Clock) -> Result<Driver<Rings, Arc<ShardBell>>, StartError> {
        let shard = self.index;
        let ring = Rings::open(self.plan);
        let mut ring = ring.map_err(|error| StartError::Ring { shard, error })?;
        tracing::info!(shard, flags = %ring.flags(), "ring opened");
        let inlets = Inlets {
            listener: ring.adopt(self.listener)?,
            appender: self.appender,
            downlinks: self.downlinks,
            orders: self.orders,
            desk: self.desk,
        };
        let shard = Shard::new(self.index, self.config, inlets, clock.now());
        Ok(Driver::new(ring, self.bell, shard))
    }
}

/// Turns until the shard is drained.
fn serve(
    mut driver: Driver<Rings, Arc<ShardBell>>,
    clock: &Clock,
    board: &Board,
) -> io::Result<()> {
    let mut shown = clock.now().tick;
    let mut refused = None;
    while !driver.is_done() {
        driver.turn(|| clock.now())?;
        let tick = clock.now().tick;
        if tick != shown {
            shown = tick;
            tell_refusal(driver.ring(), &mut refused);
            show(&mut driver, board);
        }
    }
    show(&mut driver, board);
    Ok(())
}

fn show(driver: &mut Driver<Rings, Arc<ShardBell>>, board: &Board) {
    let (rings, counters) = (driver.ring().count(), driver.ring().counters());
    let counts = driver.counts();
    counts.numbers.rings = u64::try_from(rings).expect("a few");
    counts.numbers.enters = counters.enters;
    counts.numbers.overflows = counters.overflows;
    counts.numbers.no_slots = counters.no_slots;
    board.show(counts);
}

/// Once for each time that the kernel begins to refuse.
fn tell_refusal(rings: &Rings, told: &mut Option<OpenError>) {
    let refused = rings.refused().copied();
    if let (Some(error), None) = (refused, *told) {
        tracing::warn!(rings = rings.count(), %error, "no further ring; new clients are refused while the tables are full");
    }
    *told = refused;
}

/// Ticks by the monotonic clock, milliseconds by the wall's.
#[derive(Debug)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    fn now(&self) -> Now {
        let ticks = self.start.elapsed().as_millis() / TICK.as_millis();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            tick: u32::try_from(ticks).expect("34 years of ticks"),
            unix_ms: unix.map_or(0, |unix| {
                u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
            }),
        }
    }
}

/// The running gateway. Dropping it leaves its threads running: drain and join it.
pub struct Gateway {
    orders: Mutex<Vec<mesh::Sender<Order>>>,
    boards: Vec<Arc<Board>>,
    routes: Arc<RouteCounts>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards = self.boards.len();
        f.debug_struct("Gateway").field("shards", &shards).finish()
    }
}

impl Gateway {
    fn orders_mut(&mut self) -> &mut Vec<mesh::Sender<Order>> {
        self.orders.get_mut().expect("nobody panics with it")
    }

    /// Stops accepting, asks all clients to reconnect elsewhere within `spread`, and closes whoever is left then.
    pub fn drain(&self, spread: Duration) {
        let mut orders = self.orders.lock().expect("nobody panics with it");
        for shard in orders.iter_mut() {
            // A full queue already holds this order.
            let _ = shard.push(Order::Drain { spread });
            shard.flush();
        }
    }

    /// Whether a later epoch of this gateway has begun elsewhere, so that nobody finds this one any more.
    pub fn has_ended(&self) -> bool {
        self.routes.has_ended()
    }

    /// Whether every thread still runs; `false` before a drain means that a shard's clients are cut off for good.
    pub fn is_whole(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Where the counts can be read without the gateway at hand.
    pub fn metrics(&self) -> impl Source + 'static {
        Boards(self.boards.clone(), Arc::clone(&self.routes))
    }

    /// Waits until a drained gateway's threads have ended.
    ///
    /// # Errors
    /// [`Unfinished`] when some have not by `deadline` from now; they go on.
    pub fn join(mut self, deadline: Duration) -> Result<(), Unfinished> {
        let until = Instant::now() + deadline;
        loop {
            self.threads.retain(|thread| !thread.is_finished());
            let threads = self.threads.len();
            if threads == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Unfinished { threads });
            }
            std::thread::sleep(JOIN_POLL);
        }
    }
}

impl Source for Gateway {
    fn samples(&self, into: &mut Vec<Sample>) {
        self.metrics().samples(into);
    }
}

struct Boards(Vec<Arc<Board>>, Arc<RouteCounts>);

impl Source for Boards {
    fn samples(&self, into: &mut Vec<Sample>) {
        self.0.iter().for_each(|board| board.samples(into));
        self.1.samples(into);
    }
}
