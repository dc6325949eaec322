//! A gateway of a run: the real shard over the ring's double, turned by hand. It can end at any step and come back
//! under the next epoch; whoever was connected then talks to nobody.

use crate::chance::Chance;
use crate::door::{Doors, Ended, Socket};
use crate::fault::{Fault, Faults};
use millpond_backplane::GatewayId;
use millpond_backplane::link::{Downlink, Link};
use millpond_backplane::log::Appender;
use millpond_backplane::mesh::{self, Bell};
use millpond_backplane::routes::Routes;
use millpond_backplane::store::Store;
use millpond_gateway::seat::{Moment, Seat};
use millpond_gateway::{Config, Keys, Limits, Seams};
use millpond_ring::{
    BufferId, BufferPlan, Completion, Double, Faults as RingFaults, Full, Net, Op, Peer, Ring,
    Setup, Slot, Token, Wait,
};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where all gateways of a run listen; each has a network of its own.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 7_400);
pub(crate) const SECRET: [u8; 32] = [7; 32];
/// Unix milliseconds at which runs begin.
pub(crate) const UNIX_MS: u64 = 1_800_000_000_000;
const LEASE_RENEWAL_US: u64 = 2_000_000;
const HINTS_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) id: u32,
    pub(crate) epoch: u32,
    seat: Option<Running>,
    limits: Limits,
    renew_at_us: u64,
    /// The wall's clock of this machine is off by so much.
    pub(crate) skew_ms: i64,
}

#[derive(Debug)]
struct Running {
    seat: Seat<Still>,
    net: Net,
    hints: mesh::Sender<Downlink>,
    opened_us: u64,
    /// Shared with the sockets of its clients.
    alive: Rc<Cell<bool>>,
}

/// What a gateway is connected to.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) appender: Box<dyn Appender>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) routes: Arc<dyn Routes>,
    pub(crate) link: Box<dyn Link>,
}

#[derive(Debug)]
struct Silent;

impl Bell for Silent {
    fn ring(&self) {}
}

