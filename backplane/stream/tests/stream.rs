//! Streams between a router and gateways on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond_backplane::link::{Directory, Downlink, DownlinkBody, Link};
use millpond_backplane::memory::RecordingLink;
use millpond_backplane::metrics::Source;
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_stream::{FRAME_BYTES_MAX, Inlet, InletOptions, OUTBOX_BYTES_MAX, Streams};
use millpond_testbed::eventually;
use millpond_wire::{Code, DeviceId, UserId};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &[u8] = b"a secret of the cluster";

/// Leases that a test writes.
#[derive(Default, Clone, Debug)]
struct Leases(Arc<Mutex<BTreeMap<(u32, u32), SocketAddr>>>);

impl Leases {
    fn set(&self, gateway: u32, epoch: u32, address: SocketAddr) {
        self.0.lock().unwrap().insert((gateway, epoch), address);
    }
}

impl Directory for Leases {
    fn address(&self, gateway: GatewayId, epoch: u32) -> Option<SocketAddr> {
        self.0.lock().unwrap().get(&(gateway.0, epoch)).copied()
    }
}

struct Gateway {
    inlet: Inlet,
    got: RecordingLink,
}

impl Gateway {
    fn listen(gateway: u32, epoch: u32, secret: &[u8]) -> Self {
        let got = RecordingLink::default();
        let options = InletOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            secret: secret.to_vec(),
            gateway: GatewayId(gateway),
            epoch,
        };
        let inlet = Inlet::listen(options, Box::new(got.clone())).unwrap();
        Self { inlet, got }
    }

    fn count(&self, name: &str) -> u64 {
        count(&*self.inlet.counts(), name)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are small"
)]
fn count(source: &dyn Source, name: &str) -> u64 {
    let mut samples = Vec::new();
    source.samples(&mut samples);
    let sample = samples.iter().find(|sample| sample.name == name).unwrap();
    sample.value as u64
}

fn to(gateway: u32, epoch: u32, slot: u32) -> Address {
    let handle = Handle {
        shard: 0,
        slot,
        generation: 1,
    };
    Address {
        gateway: GatewayId(gateway),
        gateway_epoch: epoch,
        handle,
        user: UserId::new(5).unwrap(),
        device: DeviceId(6),
    }
}

fn kick(gateway: u32, epoch: u32, slot: u32) -> Downlink {
    Downlink {
        to: to(gateway, epoch, slot),
        body: DownlinkBody::Kick(Code::REPLACED),
    }
}

fn delivery(slot: u32, record: &Arc<[u8]>) -> Downlink {
    let record = Arc::clone(record);
    Downlink {
        to: to(1, 1, slot),
        body: DownlinkBody::Deliver { cursor: 1, record },
    }
}

fn arrives(gateway: &Gateway, wanted: &[Downlink]) {
    let mut got = Vec::new();
    eventually("hints arrive", || {
        got.extend(gateway.got.take());
        got.len() >= wanted.len()
    });
    assert_eq!(got, wanted);
}

#[test]
fn hints_arrive_in_order_at_their_gateways() {
    let (one, two) = (Gateway::listen(1, 1, SECRET), Gateway::listen(2, 7, SECRET));
    let leases = Leases::default();
    leases.set(1, 1, one.inlet.local_addr());
    leases.set(2, 7, two.inlet.local_addr());
    let streams = Streams::new(SECRET, Arc::new(leases)).unwrap();
    let mut link = streams.link();
    let record: Arc<[u8]> = Arc::from(vec![7; 1_000]);
    let mut wanted = Vec::new();
    for slot in 0..1_000 {
        let hint = if slot % 5 == 0 {
            kick(1, 1, slot)
        } else {
            delivery(slot, &record)
        };
        link.send(hint.clone());
        wanted.push(hint);
        if slot % 100 == 0 {
            link.send(kick(2, 7, slot));
            link.flush();
        }
    }
    link.flush();
    arrives(&one, &wanted);
    let other: Vec<_> = (0..10).map(|hundred| kick(2, 7, hundred * 100)).collect();
    arrives(&two, &other);
    assert!(
        one.count("link_bytes_received_total") < 60_000,
        "a body goes once"
    );
    assert_eq!(count(&*streams.counts(), "link_hints_dropped_total"), 0);
    assert_eq!(count(&*streams.counts(), "link_hints_sent_total"), 1_010);
}

