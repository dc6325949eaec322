//! The suite of routes.

use super::samples::user;
use crate::routes::{Put, Renewal, Route, Routes};
use crate::{Address, GatewayId, Handle};
use millpond_wire::{DeviceId, UserId};

/// `make` gives an empty table; `pass_lease` lets more than a whole lease go by.
pub fn routes_suite<R: Routes>(mut make: impl FnMut() -> R, mut pass_lease: impl FnMut(&R)) {
    a_route_needs_a_lease_of_its_epoch(&Sure(make()));
    a_lease_ends(&Sure(make()), &mut pass_lease);
    the_newer_attempt_wins(&Sure(make()));
    equal_attempts_go_by_epoch(&Sure(make()));
    a_dead_route_stands_in_nobodys_way(&Sure(make()), &mut pass_lease);
    a_late_renewal_finds_every_device(&Sure(make()), &mut pass_lease);
    a_remove_takes_only_its_own(&Sure(make()));
    many_users_are_found_in_order(&Sure(make()));
}

const GATEWAY: GatewayId = GatewayId(3);

/// A connection: `slot` tells those of one device apart.
fn route(user: UserId, device: u64, attempt: u32, epoch: u32, slot: u32) -> Route {
    let handle = Handle {
        shard: 1,
        slot,
        generation: 9,
    };
    let address = Address {
        gateway: GATEWAY,
        gateway_epoch: epoch,
        handle,
        user,
        device: DeviceId(device),
    };
    Route { address, attempt }
}

/// Routes that answer.
struct Sure<R>(R);

impl<R: Routes> Sure<R> {
    fn put_one(&self, route: Route) -> Put {
        self.0.put_one(route).expect("routes answer")
    }

    fn remove(&self, route: Route) {
        self.0.remove(&[route]).expect("routes answer");
    }

    fn renew(&self, gateway: GatewayId, epoch: u32) {
        let renewal = self.0.renew(gateway, epoch).expect("routes answer");
        assert_ne!(renewal, Renewal::Lost, "nothing is lost here");
    }
}

fn find(routes: &Sure<impl Routes>, users: &[UserId]) -> Vec<Route> {
    let mut found = Vec::new();
    routes.0.find(users, &mut found).expect("routes answer");
    found
}

const FIRST: Put = Put::Taken { displaced: None };

fn a_route_needs_a_lease_of_its_epoch(routes: &Sure<impl Routes>) {
    let route = route(user(1), 1, 1, 5, 0);
    assert_eq!(routes.put_one(route), FIRST);
    assert_eq!(find(routes, &[user(1)]), [], "no lease yet");
    routes.renew(GATEWAY, 4);
    assert_eq!(
        find(routes, &[user(1)]),
        [],
        "the lease of an earlier epoch"
    );
    routes.renew(GATEWAY, 5);
    assert_eq!(find(routes, &[user(1)]), [route]);
    routes.renew(GatewayId(4), 9);
    assert_eq!(find(routes, &[user(1)]), [route], "another gateway's lease");
    routes.renew(GATEWAY, 4);
    assert_eq!(
        find(routes, &[user(1)]),
        [route],
        "an old epoch renews nothing"
    );
    routes.renew(GATEWAY, 6);
    assert_eq!(find(routes, &[user(1)]), [], "its epoch is over");
    assert_eq!(routes.0.renew(GATEWAY, 5), Ok(Renewal::Ended));
    assert_eq!(find(routes, &[user(1)]), [], "and does not come back");
}

fn a_lease_ends<R: Routes>(routes: &Sure<R>, pass_lease: &mut impl FnMut(&R)) {
    let route = route(user(1), 1, 1, 5, 0);
    routes.renew(GATEWAY, 5);
    assert_eq!(routes.put_one(route), FIRST);
    pass_lease(&routes.0);
    assert_eq!(find(routes, &[user(1)]), []);
    routes.renew(GATEWAY, 5);
    assert_eq!(
        find(routes, &[user(1)]),
        [route],
        "late, but of the same epoch"
    );
}

fn the_newer_attempt_wins(routes: &Sure<impl Routes>) {
    routes.renew(GATEWAY, 5);
    let old = route(user(1), 1, 7, 5, 0);
    let new = route(user(1), 1, 8, 5, 1);
    assert_eq!(routes.put_one(old), FIRST);
    let displaced = Put::Taken {
        displaced: Some(old),
    };
    assert_eq!(routes.put_one(new), displaced);
    assert_eq!(routes.put_one(old), Put::Older);
    assert_eq!(
        routes.put_one(new),
        FIRST,
        "the same connection again displaces nobody"
    );
    assert_eq!(find(routes, &[user(1)]), [new]);
}

