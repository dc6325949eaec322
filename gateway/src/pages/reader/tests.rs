//! Of one device on two gateways, one stays; the other is told, or finds out at its next heartbeat.

use super::*;
use crate::pages::{Hail, OpenAsk};
use crate::tests::mill::{keys, user};
use millpond_backplane::memory::{Atomicity, MemoryRoutes, MemoryStore, RecordingLink};
use millpond_backplane::store::Durability;
use millpond_backplane::{Handle, mesh::ThreadBell};
use millpond_wire::DeviceId;

struct Elsewhere {
    routes: Arc<MemoryRoutes>,
    link: RecordingLink,
}

struct Here {
    reader: Reader,
    desk: Desk,
    gateway: GatewayId,
}

impl Elsewhere {
    fn new() -> Self {
        Self {
            routes: Arc::new(MemoryRoutes::new(Duration::from_secs(60))),
            link: RecordingLink::default(),
        }
    }

    fn gateway(&self, id: u32) -> Here {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), keys().clone());
        config.gateway = GatewayId(id);
        config.limits.page_readers = 1;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Durability::Sync, Atomicity::Unit));
        let routes: Arc<dyn Routes> = self.routes.clone();
        routes.renew(config.gateway, config.gateway_epoch);
        let bell: Arc<dyn Bell> = Arc::new(ThreadBell::default());
        let link = Some(Box::new(self.link.clone()) as _);
        let (mut readers, mut desks) = pool(&config, &[bell], &store, &routes, link);
        Here {
            reader: readers.pop().unwrap(),
            desk: desks.pop().unwrap(),
            gateway: config.gateway,
        }
    }

    fn renew(&self, gateways: &[&Here]) {
        for here in gateways {
            self.routes.renew(here.gateway, here.reader.gateway_epoch);
        }
    }

    fn kicked(&self) -> Vec<GatewayId> {
        let kick = |sent: Downlink| {
            assert_eq!(sent.body, DownlinkBody::Kick(Code::REPLACED));
            sent.to.gateway
        };
        self.link.take().into_iter().map(kick).collect()
    }

    fn standing(&self) -> Vec<Route> {
        let mut found = Vec::new();
        self.routes.find(&[user(1)], &mut found);
        found
    }
}

impl Here {
    fn route(&self, attempt: u32) -> Route {
        let handle = Handle {
            shard: 0,
            slot: attempt,
            generation: 0,
        };
        let address = Address {
            gateway: self.gateway,
            gateway_epoch: self.reader.gateway_epoch,
            handle,
            user: user(1),
            device: DeviceId(5),
        };
        Route { address, attempt }
    }

    /// Asks, and says what is answered.
    fn ask(&mut self, ask: Ask) -> Vec<ReplyBody> {
        self.desk.ask(ask).unwrap();
        self.desk.flush();
        self.reader.work();
        std::iter::from_fn(|| self.desk.reply())
            .map(|reply| reply.body)
            .collect()
    }

    fn open(&mut self, attempt: u32) -> Vec<ReplyBody> {
        let hail = Hail {
            window: 1,
            background: false,
            token_ttl_s: 60,
            resume: None,
        };
        let route = self.route(attempt);
        self.ask(Ask::Open(OpenAsk { route, hail }))
    }

    fn heartbeat(&mut self, attempt: u32) -> Vec<ReplyBody> {
        self.ask(Ask::Head(self.route(attempt)))
    }
}

fn is_displaced(replies: &[ReplyBody]) -> bool {
    let displaced = |reply: &ReplyBody| matches!(reply, ReplyBody::Displaced);
    replies.iter().any(displaced)
}

#[test]
fn whoever_is_displaced_on_another_gateway_is_told() {
    let world = Elsewhere::new();
    let (mut one, mut other) = (world.gateway(1), world.gateway(2));
    one.open(7);
    other.open(8);
    assert_eq!(world.kicked(), [GatewayId(1)]);
    assert_eq!(world.standing(), [other.route(8)]);
}

#[test]
fn whoever_missed_the_kick_is_told_at_the_next_heartbeat() {
    let world = Elsewhere::new();
    let (mut one, mut other) = (world.gateway(1), world.gateway(2));
    one.open(7);
    other.open(8);
    assert!(is_displaced(&one.heartbeat(7)));
    assert!(!is_displaced(&other.heartbeat(8)));
    assert_eq!(world.standing(), [other.route(8)]);
}

#[test]
fn of_equal_attempts_the_later_stays_and_heartbeats_do_not_change_that() {
    let world = Elsewhere::new();
    let (mut one, mut other) = (world.gateway(1), world.gateway(2));
    one.open(7);
    other.open(7);
    assert_eq!(world.kicked(), [GatewayId(1)]);
    assert!(is_displaced(&one.heartbeat(7)));
    assert!(world.kicked().is_empty());
    assert_eq!(world.standing(), [other.route(7)]);
}

#[test]
fn whoever_outlives_the_newer_one_gets_the_route_again() {
    let world = Elsewhere::new();
    let (mut one, mut other) = (world.gateway(1), world.gateway(2));
    one.open(7);
    other.open(8);
    other.ask(Ask::Close(other.route(8)));
    assert!(world.standing().is_empty());
    assert!(!is_displaced(&one.heartbeat(7)));
    assert_eq!(world.standing(), [one.route(7)]);
}

#[test]
fn routes_that_were_lost_come_back_to_the_newer_one() {
    let world = Elsewhere::new();
    let (mut one, mut other) = (world.gateway(1), world.gateway(2));
    one.open(6);
    other.open(8);
    world.kicked();
    world.routes.forget();
    world.renew(&[&one, &other]);
    one.heartbeat(6);
    other.heartbeat(8);
    assert_eq!(world.kicked(), [GatewayId(1)]);
    assert_eq!(world.standing(), [other.route(8)]);
}
