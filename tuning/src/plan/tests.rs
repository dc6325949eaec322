//! A million by hand, and properties: the parts add up, and both directions agree.

use super::*;
use proptest::prelude::*;

#[test]
fn a_million_idle_sockets_by_hand() {
    let plan = plan(1_000_000, &Load::default());
    let parts: Vec<u64> = plan.memory.iter().map(|need| need.value).collect();
    let sum = 4_117_000_000 + 150_000_000 + (1 << 20) + 100_000 * 4_096;
    assert_eq!(parts[..4].iter().sum::<u64>(), sum);
    assert_eq!(plan.memory_bytes, (sum * 1_000).div_ceil(950));
    assert_eq!((plan.rings, plan.cores, plan.files), (1, 1, 1_001_024));
}

#[test]
fn a_million_where_tables_are_small_and_clients_are_here() {
    let load = Load {
        open_files: 20_000,
        clients_here: true,
        ..Load::default()
    };
    let plan = plan(1_000_000, &load);
    assert_eq!((plan.rings, plan.source_addresses), (51, 71));
    assert!(plan.locked_bytes > 8 << 20);
    assert!(
        plan.memory
            .iter()
            .any(|need| need.what.starts_with("clients"))
    );
}

#[test]
fn messages_take_cores_and_tls_takes_memory() {
    let busy = Load {
        rate_per_second: 60_000,
        tls: true,
        ..Load::default()
    };
    let (plain, busy) = (plan(100_000, &Load::default()), plan(100_000, &busy));
    assert_eq!((plain.cores, busy.cores), (1, 2));
    assert!(busy.memory_bytes > plain.memory_bytes + 100_000 * TLS_BYTES);
}

fn load() -> impl Strategy<Value = Load> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (any::<bool>(), any::<bool>(), numbers).prop_map(|(tls, clients_here, numbers)| Load {
        tls,
        clients_here,
        rate_per_second: numbers.0,
        open_files: numbers.1 >> (numbers.1 % 64),
        page_bytes: numbers.2,
        ports: numbers.3,
    })
}

proptest! {
    #[test]
    fn no_question_makes_it_panic(connections in any::<u64>(), load in load()) {
        let plan = plan(connections, &load);
        prop_assert_eq!(plan.memory_bytes, plan.memory.iter().map(|need| need.value).sum::<u64>());
    }

    /// What is said to fit fits, one more does not, and asking for what fits answers that much.
    #[test]
    fn both_directions_agree(memory in 0..1_u64 << 42, open_files in 2..1_u64 << 21, tls: bool) {
        let load = Load { open_files, tls, ..Load::default() };
        let fits = fitting(memory, &load);
        prop_assert!(plan(fits, &load).memory_bytes <= memory || fits == 0);
        prop_assert!(plan(fits + 1, &load).memory_bytes > memory);
        let needed = plan(fits, &load).memory_bytes;
        prop_assert!(fitting(needed, &load) >= fits);
        prop_assert!(plan(fitting(needed, &load), &load).memory_bytes <= needed);
    }
}