fn equal_attempts_go_by_epoch(routes: &Sure<impl Routes>) {
    let other = GatewayId(4);
    routes.renew(GATEWAY, 5);
    routes.renew(other, 6);
    let low = route(user(1), 1, 7, 5, 0);
    let mut high = route(user(1), 1, 7, 6, 0);
    high.address.gateway = other;
    assert_eq!(routes.put_one(high), FIRST);
    assert_eq!(routes.put_one(low), Put::Older);
    assert_eq!(find(routes, &[user(1)]), [high]);
    let mut later = high;
    later.address.handle.slot = 12;
    let displaced = Put::Taken {
        displaced: Some(high),
    };
    assert_eq!(
        routes.put_one(later),
        displaced,
        "of equals the later one wins"
    );
}

fn a_dead_route_stands_in_nobodys_way<R: Routes>(
    routes: &Sure<R>,
    pass_lease: &mut impl FnMut(&R),
) {
    routes.renew(GATEWAY, 5);
    assert_eq!(routes.put_one(route(user(1), 1, 90, 5, 0)), FIRST);
    pass_lease(&routes.0);
    let other = GatewayId(4);
    routes.renew(other, 1);
    let mut older = route(user(1), 1, 2, 1, 0);
    older.address.gateway = other;
    assert_eq!(routes.put_one(older), FIRST);
    assert_eq!(find(routes, &[user(1)]), [older]);
}

/// A gateway that slept for longer than its lease, with all its connections.
fn a_late_renewal_finds_every_device<R: Routes>(routes: &Sure<R>, pass_lease: &mut impl FnMut(&R)) {
    routes.renew(GATEWAY, 5);
    let phone = route(user(1), 1, 1, 5, 0);
    let tablet = route(user(1), 2, 1, 5, 1);
    assert_eq!(routes.put_one(phone), FIRST);
    assert_eq!(routes.put_one(tablet), FIRST);
    pass_lease(&routes.0);
    let again = route(user(1), 1, 2, 5, 2);
    let displaced = Put::Taken {
        displaced: Some(phone),
    };
    assert_eq!(routes.put_one(again), displaced, "it only slept");
    assert_eq!(find(routes, &[user(1)]), []);
    routes.renew(GATEWAY, 5);
    assert_eq!(find(routes, &[user(1)]), [again, tablet]);
    routes.renew(GATEWAY, 6);
    assert_eq!(find(routes, &[user(1)]), []);
    let next = route(user(1), 2, 1, 6, 0);
    assert_eq!(routes.put_one(next), FIRST, "an ended epoch stays ended");
    assert_eq!(find(routes, &[user(1)]), [next]);
}

fn a_remove_takes_only_its_own(routes: &Sure<impl Routes>) {
    routes.renew(GATEWAY, 5);
    let old = route(user(1), 1, 7, 5, 0);
    let new = route(user(1), 1, 8, 5, 1);
    let second_device = route(user(1), 2, 1, 5, 2);
    routes.put_one(old);
    routes.put_one(new);
    routes.put_one(second_device);
    routes.remove(old);
    assert_eq!(find(routes, &[user(1)]), [new, second_device]);
    routes.remove(new);
    routes.remove(new);
    assert_eq!(find(routes, &[user(1)]), [second_device]);
    routes.remove(second_device);
    routes.remove(second_device);
    assert_eq!(find(routes, &[user(1)]), []);
}

fn many_users_are_found_in_order(routes: &Sure<impl Routes>) {
    routes.renew(GATEWAY, 5);
    for id in 1..=1_000 {
        for device in 1..=id % 3 {
            assert_eq!(routes.put_one(route(user(id), device, 1, 5, 0)), FIRST);
        }
    }
    let users: Vec<_> = (1..=1_000).rev().map(user).collect();
    let mut found = find(routes, &users);
    let by_user = found.is_sorted_by(|a, b| a.address.user >= b.address.user);
    assert!(by_user, "in the order asked for");
    found.sort_unstable_by_key(|route| (route.address.user, route.address.device));
    let expected =
        (1..=1_000_u64).flat_map(|id| (1..=id % 3).map(move |device| (user(id), device)));
    let expected: Vec<_> = expected
        .map(|(user, device)| route(user, device, 1, 5, 0))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(find(routes, &[user(2_000)]), []);
}
