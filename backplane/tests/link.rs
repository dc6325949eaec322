//! Hints that find no room are dropped, counted by kind, and stand in nobody's way.

use millpond_backplane::conformance::user;
use millpond_backplane::link::{Downlink, DownlinkBody, Link};
use millpond_backplane::memory::{MemoryRoutes, MeshLink, ROUTES_PER_USER_MAX, RecordingLink};
use millpond_backplane::mesh::{Bell, Receiver, channel};
use millpond_backplane::metrics::Source;
use millpond_backplane::routes::{Put, Route, Routes};
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_wire::DeviceId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Default, Debug)]
struct Rings(AtomicU32);

impl Bell for Rings {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn address(shard: u16, device: u64) -> Address {
    Address {
        gateway: GatewayId(1),
        gateway_epoch: 1,
        handle: Handle {
            shard,
            slot: 3,
            generation: 4,
        },
        user: user(1),
        device: DeviceId(device),
    }
}

fn delivery(shard: u16, cursor: u64) -> Downlink {
    Downlink {
        to: address(shard, 1),
        body: DownlinkBody::Deliver {
            cursor,
            record: Arc::from([]),
        },
    }
}

fn link(capacity: usize) -> (MeshLink, [Receiver<Downlink>; 2], [Arc<Rings>; 2]) {
    let bells: [Arc<Rings>; 2] = std::array::from_fn(|_| Arc::default());
    let [first, second] = bells.clone().map(|bell| channel(capacity, bell));
    let link = MeshLink::new(vec![first.0, second.0]);
    (link, [first.1, second.1], bells)
}

#[test]
fn each_hint_goes_to_its_shard_and_rings_only_there() {
    let (mut link, mut shards, bells) = link(8);
    for cursor in 1..=3 {
        link.send(delivery(1, cursor));
    }
    link.flush();
    link.flush();
    assert_eq!(shards[0].pop(), None);
    for cursor in 1..=3 {
        assert_eq!(shards[1].pop().unwrap(), delivery(1, cursor));
    }
    let rings = bells.map(|bell| bell.0.load(Ordering::SeqCst));
    assert_eq!(rings, [0, 1]);
}

#[test]
fn what_finds_no_room_is_dropped_and_counted_by_kind() {
    let (mut link, mut shards, _) = link(2);
    let drops = link.drops();
    for cursor in 1..=5 {
        link.send(delivery(0, cursor));
    }
    link.send(delivery(7, 1));
    link.send(Downlink {
        to: address(0, 1),
        body: DownlinkBody::Kick(millpond_wire::Code::BUSY),
    });
    link.send(delivery(1, 1));
    assert_eq!((drops.deliveries.value(), drops.kicks.value()), (4, 1));
    assert_eq!(shards[0].pop().unwrap(), delivery(0, 1));
    assert_eq!(shards[1].pop().unwrap(), delivery(1, 1));
    let mut samples = Vec::new();
    drops.samples(&mut samples);
    let total: f64 = samples.iter().map(|sample| sample.value).sum();
    assert_eq!((samples.len(), total), (5, 5.0));
}

#[test]
fn a_recording_link_keeps_what_it_is_sent() {
    let recorded = RecordingLink::default();
    let mut link: Box<dyn Link> = Box::new(recorded.clone());
    link.send(delivery(0, 1));
    link.send(delivery(3, 2));
    link.flush();
    assert_eq!(recorded.take(), [delivery(0, 1), delivery(3, 2)]);
    assert_eq!(recorded.take(), []);
}

#[test]
fn one_device_too_many_displaces_the_oldest_attempt() {
    let routes = MemoryRoutes::new(Duration::from_secs(10));
    routes.renew(GatewayId(1), 1).unwrap();
    let route = |device| Route {
        address: address(0, device),
        attempt: u32::try_from(100 - device).unwrap(),
    };
    let bound = u64::try_from(ROUTES_PER_USER_MAX).unwrap();
    for device in 1..=bound {
        assert_eq!(
            routes.put_one(route(device)).unwrap(),
            Put::Taken { displaced: None }
        );
    }
    let displaced = Some(route(bound));
    assert_eq!(routes.put_one(route(0)).unwrap(), Put::Taken { displaced });
    let mut found = Vec::new();
    routes.find(&[user(1)], &mut found).unwrap();
    let expected: Vec<_> = (0..bound).map(route).collect();
    assert_eq!(found, expected, "by device, ascending");
}
