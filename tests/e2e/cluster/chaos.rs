//! What happens to a cluster while two people talk: nothing acknowledged is lost, nothing is doubled, and it goes on by
//! itself. `MILLPOND_CHAOS_TABLE=1` prints how long nothing was acknowledged.

use super::Cluster;
use crate::judge::verdict;
use crate::load::{Plan, Talk};
use crate::server::Server;
use millpond_testbed::eventually;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Messages acknowledged before a fault, and those that have to be behind it.
const BEFORE: u64 = 150;
const BEHIND: u64 = 300;
/// From a fault until acknowledgements flow again.
const RECOVERY: Duration = Duration::from_secs(60);

type Fault = fn(&mut Cluster);

/// Name, and what happens.
const FAULTS: [(&str, Fault); 8] = [
    ("each router killed three times", |cluster| {
        for at in [0, 1, 0, 1, 0, 1] {
            cluster.kill_router(at);
            cluster.start_router(at);
        }
    }),
    ("both routers frozen for 3 s", |cluster| {
        cluster.routers.iter().for_each(Server::freeze);
        std::thread::sleep(Duration::from_secs(3));
        cluster.routers.iter().for_each(Server::thaw);
    }),
    ("a gateway killed three times", |cluster| {
        for _ in 0..3 {
            cluster.restart_gateway(0);
            std::thread::sleep(Duration::from_millis(500));
        }
    }),
    ("a gateway frozen for longer than its lease", |cluster| {
        cluster.gateways[1].freeze();
        std::thread::sleep(Duration::from_secs(12));
        cluster.gateways[1].thaw();
    }),
    ("Redis flushed", |cluster| {
        cluster.redis("FLUSHALL");
    }),
    ("Redis killed and started empty", |cluster| {
        cluster.backends.kill("redis");
        std::thread::sleep(Duration::from_secs(1));
        cluster.backends.restart("redis");
    }),
    ("the broker killed and started", |cluster| {
        cluster.backends.kill("kafka1");
        cluster.backends.restart("kafka1");
    }),
    ("Cassandra killed and started", |cluster| {
        cluster.backends.kill("cassandra");
        cluster.backends.restart("cassandra");
    }),
];

pub(super) fn whatever_happens_nothing_acknowledged_is_lost(cluster: &mut Cluster) {
    for (number, (name, fault)) in (0..).zip(FAULTS) {
        let begun = Instant::now();
        let outage = one(cluster, 100 + 2 * number, name, fault);
        if std::env::var_os("MILLPOND_CHAOS_TABLE").is_some() {
            let (outage, all) = (outage.as_secs_f64(), begun.elapsed().as_secs_f64());
            let _told = writeln!(
                std::io::stderr(),
                "{name}: {outage:.1} s without an ack, {all:.0} s in all"
            );
        }
    }
}

/// Two people at two gateways, and one fault between their messages; says for how long none was acknowledged.
fn one(cluster: &mut Cluster, user: u64, name: &str, fault: Fault) -> Duration {
    let people = [user, user + 1].map(|user| (user, cluster.gateways[0].token(user)));
    let addresses = [cluster.gateways[0].listen, cluster.gateways[1].listen];
    let plan = Plan {
        messages_max: u64::MAX,
        disconnect_one_in: 400,
        seed: user,
        quiet: Duration::from_secs(4),
    };
    let talk = Talk::start_at(addresses, people, &plan);
    eventually("people talk", || talk.acked() >= BEFORE);
    let (mut last, mut since, mut longest) = (talk.acked(), Instant::now(), Duration::ZERO);
    let mut look = |wanted: u64| {
        let acked = talk.acked();
        if acked > last {
            (last, since) = (acked, Instant::now());
        }
        longest = longest.max(since.elapsed());
        acked >= wanted
    };
    std::thread::scope(|scope| {
        let happening = scope.spawn(|| fault(cluster));
        while !happening.is_finished() {
            look(0);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let wanted = talk.acked() + BEHIND;
    let deadline = Instant::now() + RECOVERY;
    while !look(wanted) {
        assert!(Instant::now() < deadline, "{name}: it does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
    talk.enough();
    let sides = talk.finish();
    let report = verdict(&cluster.gateways[1], &sides);
    assert!(report.is_clean(), "{name}: {report}");
    assert!(report.counts.acked > BEFORE + BEHIND);
    longest
}
