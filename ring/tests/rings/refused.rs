//! What a kernel that grants no further ring does to those that stand.

use std::process::Command;

use millpond_ring::{Op, Refusal};

use crate::{PER_RING, World};

/// The limit of open files is the process's, so the test that lowers it runs in one of its own.
#[test]
fn a_refused_ring_is_told_and_those_that_stand_go_on() {
    let own = std::env::current_exe().unwrap();
    let child = Command::new(own)
        .args(["--exact", "refused::in_a_process_of_its_own", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "lowers a limit of the process; the test above starts it"]
fn in_a_process_of_its_own() {
    let mut world = World::open();
    let mut open: Vec<_> = (0..PER_RING).map(|_| world.accept()).collect();
    let peer = std::net::TcpStream::connect(world.address).unwrap();
    allow_open_files(0);
    let listener = world.listener;
    assert_eq!(world.run(1, Op::Accept { listener }), -libc::ENFILE);
    let error = world.rings.refused().unwrap();
    assert!(
        matches!(error.refusal, Refusal::OpenFiles { limit: 0 }),
        "{error}"
    );
    drop(peer);
    let (slot, peer) = &mut open[0];
    world.exchange(*slot, peer, b"as before");
    allow_open_files(1_024);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    open.push(world.accept());
    assert_eq!(world.rings.count(), 2);
    assert!(world.rings.refused().is_none());
}

#[expect(unsafe_code, reason = "limits have no safe form here")]
fn allow_open_files(soft: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes to a local that outlives the call.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(got, 0);
    limit.rlim_cur = soft;
    // SAFETY: the kernel reads a local that outlives the call.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0);
}