#[test]
fn whoever_has_another_secret_is_not_heard() {
    let gateway = Gateway::listen(1, 1, b"another");
    let leases = Leases::default();
    leases.set(1, 1, gateway.inlet.local_addr());
    let streams = Streams::new(SECRET, Arc::new(leases)).unwrap();
    let mut link = streams.link();
    link.send(kick(1, 1, 0));
    link.flush();
    let counts = streams.counts();
    eventually("it is refused", || {
        count(&*counts, "link_failures_total") > 0
    });
    eventually("the hint is dropped", || {
        count(&*counts, "link_hints_dropped_total") == 1
    });
    assert!(gateway.got.take().is_empty());
}

#[test]
fn a_gateway_that_starts_again_is_found_by_its_lease() {
    let leases = Leases::default();
    let streams = Streams::new(SECRET, Arc::new(leases.clone())).unwrap();
    let mut link = streams.link();
    let counts = streams.counts();
    link.send(kick(1, 1, 0));
    link.flush();
    eventually("nobody is there", || {
        count(&*counts, "link_hints_dropped_total") == 1
    });
    let first = Gateway::listen(1, 1, SECRET);
    leases.set(1, 1, first.inlet.local_addr());
    eventually("it is found", || {
        link.send(kick(1, 1, 1));
        link.flush();
        std::thread::sleep(Duration::from_millis(50));
        !first.got.take().is_empty()
    });
    drop(first);
    let second = Gateway::listen(1, 2, SECRET);
    leases.set(1, 2, second.inlet.local_addr());
    link.send(kick(1, 2, 2));
    link.flush();
    arrives(&second, &[kick(1, 2, 2)]);
}

/// Another epoch listens where the lease says: it takes nothing.
#[test]
fn a_stale_lease_leads_nowhere() {
    let gateway = Gateway::listen(1, 2, SECRET);
    let leases = Leases::default();
    leases.set(1, 1, gateway.inlet.local_addr());
    let streams = Streams::new(SECRET, Arc::new(leases)).unwrap();
    let mut link = streams.link();
    link.send(kick(1, 1, 0));
    link.flush();
    let counts = streams.counts();
    eventually("it is dropped", || {
        count(&*counts, "link_hints_dropped_total") == 1
    });
    assert!(gateway.got.take().is_empty());
}

#[test]
fn a_gateway_that_reads_nothing_costs_a_bounded_queue() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let leases = Leases::default();
    leases.set(1, 1, deaf.local_addr().unwrap());
    let alive = Gateway::listen(2, 1, SECRET);
    leases.set(2, 1, alive.inlet.local_addr());
    let streams = Streams::new(SECRET, Arc::new(leases)).unwrap();
    let mut link = streams.link();
    let frames = 2 * OUTBOX_BYTES_MAX / 60_000;
    for slot in 0..u32::try_from(frames).unwrap() {
        let record = Arc::from(vec![slot.to_le_bytes()[0]; 60_000]);
        link.send(delivery(slot, &record));
        link.flush();
    }
    let counts = streams.counts();
    assert!(count(&*counts, "link_hints_dropped_total") > 200);
    link.send(kick(2, 1, 0));
    link.flush();
    arrives(&alive, &[kick(2, 1, 0)]);
    let all = u64::try_from(frames).unwrap();
    eventually("the rest is dropped", || {
        count(&*counts, "link_hints_dropped_total") == all
    });
}

/// What is no greeting, or too slow a one, is closed, and the others do not notice.
#[test]
fn garbage_ends_only_its_own_stream() {
    let gateway = Gateway::listen(1, 1, SECRET);
    let address = gateway.inlet.local_addr();
    let closes = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let _sent = socket.write_all(bytes);
        let mut rest = Vec::new();
        let ended = match socket.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        assert!(ended, "{bytes:?} is still listened to");
    };
    closes(&[0xFF; 64]);
    closes(b"MPLK\x01");
    closes(b"GET / HTTP/1.1\r\n\r\n");
    closes(&vec![0; FRAME_BYTES_MAX]);
    let leases = Leases::default();
    leases.set(1, 1, address);
    let streams = Streams::new(SECRET, Arc::new(leases)).unwrap();
    let mut link = streams.link();
    link.send(kick(1, 1, 3));
    link.flush();
    arrives(&gateway, &[kick(1, 1, 3)]);
    assert_eq!(gateway.count("link_streams_total"), 1);
    eventually("all are counted", || {
        gateway.count("link_refused_total") >= 3
    });
}
