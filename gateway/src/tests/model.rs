//! A shard over the ring's double: clients that do everything right and clients that do nothing right, short reads and
//! sends, errors, no buffers, late and reordered completions, all from one seed. At the end every good client has its
//! answers and its inbox, nobody saw a byte that was not his, and nothing is left in the kernel or the shard.
//!
//! `MILLPOND_SEED=N cargo test -p millpond-gateway one_seed` runs seed N again; `MILLPOND_SEEDS=N cargo test -p
//! millpond-gateway a_thousand_seeds` runs so many instead of a thousand.

mod bad;
mod chance;
mod good;

use super::mill::{Mill, keys, user};
use crate::config::{Config, Limits};
use crate::pages::{self, Reader};
use crate::shard::{Driver, Inlets, Now, Order, Shard, Sleep};
use crate::wheel::TICK;
use bad::Bad;
use chance::Chance;
use good::Good;
use millpond_backplane::link::{Downlink, DownlinkBody};
use millpond_backplane::mesh::{self, Bell};
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_ring::{BufferPlan, Double, Faults, Net, Peer, Setup};
use millpond_wire::{Ack, AckStatus, DeviceId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

/// Seeds that every run of the gate tries.
const SEEDS: u64 = 1_000;
/// Turns with faults, and turns by which a quiet world has everything done.
const ROUGH_TURNS: usize = 120;
const QUIET_TURNS_MAX: usize = 6_000;
const CLIENTS: u64 = 4;
const LARGE_FRAME_BYTES_MAX: usize = 64 * 1024;
const UNIX_MS: u64 = 1_800_000_000_000;

#[test]
fn a_thousand_seeds() {
    let mut happened = BTreeMap::new();
    let seeds = std::env::var("MILLPOND_SEEDS").map_or(SEEDS, |count| count.parse().unwrap());
    for seed in 0..seeds {
        for (name, count) in run(seed) {
            *happened.entry(name).or_insert(0) += count;
        }
    }
    // A run in which nothing goes wrong proves nothing: the bounds and the faults have to be met.
    let missed: Vec<_> = MET
        .iter()
        .filter(|name| happened[*name] < MET_MIN)
        .collect();
    assert!(missed.is_empty(), "too seldom: {missed:?} in {happened:#?}");
}

/// What has to happen in a thousand seeds, and how often.
const MET_MIN: u64 = 10;
const MET: [&str; 23] = [
    "evicted",
    "gateway_accepts_failed_total",
    "gateway_appends_refused_total",
    "gateway_no_buffers_total",
    "gateway_not_here_total",
    "gateway_page_asks_refused_total",
    "gateway_promoted_total",
    "gateway_routes_late_total",
    "gateway_writes_blocked_total",
    "handshake_timeout",
    "idle",
    "kicked",
    "lagging",
    "malformed",
    "no_preface",
    "peer_closed",
    "replaced",
    "socket_failed",
    "token_invalid",
    "trickling",
    "unavailable",
    "draining",
    "draining_early",
];

#[test]
fn one_seed() {
    if let Ok(seed) = std::env::var("MILLPOND_SEED") {
        run(seed.parse().unwrap());
    }
}

/// A client that floods, then only reads, gets every answer: what waited for room is taken up without another byte.
#[test]
fn a_flood_is_answered_without_another_byte() {
    for seed in 0..200 {
        let _announce = Announce(seed);
        let mut world = World::new(seed);
        world.driver.parts().0.set_faults(Faults::NONE);
        let frame_bytes = 40 + world.chance.below(200);
        let flood = bad::flood(300, frame_bytes);
        let from = SocketAddr::from(([127, 0, 0, 3], 1));
        let mut peer = world.net.connect(world.address, from).unwrap();
        let (mut written, mut answered) = (0, 0);
        let mut turns = 0;
        while answered <= 300 * frame_bytes {
            turns += 1;
            assert!(turns < 3_000, "{answered} bytes of answers");
            world.turn();
            written += peer.write(&flood[written..]).unwrap();
            if written == flood.len() || world.chance.in_ten(1) {
                let most = 1 + world.chance.below(3_000);
                let read = peer.read_at_most(most);
                let counts = world.driver.counts();
                answered += read
                    .unwrap_or_else(|gone| panic!("{gone:?}: {counts:?}"))
                    .len();
            }
        }
    }
}

/// What nobody reads stays within the bound of the shard, and whoever reads his answers gets them all the same.
#[test]
fn those_who_read_nothing_take_no_more_than_the_shard_gives() {
    let mut reached = 0;
    for seed in 0..50 {
        let _announce = Announce(seed);
        let mut chance = Chance::new(seed);
        let limits = Limits {
            outboxes_bytes_max: 16 * 1024,
            ..limits(&mut chance)
        };
        let mut world = World::of(seed, chance, limits);
        world.driver.parts().0.set_faults(Faults::NONE);
        let frame_bytes = 204;
        let flood = |device| bad::flood_of(DeviceId(device), 300, 200);
        let mut peers: Vec<_> = (0..8)
            .map(|device| (world.connect(), flood(device), 0))
            .collect();
        let (mut answered, mut turns, mut most) = (0, 0, 0);
        while answered <= 300 * frame_bytes {
            turns += 1;
            assert!(turns < 4_000, "{answered} bytes of answers");
            world.turn();
            for (peer, flood, written) in &mut peers {
                *written += peer.write(&flood[*written..]).unwrap_or(0);
            }
            answered += peers[0].0.read().unwrap().len();
            let counts = world.driver.counts().named();
            let waiting = counts.filter(|(name, _)| *name == "gateway_outbox_bytes");
            most = waiting.fold(most, |most, (_, bytes)| bytes.max(most));
        }
        let bound = limits.outboxes_bytes_max + peers.len() * frame_bytes;
        assert!(most <= bound as u64, "{most} bytes wait");
        reached += u64::from(most >= limits.outboxes_bytes_max as u64);
    }
    assert!(reached >= 10, "the bound is met in {reached} seeds");
}

/// A frame that comes too slowly ends its connection, however much is delivered to it meanwhile.
#[test]
fn deliveries_buy_an_unfinished_frame_no_time() {
    for seed in 0..20 {
        let _announce = Announce(seed);
        let mut world = World::new(seed);
        world.driver.parts().0.set_faults(Faults::NONE);
        let mut peer = world.welcomed(&bad::hello_and_a_message());
        let to = *world.mill.seen().first().expect("it has sent something");
        let mut unfinished = vec![0x10, 0xff, 0x3f];
        let mut written = 0;
        for second in 0.. {
            assert!(second < 15, "it trickles for ever");
            unfinished.push(0);
            written += peer.write(&unfinished[written..]).unwrap_or(0);
            world.hint_ack(to);
            world.net.advance(Duration::from_secs(1));
            (0..4).for_each(|_| world.turn());
            let _ = peer.read();
            let trickling = |(name, count)| name == "trickling" && count == 1;
            if world.driver.counts().named().any(trickling) {
                break;
            }
        }
    }
}

fn run(seed: u64) -> Vec<(&'static str, u64)> {
    let _announce = Announce(seed);
    let mut world = if seed.is_multiple_of(10) {
        World::large(seed)
    } else {
        World::new(seed)
    };
    world.live();
    world.finish();
    world.end()
}

/// Says which seed it was when a run panics.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("replay: MILLPOND_SEED={seed} cargo test -p millpond-gateway one_seed");
        }
    }
}

