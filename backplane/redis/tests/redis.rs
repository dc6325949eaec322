//! Routes in a real Redis, and in a cluster of three, keep the promises of the seam.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::conformance::{routes_suite, user};
use millpond_backplane::link::Directory;
use millpond_backplane::memory::ROUTES_PER_USER_MAX;
use millpond_backplane::routes::{Put, Route, Routes};
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_redis::{Options, RedisRoutes};
use millpond_testbed::Backends;
use millpond_wire::DeviceId;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(2);

/// An empty table: each has keys of its own.
fn options(address: &str, cluster: bool) -> Options {
    static TABLES: AtomicU32 = AtomicU32::new(0);
    let nodes = address.split(',').map(|node| format!("redis://{node}"));
    Options {
        cluster,
        prefix: format!("t{}", TABLES.fetch_add(1, Ordering::Relaxed)),
        buckets_log2: 4,
        lease: LEASE,
        lease_cache: Duration::ZERO,
        timeout: Duration::from_secs(2),
        ..Options::new(nodes.collect())
    }
}

fn conforms(name: &str) {
    let Some(backends) = Backends::start_or_skip(&[name]) else {
        return;
    };
    let address = backends.address(name);
    let make = || RedisRoutes::new(&options(address, name == "redis-cluster")).unwrap();
    routes_suite(make, |_| std::thread::sleep(LEASE + LEASE / 4));
}

#[test]
fn one_server_conforms() {
    conforms("redis");
}

#[test]
fn a_cluster_conforms() {
    conforms("redis-cluster");
}

fn route(id: u64, device: u64, attempt: u32) -> Route {
    let handle = Handle {
        shard: 1,
        slot: attempt,
        generation: 9,
    };
    let address = Address {
        gateway: GatewayId(3),
        gateway_epoch: 5,
        handle,
        user: user(id),
        device: DeviceId(device),
    };
    Route { address, attempt }
}

/// One more device than a user may have displaces the one with the oldest attempt.
#[test]
fn a_user_has_a_bounded_number_of_devices() {
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let routes = RedisRoutes::new(&options(backends.address("redis"), false)).unwrap();
    routes.renew(GatewayId(3), 5).unwrap();
    let most = ROUTES_PER_USER_MAX as u64;
    for device in 1..=most {
        let first = Put::Taken { displaced: None };
        assert_eq!(routes.put_one(route(1, device, 100)).unwrap(), first);
    }
    routes.put_one(route(1, 7, 101)).unwrap();
    routes.put_one(route(1, 9, 99)).unwrap();
    let Put::Taken { displaced } = routes.put_one(route(1, most + 1, 50)).unwrap() else {
        panic!("a device of its own is never the older one");
    };
    assert_eq!(displaced.unwrap().attempt, 100);
    let mut found = Vec::new();
    routes.find(&[user(1)], &mut found).unwrap();
    assert_eq!(found.len() as u64, most);
}

/// Two gateways fight for a device from two threads: at the end one has it, and every other was told or refused.
#[test]
fn gateways_that_fight_for_a_device_agree() {
    const ATTEMPTS: u32 = 300;
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let options = options(backends.address("redis"), false);
    let fight = |parity: u32| {
        let routes = RedisRoutes::new(&options).unwrap();
        routes.renew(GatewayId(3), 5).unwrap();
        let attempts = (1..=ATTEMPTS).filter(|attempt| attempt % 2 == parity);
        let mut gone = Vec::new();
        for attempt in attempts {
            match routes.put_one(route(1, 1, attempt)).unwrap() {
                Put::Taken { displaced } => gone.extend(displaced.map(|old| old.attempt)),
                Put::Older => gone.push(attempt),
            }
        }
        gone
    };
    let mut gone = std::thread::scope(|scope| {
        let other = scope.spawn(|| fight(1));
        let mut gone = fight(0);
        gone.extend(other.join().unwrap());
        gone
    });
    gone.sort_unstable();
    assert_eq!(gone, (1..ATTEMPTS).collect::<Vec<_>>());
}

