//! How a server ends, and what it says meanwhile.

use crate::peer::{End, Peer};
use crate::server::{eventually, serve, try_serve_on};
use millpond_testbed::Disk;
use millpond_wire::{Code, Frame};
use std::time::Duration;

#[test]
fn sigterm_sends_everybody_away_and_exits_cleanly() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    let (mut peer, ..) = Peer::join(server.listen, 1, &server.token(7));
    peer.send_text(9, 1, "before the end");
    peer.answer(1).expect("taken");
    let watcher = std::thread::spawn(move || {
        let code = peer.expect_any("GOAWAY", |frame| match frame {
            Frame::GoAway(goaway) => Some(goaway.code),
            _ => None,
        });
        while peer.next(|_| ()) != Err(End::Closed) {}
        code
    });
    let status = server.terminate(Duration::from_secs(30));
    assert!(status.success(), "{status}");
    assert_eq!(watcher.join().expect("the connection ends"), Code::DRAINING);
}

#[test]
fn a_disk_that_fails_ends_the_server_and_acknowledges_nothing() {
    let Some(disk) = Disk::create_or_skip(256) else {
        return;
    };
    let server = serve(&disk.path().join("data"), &[]);
    let (mut peer, ..) = Peer::join(server.listen, 1, &server.token(7));
    peer.send_text(9, 1, "kept");
    peer.answer(1).expect("the disk is well");
    disk.fail();
    peer.send_text(9, 2, "lost");
    assert_eq!(peer.answer(2), Err(Code::UNAVAILABLE));
    let status = server.ends_by_itself(Duration::from_secs(30));
    assert_eq!(
        status.code(),
        Some(3),
        "nothing can be made durable any more"
    );
}

#[test]
fn one_data_folder_has_one_server() {
    let data = tempfile::tempdir().expect("a folder");
    let _first = serve(data.path(), &[]);
    let second = try_serve_on(data.path(), "127.0.0.1:0", &[]);
    assert!(second.is_err(), "two servers over one folder");
}

#[test]
fn the_admin_address_answers() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path(), &[]);
    assert!(server.page("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.page("/readyz").starts_with("HTTP/1.1 200"));
    assert!(server.page("/nothing").starts_with("HTTP/1.1 404"));
    let (_peer, ..) = Peer::join(server.listen, 1, &server.token(7));
    eventually("the connection is counted", || {
        server.metric("millpond_gateway_connections") == 1.0
    });
}

#[test]
fn the_metrics_say_how_many_more_fit_and_what_was_written_to_the_routes() {
    let data = tempfile::tempdir().expect("a folder");
    let few = ["--shards", "1", "--set", "gateway.connections_max=1000"];
    let server = serve(data.path(), &few);
    assert_eq!(server.metric("millpond_headroom_connections"), 1000.0);
    assert_eq!(server.metric("millpond_gateway_route_writes_total"), 0.0);
    let page = server.page("/metrics");
    let bound = "millpond_headroom_limit_connections{limit=\"configured\"} 1000";
    assert!(page.contains(bound), "{page}");
    let (peer, ..) = Peer::join(server.listen, 1, &server.token(7));
    eventually("there is room for one less", || {
        server.metric("millpond_headroom_connections") == 999.0
    });
    assert_eq!(server.metric("millpond_capacity_connections"), 1000.0);
    assert_eq!(server.metric("millpond_gateway_route_writes_total"), 1.0);
    assert_eq!(server.metric("millpond_gateway_route_batches_total"), 1.0);
    assert!(server.metric("millpond_gateway_lease_renewals_total") >= 1.0);
    drop(peer);
    eventually("there is room again, and the route is gone", || {
        server.metric("millpond_headroom_connections") == 1000.0
            && server.metric("millpond_gateway_route_writes_total") == 2.0
    });
}