struct NoBell;

impl Sleep for NoBell {
    fn bell_fd(&self) -> Option<RawFd> {
        None
    }
    fn about_to_sleep(&self) {}
    fn awake(&self) {}
}

#[derive(Debug)]
struct Silent;

impl Bell for Silent {
    fn ring(&self) {}
}

/// Everything small, so that every bound is met.
fn limits(chance: &mut Chance) -> Limits {
    Limits {
        connections_max: 12,
        accepts_outstanding: 3,
        handshakes_max: 8,
        hot_max: 2,
        outbox_room_bytes: 6 * 1024,
        outbox_bytes_max: 80 * 1024,
        outboxes_bytes_max: 64 * 1024,
        partial_bytes_max: 12 * 1024,
        frame_bytes_max: 8 * 1024,
        send_window: 6,
        inbox_window_default: 4,
        page_readers: 1,
        page_asks_max: 6,
        page_rows_max: 1 + chance.below(6),
        page_bytes_max: 2 * 1024,
        histories_max: 2,
        downlinks_per_turn: 8,
        ..Limits::default()
    }
}

/// The largest messages there may be, and room for a few.
fn large_limits(chance: &mut Chance) -> Limits {
    Limits {
        outbox_room_bytes: 96 * 1024,
        outbox_bytes_max: 512 * 1024,
        outboxes_bytes_max: 512 * 1024,
        partial_bytes_max: 512 * 1024,
        frame_bytes_max: LARGE_FRAME_BYTES_MAX,
        page_bytes_max: 60 * 1024,
        downlinks_per_turn: 64,
        ..limits(chance)
    }
}

