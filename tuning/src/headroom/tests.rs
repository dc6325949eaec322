//! Which limit binds, one machine at a time; and properties over all of them.

use super::*;
use crate::limits::{ControlGroup, UNLIMITED};
use crate::root::Why;
use proptest::prelude::*;

/// 2 cores, 24 GiB, open files capped at 20,000: where this is developed.
fn small() -> Limits {
    Limits {
        open_files_soft: Ok(20_000),
        open_files_hard: Ok(20_000),
        nr_open: Ok(1_048_576),
        file_max: Ok(2_470_938),
        files_now: Ok(384),
        tcp_memory_pages: Ok([288_459, 384_612, 576_918]),
        memory_total_bytes: Ok(24_731_708 << 10),
        memory_available_bytes: Ok(23_918_192 << 10),
        control_group: Ok(None),
        locked_memory_bytes: Ok(8 << 20),
        may_lock_any_memory: Ok(true),
        kernel: Ok((6, 18)),
        ports: Ok([32_768, 60_999]),
        page_bytes: 4_096,
    }
}

fn large(rings_max: u64) -> Wanted {
    Wanted {
        rings_max,
        ..Wanted::default()
    }
}

#[test]
fn one_ring_is_as_large_as_the_limit_of_open_files() {
    let room = headroom(&small(), &large(1));
    assert_eq!(
        (room.connections, room.binding),
        (19_999, Limit::RingTables)
    );
    assert!(
        room.remedy.contains("LimitNOFILE=1048576"),
        "{}",
        room.remedy
    );
    let soft = Limits {
        open_files_hard: Ok(500_000),
        ..small()
    };
    assert_eq!(headroom(&soft, &large(1)).remedy, "`ulimit -n 500000`");
    let free = Limits {
        open_files_soft: Ok(UNLIMITED),
        open_files_hard: Ok(UNLIMITED),
        ..small()
    };
    let room = headroom(&free, &large(1));
    assert_eq!(room.connections, (1 << 20) - 1);
    assert!(room.remedy.contains("more rings"), "{}", room.remedy);
}

#[test]
fn fifty_five_rings_hold_a_million_on_the_small_machine() {
    let room = headroom(&small(), &large(55));
    assert_eq!(
        (room.connections, room.binding),
        (1_099_945, Limit::RingTables)
    );
    assert!(room.unknown.is_empty());
    let both = Wanted {
        clients_here: Some(Clients {
            source_addresses: 80,
            ..Clients::default()
        }),
        ..large(55)
    };
    let room = headroom(&small(), &both);
    assert_eq!(room.binding, Limit::RingTables);
    assert!(room.connections > 1_000_000);
    let ports = room.all.iter().find(|(limit, _)| *limit == Limit::Ports);
    assert_eq!(ports, Some(&(Limit::Ports, 14_116 * 80)));
}

#[test]
fn an_unprivileged_server_runs_out_of_locked_memory() {
    let limits = Limits {
        may_lock_any_memory: Ok(false),
        ..small()
    };
    let room = headroom(&limits, &large(55));
    assert_eq!(
        (room.connections, room.binding),
        (40 * 19_999, Limit::LockedMemory)
    );
    let before = Limits {
        kernel: Ok((6, 12)),
        ..limits.clone()
    };
    assert_eq!(headroom(&before, &large(55)).binding, Limit::RingTables);
    let unlimited = Limits {
        locked_memory_bytes: Ok(UNLIMITED),
        ..limits
    };
    assert_eq!(headroom(&unlimited, &large(55)).binding, Limit::RingTables);
}

fn binds(limits: &Limits, wanted: &Wanted, binding: Limit, what_to_type: &str) {
    let room = headroom(limits, wanted);
    assert_eq!(room.binding, binding, "{room:?}");
    assert!(room.remedy.contains(what_to_type), "{}", room.remedy);
    assert!(room.to_string().contains(&room.connections.to_string()));
}

#[test]
fn each_limit_of_the_machine_can_bind_and_says_what_to_type() {
    let with = |change: fn(&mut Limits), binding, what_to_type| {
        let mut limits = small();
        limits.open_files_soft = Ok(1 << 20);
        change(&mut limits);
        binds(&limits, &large(8), binding, what_to_type);
    };
    with(
        |it| it.memory_available_bytes = Ok(4 << 30),
        Limit::Memory,
        "4267 B",
    );
    let group = |it: &mut Limits| {
        it.control_group = Ok(Some(ControlGroup {
            path: "/sys/fs/cgroup/a".to_owned(),
            limit_bytes: 1 << 30,
            used_bytes: 0,
        }));
    };
    with(group, Limit::ControlGroup, "/sys/fs/cgroup/a");
    with(
        |it| it.file_max = Ok(100_000),
        Limit::FileMax,
        "fs.file-max=200000",
    );
    with(
        |it| it.tcp_memory_pages = Ok([1, 2, 3]),
        Limit::TcpMemory,
        "tcp_mem=\"2 4 6\"",
    );
}

#[test]
fn each_limit_of_the_configuration_can_bind_and_says_what_to_type() {
    let with = |change: fn(&mut Wanted), binding, what_to_type| {
        let mut wanted = large(55);
        change(&mut wanted);
        binds(&small(), &wanted, binding, what_to_type);
    };
    with(|it| it.connections_max = 10, Limit::Configured, "number");
    with(
        |it| it.budget_bytes = Some(9 << 20),
        Limit::Budget,
        "budget",
    );
    with(
        |it| it.clients_here = Some(Clients::default()),
        Limit::Ports,
        "source addresses",
    );
}

