//! What routes cost Redis: users connect at a rate, stand, and reconnect; bytes of each, commands per second, the
//! server's CPU. `cargo run --release -p millpond-redis --example routes_load -- ADDRESS [USERS] [RATE] [BUCKETS_LOG2]`
//! with the address of an empty server, for example that of `dev/backends up redis`.
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use millpond_backplane::routes::{Route, Routes};
use millpond_backplane::{Address, GatewayId, Handle};
use millpond_redis::{Options, RedisRoutes};
use millpond_wire::{DeviceId, UserId};

use std::time::{Duration, Instant};

/// Routes that a gateway's reader puts at a time.
const BATCH: u32 = 32;
const GATEWAY: GatewayId = GatewayId(3);
/// Of a gateway that has started a few hundred times.
const EPOCH: u32 = 300;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("wanted the address of a Redis")?;
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |it| it.parse());
    let (users, rate, buckets) = (number(1_000_000)?, number(30_000)?, number(13)?);
    let options = Options {
        buckets_log2: u8::try_from(buckets)?,
        timeout: Duration::from_secs(5),
        ..Options::new(vec![format!("redis://{address}")])
    };
    let routes = RedisRoutes::new(&options)?;
    let mut server = redis::Client::open(format!("redis://{address}"))?.get_connection()?;
    routes.renew(GATEWAY, EPOCH)?;
    let before = Numbers::of(&mut server)?;
    let begun = Instant::now();
    let mut puts = Vec::new();
    for first in (0..users).step_by(BATCH as usize) {
        let due = Duration::from_secs_f64(f64::from(first) / f64::from(rate));
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let batch: Vec<_> = (first..users.min(first + BATCH)).map(route).collect();
        puts.clear();
        routes.put(&batch, &mut puts)?;
    }
    let took = begun.elapsed();
    let after = Numbers::of(&mut server)?;
    let per = |amount: f64| amount / f64::from(users);
    println!("users                            {users}");
    println!(
        "connected per second             {:.0}",
        f64::from(users) / took.as_secs_f64()
    );
    println!(
        "server bytes per user            {:.1}",
        per(after.bytes - before.bytes)
    );
    println!(
        "server commands per user         {:.2}",
        per(after.commands - before.commands)
    );
    println!(
        "server CPU per user, µs          {:.2}",
        per(after.cpu - before.cpu) * 1e6
    );
    routes.renew(GATEWAY, EPOCH)?;
    let before_looking = Numbers::of(&mut server)?;
    find(&routes, users)?;
    let after = Numbers::of(&mut server)?;
    println!(
        "server commands per look-up      {:.2}",
        (after.commands - before_looking.commands) / 1_000.0
    );
    std::thread::sleep(Duration::from_secs(10));
    let idle = Numbers::of(&mut server)?;
    routes.renew(GATEWAY, EPOCH)?;
    let renewed = Numbers::of(&mut server)?;
    println!(
        "commands in 10 s of standing     {:.0}",
        idle.commands - after.commands - 1.0
    );
    println!(
        "commands of a renewal            {:.0}",
        renewed.commands - idle.commands - 1.0
    );
    Ok(())
}

fn find(routes: &RedisRoutes, users: u32) -> Result<()> {
    let mut found = Vec::new();
    let begun = Instant::now();
    for at in 0..1_000 {
        let user = route(at * (users / 1_000)).address.user;
        routes.find(&[user], &mut found)?;
    }
    let micros = begun.elapsed().as_secs_f64() * 1e6 / 1_000.0;
    println!("a look-up, one at a time, µs     {micros:.0}");
    assert_eq!(found.len(), 1_000, "everybody is found");
    Ok(())
}

fn route(slot: u32) -> Route {
    let handle = Handle {
        shard: 0,
        slot,
        generation: 1,
    };
    let address = Address {
        gateway: GATEWAY,
        gateway_epoch: EPOCH,
        handle,
        user: UserId::new(u64::from(slot) + 1).expect("not 0"),
        device: DeviceId(u64::from(slot).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    };
    Route {
        address,
        attempt: 1_800_000_000,
    }
}

/// What the server says of itself.
struct Numbers {
    bytes: f64,
    commands: f64,
    cpu: f64,
}

impl Numbers {
    fn of(server: &mut redis::Connection) -> Result<Self> {
        let info: redis::InfoDict = redis::cmd("INFO").query(server)?;
        let number = |name| info.get(name).ok_or_else(|| format!("no {name} in INFO"));
        Ok(Self {
            bytes: number("used_memory")?,
            commands: number("total_commands_processed")?,
            cpu: number("used_cpu_user")? + info.get::<f64>("used_cpu_sys").unwrap_or(0.0),
        })
    }
}