fn setup(limits: &Limits, large: bool) -> Setup {
    let (count, bytes) = if large { (16, 4_096) } else { (4, 256) };
    Setup {
        entries: 64,
        completions: 256,
        slots: limits.connections_max + 1,
        buffers: BufferPlan { count, bytes },
    }
}

struct World {
    chance: Chance,
    net: Net,
    driver: Driver<Double, NoBell>,
    orders: mesh::Sender<Order>,
    reader: Reader,
    mill: std::sync::Arc<Mill>,
    address: SocketAddr,
    good: Vec<Good>,
    bad: Vec<Bad>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let limits = limits(&mut chance);
        Self::of(seed, chance, limits)
    }

    /// With messages of every size.
    fn large(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let limits = large_limits(&mut chance);
        Self::of(seed, chance, limits)
    }

    fn of(seed: u64, mut chance: Chance, limits: Limits) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 7_400));
        let mut config = Config::new(address, keys());
        config.limits = limits;
        let large = limits.frame_bytes_max == LARGE_FRAME_BYTES_MAX;
        let setup = setup(&config.limits, large);
        let bits = if large { 16 } else { 9 + chance.below(6) };
        let net = Net::new(1 << bits);
        let mut ring = Double::open(&net, &setup, Faults::NONE, seed);
        let listener = ring.listen(address).unwrap();
        ring.set_faults(*chance.of(&[Faults::NONE, Faults::ROUGH, Faults::WILD]));
        let bell: std::sync::Arc<dyn Bell> = std::sync::Arc::new(Silent);
        let (link, downlinks) = mesh::channel(if large { 64 } else { 16 }, bell.clone());
        let (orders, ordered) = mesh::channel(4, bell.clone());
        let mill = Mill::new(vec![link]);
        let seams = (mill.store.clone() as _, mill.routes.clone() as _);
        let counts = std::sync::Arc::default();
        let (mut readers, mut desks) =
            pages::pool(&config, &[bell], &seams.0, &seams.1, None, &counts);
        let reader = readers.remove(0);
        millpond_backplane::routes::Routes::renew(&*mill.routes, GatewayId(1), 1).unwrap();
        let inlets = Inlets {
            listener,
            appender: mill.appender(if large { 64 } else { 1 + chance.below(5) }),
            downlinks,
            orders: ordered,
            desk: desks.remove(0),
        };
        let start = Now {
            tick: 0,
            unix_ms: UNIX_MS,
        };
        let driver = Driver::new(ring, NoBell, Shard::new(0, config, inlets, start));
        Self {
            good: (1..=CLIENTS)
                .map(|id| (user(id), DeviceId(1)))
                .chain([(user(1), DeviceId(2))])
                .map(|who| Good::new(who, CLIENTS, large, &mut chance))
                .collect(),
            bad: (0..3).map(Bad::new).collect(),
            chance,
            net,
            driver,
            orders,
            reader,
            mill,
            address,
        }
    }

    fn turn(&mut self) {
        let net = self.net.clone();
        self.driver.turn(|| now(&net)).unwrap();
        if self.chance.in_ten(7) {
            self.reader.work();
        }
    }

    /// Faults, and everybody at once.
    fn live(&mut self) {
        for _ in 0..ROUGH_TURNS {
            self.turn();
            for good in &mut self.good {
                good.step(&self.net, self.address, &mut self.chance);
            }
            for bad in &mut self.bad {
                bad.step(&self.net, self.address, &mut self.chance);
            }
            if self.chance.in_ten(3) {
                self.lie();
            }
            if self.chance.in_ten(1) {
                let most = if self.chance.in_ten(1) { 60_000 } else { 3_000 };
                let ms = self.chance.below(most);
                self.net.advance(Duration::from_millis(ms as u64));
            }
        }
    }

    fn connect(&self) -> Peer {
        let from = SocketAddr::from(([127, 0, 0, 4], 1));
        self.net.connect(self.address, from).unwrap()
    }

    /// A connection that has said these bytes, and got something back.
    fn welcomed(&mut self, bytes: &[u8]) -> Peer {
        let mut peer = self.connect();
        let (mut written, mut turns) = (0, 0);
        while written < bytes.len() || self.mill.seen().is_empty() {
            written += peer.write(&bytes[written..]).unwrap();
            self.turn();
            let _ = peer.read();
            turns += 1;
            assert!(turns < QUIET_TURNS_MAX, "{written} bytes written");
        }
        peer
    }

    /// A hint for a connection that is somebody else's, or nobody's, by now.
    fn lie(&mut self) {
        let gone = self.mill.gone();
        let to = if gone.is_empty() || self.chance.in_ten(5) {
            self.stranger()
        } else {
            *self.chance.of(&gone)
        };
        self.hint_ack(to);
    }

    fn hint_ack(&mut self, to: Address) {
        let body = DownlinkBody::Ack(Ack {
            client_msg_id: good::NEVER_SENT,
            status: AckStatus::New,
            seq: 1,
            server_ms: 1,
        });
        self.mill.hint(Downlink { to, body });
    }

    /// Nobody's address; most of it is somebody's.
    fn stranger(&mut self) -> Address {
        let right = self.chance.below(4);
        Address {
            gateway: GatewayId(if right == 0 { 2 } else { 1 }),
            gateway_epoch: if right == 1 { 2 } else { 1 },
            handle: Handle {
                shard: u16::from(right == 2),
                slot: u32::try_from(self.chance.below(20)).unwrap(),
                generation: u32::try_from(self.chance.below(6)).unwrap(),
            },
            user: user(100),
            device: DeviceId(1),
        }
    }

    /// No faults any more: every good client gets what it asked for.
    fn finish(&mut self) {
        self.bad.clear();
        self.driver.parts().0.set_faults(Faults::NONE);
        self.good.iter_mut().for_each(Good::ask_no_more);
        for _ in 0..QUIET_TURNS_MAX {
            self.turn();
            let mut done = true;
            for good in &mut self.good {
                good.step(&self.net, self.address, &mut self.chance);
                let user = good.user();
                let acked = self.mill.acked(user, good.device()).unwrap_or(0);
                done &= good.is_done(self.mill.head(user), acked);
            }
            if done {
                return;
            }
        }
        panic!("not done: {:#?}", self.good);
    }

    /// Drained, the shard and the kernel are empty.
    fn end(mut self) -> Vec<(&'static str, u64)> {
        let _ = self.orders.push(Order::Drain {
            spread: Duration::ZERO,
        });
        let mut turns = 0;
        while !self.driver.is_done() {
            self.turn();
            self.reader.work();
            // Whoever was waited for reads to the end.
            self.good.iter_mut().for_each(Good::read_away);
            turns += 1;
            assert!(turns < QUIET_TURNS_MAX, "the drain does not end");
        }
        let (ring, shard) = self.driver.parts();
        shard.assert_empty();
        assert_eq!(ring.violations(), []);
        assert_eq!(
            self.mill.routes(),
            [],
            "routes of connections that are gone"
        );
        let leaks = ring.leaks();
        assert!(leaks.is_none(), "{leaks:?}");
        self.driver.counts().named().collect()
    }
}

fn now(net: &Net) -> Now {
    let passed = net.now();
    Now {
        tick: u32::try_from(passed.as_millis() / TICK.as_millis()).unwrap(),
        unix_ms: UNIX_MS + u64::try_from(passed.as_millis()).unwrap(),
    }
}