impl Gate {
    pub(crate) fn new(id: u32, limits: Limits) -> Self {
        Self {
            id,
            epoch: 0,
            seat: None,
            limits,
            renew_at_us: 0,
            skew_ms: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.seat.is_some()
    }

    pub(crate) fn start(
        &mut self,
        behind: Behind,
        now_us: u64,
        faults: Faults,
        chance: &mut Chance,
    ) {
        assert!(self.seat.is_none(), "a gateway starts once");
        self.epoch += 1;
        let address = SocketAddr::from(ADDRESS);
        let mut config = Config::new(address, keys().clone());
        config.gateway = GatewayId(self.id);
        config.gateway_epoch = self.epoch;
        config.limits = self.limits;
        let net = Net::new(1 << (12 + chance.below(5)));
        net.advance(Duration::from_micros(now_us));
        let mut ring = Double::open(&net, &setup(&self.limits), RingFaults::NONE, chance.next());
        let listener = ring.listen(address).expect("a new table has room");
        ring.set_faults(ring_faults(faults, chance));
        let (hints, downlinks) = mesh::channel(HINTS_MAX, Arc::new(Silent));
        let seams = Seams {
            appenders: vec![behind.appender],
            downlinks: vec![downlinks],
            store: behind.store,
            routes: behind.routes,
            link: Some(behind.link),
        };
        let at = Moment {
            passed: Duration::ZERO,
            unix_ms: self.unix_ms(now_us),
        };
        self.seat = Some(Running {
            seat: Seat::open(&config, Still(ring), listener, seams, at),
            net,
            hints,
            opened_us: now_us,
            alive: Rc::new(Cell::new(true)),
        });
        self.renew_at_us = now_us + LEASE_RENEWAL_US;
    }

    /// Everybody who is connected talks to nobody from now on.
    pub(crate) fn crash(&mut self) {
        if let Some(running) = self.seat.take() {
            running.alive.set(false);
        }
    }

    pub(crate) fn unix_ms(&self, now_us: u64) -> u64 {
        (UNIX_MS + now_us / 1_000).saturating_add_signed(self.skew_ms)
    }

    pub(crate) fn renew(&mut self, routes: &dyn Routes, now_us: u64) {
        if self.is_up() && now_us >= self.renew_at_us {
            routes
                .renew(GatewayId(self.id), self.epoch)
                .expect("routes in memory answer");
            self.renew_at_us = now_us + LEASE_RENEWAL_US;
        }
    }

    /// Its lease is not renewed for so long.
    pub(crate) fn hold_lease(&mut self, until_us: u64) {
        self.renew_at_us = until_us;
    }

    pub(crate) fn turn(&mut self, now_us: u64) {
        let unix_ms = self.unix_ms(now_us);
        let Some(running) = &mut self.seat else {
            return;
        };
        let net_us = u64::try_from(running.net.now().as_micros()).expect("a short life");
        running
            .net
            .advance(Duration::from_micros(now_us.saturating_sub(net_us)));
        let at = Moment {
            passed: Duration::from_micros(now_us - running.opened_us),
            unix_ms,
        };
        running
            .seat
            .turn(at)
            .expect("the double's turns do not fail");
    }

    /// Whether there was anything to answer.
    pub(crate) fn read_pages(&mut self) -> bool {
        self.seat
            .as_mut()
            .is_some_and(|running| running.seat.read_pages())
    }

    /// The same, but the answers are on their way for a while.
    pub(crate) fn read_pages_late(&mut self) {
        if let Some(running) = &mut self.seat {
            running.seat.read_pages_late();
        }
    }

    pub(crate) fn drain(&mut self, spread: Duration) {
        if let Some(running) = &mut self.seat {
            running.seat.drain(spread);
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.seat
            .as_ref()
            .is_some_and(|running| running.seat.is_done())
    }

    fn connect(&self) -> Option<Line> {
        let from = SocketAddr::from(([127, 0, 0, 2], 1));
        let running = self.seat.as_ref()?;
        let peer = running.net.connect(SocketAddr::from(ADDRESS), from).ok()?;
        let alive = Rc::clone(&running.alive);
        Some(Line { peer, alive })
    }

    /// A hint that finds no room is lost, as hints may be.
    pub(crate) fn hint(&mut self, hint: Downlink) {
        if let Some(running) = &mut self.seat {
            let _ = running.hints.push(hint);
        }
    }
}

impl Doors for Vec<Gate> {
    fn count(&self) -> usize {
        self.len()
    }

    fn connect(&mut self, place: usize) -> Option<Box<dyn Socket>> {
        let line = self[place].connect()?;
        Some(Box::new(line))
    }
}

/// A client's end of a connection over the double.
#[derive(Debug)]
struct Line {
    peer: Peer,
    alive: Rc<Cell<bool>>,
}

impl Socket for Line {
    fn read_at_most(&mut self, most: usize) -> Result<Vec<u8>, Ended> {
        self.peer.read_at_most(most).map_err(|_| Ended)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Ended> {
        self.peer.write(bytes).map_err(|_| Ended)
    }

    fn reset(self: Box<Self>) {
        self.peer.reset();
    }

    fn is_answered(&self) -> bool {
        self.alive.get()
    }
}

/// Small bounds, so that they are met.
pub(crate) fn limits(chance: &mut Chance) -> Limits {
    Limits {
        connections_max: 48,
        accepts_outstanding: 4,
        handshakes_max: 32,
        hot_max: 4,
        outbox_room_bytes: (6 * 1024) << chance.below(4),
        outbox_bytes_max: 256 * 1024,
        send_window: u8::try_from(4 + chance.below(60)).expect("below 64"),
        inbox_window_default: 16,
        page_readers: 1,
        page_asks_max: 4 + chance.index(60),
        page_rows_max: 1 + chance.index(24),
        page_bytes_max: (2 * 1024) << chance.below(4),
        histories_max: 2,
        downlinks_per_turn: 8 + chance.index(256),
        ..Limits::default()
    }
}

fn setup(limits: &Limits) -> Setup {
    Setup {
        entries: 128,
        completions: 512,
        slots: limits.connections_max + 1,
        buffers: BufferPlan {
            count: 16,
            bytes: 1_024,
        },
    }
}

fn ring_faults(faults: Faults, chance: &mut Chance) -> RingFaults {
    if !faults.has(Fault::Kernel) {
        return RingFaults::NONE;
    }
    let mut rough = *chance.of(&[RingFaults::ROUGH, RingFaults::WILD]);
    if rough.errno > 0 {
        rough.errno = 2;
    }
    rough
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys::hs256(&SECRET, None).expect("long enough"))
}

/// The double without its way of waiting: time is the world's.
#[derive(Debug)]
struct Still(Double);

impl Ring for Still {
    fn push(&mut self, token: Token, op: Op) -> Result<(), Full> {
        self.0.push(token, op)
    }
    fn turn(&mut self, _: Wait) -> io::Result<()> {
        self.0.turn(Wait::Not)
    }
    fn pop(&mut self) -> Option<Completion> {
        self.0.pop()
    }
    fn buffer(&self, id: BufferId) -> &[u8] {
        self.0.buffer(id)
    }
    fn give_back(&mut self, id: BufferId) {
        self.0.give_back(id);
    }
    fn adopt(&mut self, socket: OwnedFd) -> io::Result<Slot> {
        self.0.adopt(socket)
    }
    fn buffers_free(&self) -> usize {
        self.0.buffers_free()
    }
}
