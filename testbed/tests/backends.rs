//! `dev/backends` as tests use it.

use millpond_testbed::{Backends, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;

fn answers(address: &str, request: &[u8], wanted: &[u8]) -> bool {
    let Ok(mut socket) = TcpStream::connect(address) else {
        return false;
    };
    let mut answer = vec![0; wanted.len()];
    socket.write_all(request).is_ok() && socket.read_exact(&mut answer).is_ok() && answer == wanted
}

#[test]
fn servers_answer_while_they_are_held_and_end_then() {
    let Some(held) = Backends::start_or_skip(&["redis", "redis-cluster"]) else {
        return;
    };
    let alone = held.address("redis").to_owned();
    let nodes = held.address("redis-cluster").to_owned();
    assert_eq!(nodes.split(',').count(), 3, "{nodes}");
    for node in nodes.split(',') {
        assert!(answers(node, b"PING\r\n", b"+PONG\r\n"), "{node}");
    }
    // Another set beside it takes other ports.
    let beside = Backends::start(&["redis"]).expect("what runs once runs twice");
    let other = beside.address("redis").to_owned();
    assert_ne!(other, alone);
    drop(beside);
    eventually("it ends", || !answers(&other, b"PING\r\n", b"+PONG\r\n"));
    assert!(answers(&alone, b"PING\r\n", b"+PONG\r\n"));
    drop(held);
    eventually("all end", || !answers(&alone, b"PING\r\n", b"+PONG\r\n"));
}

#[test]
fn what_it_does_not_know_is_refused_in_words() {
    let said = Backends::start(&["mysql"]).expect_err("there is no such backend");
    assert!(said.contains("\"mysql\" is none of kafka"), "{said}");
}