/// A server that is stopped fails calls soon, and the same driver finds the next one on its port.
#[test]
fn a_server_that_goes_and_comes_back_needs_no_restart() {
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let address = backends.address("redis").to_owned();
    let mut options = options(&address, false);
    options.timeout = Duration::from_millis(200);
    options.pause = Duration::from_millis(50);
    let routes = RedisRoutes::new(&options).unwrap();
    routes.renew(GatewayId(3), 5).unwrap();
    routes.put_one(route(1, 1, 1)).unwrap();
    drop(backends);
    let begun = Instant::now();
    let mut found = Vec::new();
    assert!(routes.find(&[user(1)], &mut found).is_err());
    for _ in 0..1_000 {
        assert!(routes.put_one(route(1, 1, 2)).is_err());
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "callers wait: {took:?}");
    let port = address.rsplit_once(':').unwrap().1;
    let mut server = Command::new("redis-server")
        .args(["--port", port, "--bind", "127.0.0.1", "--save", ""])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while routes.renew(GatewayId(3), 5).is_err() {
        assert!(Instant::now() < until, "it does not find the server");
        std::thread::sleep(Duration::from_millis(20));
    }
    routes.find(&[user(1)], &mut found).unwrap();
    assert_eq!(found, [], "what it had is lost");
    routes.put_one(route(1, 1, 2)).unwrap();
    routes.find(&[user(1)], &mut found).unwrap();
    assert_eq!(found, [route(1, 1, 2)]);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// What is remembered of leases does not hide a gateway that has just started again.
#[test]
fn a_gateway_that_starts_again_is_found_at_once() {
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let mut options = options(backends.address("redis"), false);
    options.lease_cache = Duration::from_secs(3_600);
    options.link = Some("127.0.0.1:7402".parse().unwrap());
    let reader = RedisRoutes::new(&options).unwrap();
    let gateway = RedisRoutes::new(&options).unwrap();
    let find = || {
        let mut found = Vec::new();
        reader.find(&[user(1)], &mut found).unwrap();
        found
    };
    assert_eq!(reader.address(GatewayId(3), 5), None, "there is none yet");
    for epoch in 5..8 {
        let mut route = route(1, 1, epoch);
        route.address.gateway_epoch = epoch;
        gateway.renew(GatewayId(3), epoch).unwrap();
        gateway.put_one(route).unwrap();
        assert_eq!(find(), [route]);
        assert_eq!(reader.address(GatewayId(3), epoch), options.link);
        assert_eq!(reader.address(GatewayId(3), epoch - 1), None);
    }
}

/// A user whose seats nobody of ours wrote is no reason to leave the others.
#[test]
fn one_damaged_user_hides_nobody_else() {
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let mut options = options(backends.address("redis"), false);
    options.buckets_log2 = 0;
    let routes = RedisRoutes::new(&options).unwrap();
    routes.renew(GatewayId(3), 5).unwrap();
    routes.put_one(route(1, 1, 1)).unwrap();
    routes.put_one(route(2, 1, 1)).unwrap();
    let port = backends.address("redis").rsplit_once(':').unwrap().1;
    let garbled = Command::new("redis-cli")
        .args(["-p", port, "eval"])
        .arg("local f = redis.call('HKEYS', KEYS[1])[1]; return redis.call('HSET', KEYS[1], f, 'garbage')")
        .args(["1", &format!("{}:r:0", options.prefix)])
        .stdout(Stdio::null())
        .status();
    assert!(garbled.unwrap().success());
    let mut found = Vec::new();
    routes.find(&[user(1), user(2)], &mut found).unwrap();
    assert_eq!(found.len(), 1);
    assert!(routes.is_reachable());
}

/// Who has lost everything is told once, and so is every other gateway.
#[test]
fn a_flush_is_noticed_by_every_gateway() {
    use millpond_backplane::routes::Renewal::{Lost, Standing};
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let options = options(backends.address("redis"), false);
    let port = backends.address("redis").rsplit_once(':').unwrap().1;
    let gateways = [3, 4].map(|id| (GatewayId(id), RedisRoutes::new(&options).unwrap()));
    let renew = || {
        let renewed = gateways
            .iter()
            .map(|(id, routes)| routes.renew(*id, 5).unwrap());
        renewed.collect::<Vec<_>>()
    };
    assert_eq!(renew(), [Standing, Standing]);
    assert_eq!(renew(), [Standing, Standing]);
    for _ in 0..2 {
        let flushed = Command::new("redis-cli")
            .args(["-p", port, "flushall"])
            .stdout(Stdio::null())
            .status();
        assert!(flushed.unwrap().success());
        assert_eq!(renew(), [Lost, Lost]);
        assert_eq!(renew(), [Standing, Standing]);
    }
}

/// Another number of buckets would make each find nobody of the other's.
#[test]
fn programs_that_disagree_on_the_format_are_told() {
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let mut options = options(backends.address("redis"), false);
    let ours = RedisRoutes::new(&options).unwrap();
    ours.renew(GatewayId(3), 5).unwrap();
    options.buckets_log2 += 1;
    let other = RedisRoutes::new(&options).unwrap();
    let said = other.renew(GatewayId(4), 5).unwrap_err().to_string();
    assert!(
        said.contains("format \"1 4 ") && said.contains("\"1 5\""),
        "{said}"
    );
}

#[test]
fn a_lease_names_the_link() {
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let mut options = options(backends.address("redis"), false);
    let reader = RedisRoutes::new(&options).unwrap();
    assert_eq!(reader.address(GatewayId(3), 5), None);
    options.link = Some("127.0.0.1:7402".parse().unwrap());
    let gateway = RedisRoutes::new(&options).unwrap();
    gateway.renew(GatewayId(3), 5).unwrap();
    assert_eq!(reader.address(GatewayId(3), 5), options.link);
    assert_eq!(reader.address(GatewayId(3), 4), None);
    gateway.put_one(route(1, 1, 1)).unwrap();
    let mut found = Vec::new();
    reader.find(&[user(1)], &mut found).unwrap();
    assert_eq!(found, [route(1, 1, 1)]);
}

#[test]
fn each_start_of_a_gateway_has_an_epoch_of_its_own() {
    let Some(backends) = Backends::start_or_skip(&["redis"]) else {
        return;
    };
    let routes = RedisRoutes::new(&options(backends.address("redis"), false)).unwrap();
    let begin = || routes.begin_epoch(GatewayId(3)).unwrap();
    assert_eq!([begin(), begin()], [1, 2]);
    routes.renew(GatewayId(3), 9).unwrap();
    assert_eq!(begin(), 10);
    assert_eq!(routes.begin_epoch(GatewayId(4)).unwrap(), 1);
}

#[test]
fn options_that_cannot_be_meant_are_refused() {
    let fine = options("127.0.0.1:1", false);
    let refused = |change: fn(&mut Options)| {
        let mut options = fine.clone();
        change(&mut options);
        RedisRoutes::new(&options).unwrap_err().to_string()
    };
    assert!(refused(|it| it.nodes.clear()).contains("no node"));
    assert!(refused(|it| it.buckets_log2 = 25).contains("2^25"));
    assert!(refused(|it| it.prefix = "a{b}".into()).contains("braces"));
    assert!(refused(|it| it.timeout = Duration::ZERO).contains("millisecond"));
}