#[test]
fn what_is_held_is_not_room() {
    let at_start = headroom(&small(), &large(55));
    let held = Wanted {
        connections_now: 400_000,
        rings_now: 55,
        ..large(55)
    };
    let later = headroom(&small(), &held);
    assert_eq!(later.connections, at_start.connections - 400_000);
    let over = Wanted {
        connections_now: 2_000_000,
        ..held
    };
    assert_eq!(headroom(&small(), &over).connections, 0);
}

/// MemAvailable counts inodes and dentries of open sockets as if they could be had.
#[test]
fn available_memory_is_corrected_for_sockets_held() {
    let of_memory = |connections_now| {
        let wanted = Wanted {
            connections_now,
            rings_now: 1_000,
            ..large(55)
        };
        let room = headroom(&small(), &wanted);
        room.all
            .iter()
            .find(|(limit, _)| *limit == Limit::Memory)
            .unwrap()
            .1
    };
    assert_eq!(of_memory(0) - of_memory(400_000), 400_000 * 1_057 / 4_267);
}

#[test]
fn unknown_facts_are_named_and_do_not_count() {
    let why = Unknown {
        file: "/proc/sys/fs/file-max".to_owned(),
        why: Why::Missing,
    };
    let limits = Limits {
        file_max: Err(why.clone()),
        open_files_soft: Err(why.clone()),
        memory_total_bytes: Err(why.clone()),
        tcp_memory_pages: Err(why.clone()),
        control_group: Err(why.clone()),
        kernel: Err(why.clone()),
        locked_memory_bytes: Err(why.clone()),
        may_lock_any_memory: Err(why.clone()),
        ..small()
    };
    let room = headroom(&limits, &large(1));
    assert_eq!(room.unknown, [why]);
    let named: Vec<Limit> = room.all.iter().map(|(limit, _)| *limit).collect();
    assert_eq!(named, [Limit::RingTables, Limit::Configured]);
    assert!(
        room.to_string()
            .contains("not counted, because unknown: /proc/sys/fs/file-max: not there")
    );
}

/// Any number at all, most often near the edges.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        0..4_000_000_u64,
        any::<u64>()
    ]
}

proptest! {
    #[test]
    fn no_numbers_at_all_make_it_panic(facts in prop::array::uniform32(number())) {
        let group = ControlGroup { path: String::new(), limit_bytes: facts[0], used_bytes: facts[1] };
        let limits = Limits {
            open_files_soft: Ok(facts[2]),
            open_files_hard: Ok(facts[3]),
            nr_open: Ok(facts[4]),
            file_max: Ok(facts[5]),
            files_now: Ok(facts[6]),
            tcp_memory_pages: Ok([facts[7], facts[8], facts[9]]),
            memory_total_bytes: Ok(facts[10]),
            memory_available_bytes: Ok(facts[11]),
            control_group: Ok(Some(group)),
            locked_memory_bytes: Ok(facts[12]),
            may_lock_any_memory: Ok(facts[13].is_multiple_of(2)),
            kernel: Ok((facts[14], facts[15])),
            ports: Ok([facts[16], facts[17]]),
            page_bytes: 4_096,
        };
        let wanted = Wanted {
            connections_now: facts[18],
            connections_max: facts[19],
            rings_now: facts[20],
            rings_max: facts[21],
            slots_per_ring: facts[22],
            slots_beside_per_ring: facts[23],
            bytes_per_ring: facts[24],
            locked_bytes_per_ring: facts[25],
            kernel_bytes_per_connection: facts[26],
            user_bytes_per_connection: facts[27],
            budget_bytes: Some(facts[28]),
            queued_per_mille: facts[29],
            memory_reserve_per_mille: facts[30],
            clients_here: Some(Clients { bytes_per_connection: facts[31], source_addresses: facts[0] }),
        };
        let room = headroom(&limits, &wanted);
        prop_assert_eq!(room.connections, room.all.iter().map(|(_, room)| *room).min().unwrap());
    }

    /// The memory that is there holds what is said to fit, and not one more.
    #[test]
    fn memory_holds_exactly_what_fits(
        available in 0..64_u64 << 30, slots in 2..1_000_000_u64, now in 0..300_000_u64, rings_now in 0..4_u64,
    ) {
        let limits = Limits {
            open_files_soft: Ok(UNLIMITED), memory_available_bytes: Ok(available), ..small()
        };
        let wanted = Wanted {
            connections_now: now, slots_per_ring: slots, rings_now, rings_max: u64::MAX,
            memory_reserve_per_mille: 0, slots_beside_per_ring: 0, ..Wanted::default()
        };
        let room = headroom(&limits, &wanted);
        let fits = room.all.iter().find(|(limit, _)| *limit == Limit::Memory).unwrap().1;
        let has = available.saturating_sub(now * 1_057);
        let cost = |more: u64| {
            let spare = (rings_now * slots).saturating_sub(now);
            let rings = more.saturating_sub(spare).div_ceil(slots);
            more * 4_267 + rings * RING_BYTES
        };
        prop_assert!(cost(fits) <= has, "{} > {}", cost(fits), has);
        prop_assert!(cost(fits + 1) > has, "{} <= {}", cost(fits + 1), has);
    }
}
