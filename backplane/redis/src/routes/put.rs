//! Puts, round by round: what a script cannot decide is decided by leases, and tried again.

use super::{PUT, RedisRoutes, encoded};
use crate::key::Place;
use crate::leases::View;
use crate::seat;
use crate::trouble::{Trouble, damaged};
use futures_util::future::try_join_all;
use millpond_backplane::memory::ROUTES_PER_USER_MAX;
use millpond_backplane::routes::{Put, Route};
use std::collections::BTreeMap;

/// Tries of one put. Each further one means that another gateway wrote the same user in between.
const ROUNDS_MAX: usize = 8;

/// A route on its way, and where its answer belongs.
#[derive(Debug)]
struct Wanted {
    at: usize,
    route: Route,
    place: Place,
    /// Seats that may go for it, by leases.
    drop: Vec<Route>,
}

/// What the script says to one route.
enum Said {
    /// It stands, and these went for it.
    Taken(Vec<Route>),
    /// These stand there.
    Contested(Vec<Route>),
}

impl RedisRoutes {
    pub(super) async fn put_all(&self, routes: &[Route]) -> Result<Vec<Put>, Trouble> {
        let wanted = routes.iter().enumerate().map(|(at, route)| Wanted {
            at,
            route: *route,
            place: self.keys.place(route.address.user),
            drop: Vec::new(),
        });
        let mut wanted: Vec<_> = wanted.collect();
        let mut puts = vec![Put::Older; routes.len()];
        for _ in 0..ROUNDS_MAX {
            if wanted.is_empty() {
                return Ok(puts);
            }
            wanted = self.round(wanted, &mut puts).await?;
        }
        Err(Trouble::Wrong(
            "a user's routes change faster than they can be put".into(),
        ))
    }

    /// Tries all of them; returns those to be tried again.
    async fn round(&self, wanted: Vec<Wanted>, puts: &mut [Put]) -> Result<Vec<Wanted>, Trouble> {
        let said = self.ask_all(wanted).await?;
        let seen = said.iter().flat_map(|(_, said)| match said {
            Said::Taken(gone) => gone,
            Said::Contested(standing) => standing,
        });
        let leases = self.leases.of(&self.server, &self.keys, seen).await;
        let leases = leases?;
        let mut again = Vec::new();
        for (mut one, said) in said {
            match said {
                Said::Taken(gone) => {
                    puts[one.at] = Put::Taken {
                        displaced: told(&one.route, &gone, &leases),
                    };
                }
                Said::Contested(standing) => {
                    self.health.contested.add(1);
                    if let Some(drop) = may_go(&one.route, &standing, &leases) {
                        one.drop = drop;
                        again.push(one);
                    }
                }
            }
        }
        Ok(again)
    }

    /// One call for each bucket, all at a time. Routes of one bucket stay in order.
    async fn ask_all(&self, wanted: Vec<Wanted>) -> Result<Vec<(Wanted, Said)>, Trouble> {
        let mut buckets: BTreeMap<u32, Vec<Wanted>> = BTreeMap::new();
        for one in wanted {
            buckets.entry(one.place.bucket).or_default().push(one);
        }
        let asked = buckets.into_iter().map(async |(bucket, wanted)| {
            let mut arguments = vec![ROUTES_PER_USER_MAX.to_string().into_bytes()];
            for one in &wanted {
                arguments.push(one.place.field());
                arguments.push(encoded(&one.route)?);
                let drop: Result<Vec<_>, _> = one.drop.iter().map(encoded).collect();
                arguments.push(drop?.concat());
            }
            let keys = [self.keys.bucket(bucket)];
            let script = &self.scripts.put;
            let answers = self
                .server
                .run::<Vec<Vec<u8>>>(script, PUT, &keys, &arguments);
            let answers = answers.await?;
            if answers.len() != wanted.len() {
                return Err(damaged("answers are missing"));
            }
            let said = wanted.into_iter().zip(answers);
            said.map(|(one, answer)| {
                let said = read(&one.route, &answer)?;
                Ok((one, said))
            })
            .collect()
        });
        let said: Vec<Vec<_>> = try_join_all(asked).await?;
        Ok(said.into_iter().flatten().collect())
    }
}

fn read(route: &Route, answer: &[u8]) -> Result<Said, Trouble> {
    let (first, seats) = answer.split_first().ok_or(damaged("an empty answer"))?;
    let seats = seat::decode(route.address.user, seats).map_err(damaged)?;
    match first {
        b'T' => Ok(Said::Taken(seats)),
        b'C' => Ok(Said::Contested(seats)),
        _ => Err(damaged("an answer of another kind")),
    }
}

/// Of those that went, the one that has to be told: a live one, or one of the same run of the same gateway, which has only
/// slept with all the others.
fn told(route: &Route, gone: &[Route], leases: &View) -> Option<Route> {
    let same_run = |old: &Route| {
        (old.address.gateway, old.address.gateway_epoch)
            == (route.address.gateway, route.address.gateway_epoch)
    };
    let told = |old: &&Route| old.address != route.address && (leases.live(old) || same_run(old));
    gone.iter().find(told).copied()
}

/// Which seats may go for a route, or none when a live one of its device has the higher rank.
fn may_go(route: &Route, standing: &[Route], leases: &View) -> Option<Vec<Route>> {
    let rank = |route: &Route| (route.attempt, route.address.gateway_epoch);
    let mut drop: Vec<Route> = Vec::new();
    let mut others: Vec<Route> = Vec::new();
    for old in standing {
        let mine = old.address.device == route.address.device;
        if leases.ended(old) {
            drop.push(*old);
        } else if !mine {
            others.push(*old);
        } else if rank(old) > rank(route) {
            if leases.live(old) {
                return None;
            }
            drop.push(*old);
        }
    }
    if others.len() >= ROUTES_PER_USER_MAX {
        let least = others
            .iter()
            .min_by_key(|old| (leases.live(old), rank(old)));
        drop.extend(least);
    }
    Some(drop)
}
