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
    counts: Arc<RouteCounts>,
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
        routes.renew(config.gateway, config.gateway_epoch).unwrap();
        let bell: Arc<dyn Bell> = Arc::new(ThreadBell::default());
        let link = Some(Box::new(self.link.clone()) as _);
        let counts = Arc::new(RouteCounts::default());
        let (mut readers, mut desks) = pool(&config, &[bell], &store, &routes, link, &counts);
        Here {
            counts,
            reader: readers.pop().unwrap(),
            desk: desks.pop().unwrap(),
            gateway: config.gateway,
        }
    }

    fn renew(&self, gateways: &[&Here]) {
        for here in gateways {
            self.routes
                .renew(here.gateway, here.reader.gateway_epoch)
                .unwrap();
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
        self.routes.find(&[user(1)], &mut found).unwrap();
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

#[test]
fn a_heartbeat_writes_nothing_while_its_route_stands() {
    let world = Elsewhere::new();
    let mut here = world.gateway(1);
    let counted = |here: &Here| (here.counts.writes.value(), here.counts.batches.value());
    here.open(7);
    assert_eq!(counted(&here), (1, 1));
    for _ in 0..10 {
        here.heartbeat(7);
    }
    assert_eq!(counted(&here), (1, 1));
    world.routes.forget();
    world.renew(&[&here]);
    here.heartbeat(7);
    assert_eq!(counted(&here), (2, 2), "a lost route is written again");
    here.ask(Ask::Close(here.route(7)));
    assert_eq!(counted(&here), (3, 3));
    assert_eq!(world.standing(), Vec::new());
}

#[test]
fn those_who_come_and_go_together_are_two_writes() {
    let world = Elsewhere::new();
    let mut here = world.gateway(1);
    here.open(7);
    let (old, new) = (here.route(7), here.route(8));
    let hail = Hail {
        window: 1,
        background: false,
        token_ttl_s: 60,
        resume: None,
    };
    here.desk.ask(Ask::Close(old)).unwrap();
    let replies = here.ask(Ask::Open(OpenAsk { route: new, hail }));
    let opened = |reply: &ReplyBody| matches!(reply, ReplyBody::Opened(opened) if !opened.older);
    assert!(replies.iter().any(opened), "{replies:?}");
    assert_eq!(world.standing(), vec![new], "only its own route went");
    assert_eq!(here.counts.writes.value(), 3);
    assert_eq!(here.counts.batches.value(), 3);
    here.desk
        .ask(Ask::Open(OpenAsk { route: old, hail }))
        .unwrap();
    let replies = here.ask(Ask::Head(new));
    let older = |reply: &ReplyBody| matches!(reply, ReplyBody::Opened(opened) if opened.older);
    assert!(replies.iter().any(older), "an old attempt that comes late");
    assert_eq!(world.standing(), vec![new]);
}
