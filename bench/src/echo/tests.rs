//! Whole rounds over real sockets against the raw echo server, with its faults.

use super::*;
use crate::args::Output;
use crate::schedule::Arrivals;

/// A server on a thread of this process, which lives as long as the test does.
fn side(faults: &[&str]) -> Side {
    let mut line = vec!["raw-echo-server"];
    line.extend(faults);
    let server = crate::raw_echo::Bound::new(&parse(&line)).unwrap();
    let target = Target::inside(server.address().unwrap());
    std::thread::spawn(move || server.serve());
    Side {
        name: "raw echo",
        target,
        door: Door::Raw,
    }
}

fn parse(line: &[&str]) -> crate::args::RawEchoServer {
    use clap::Parser;
    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: crate::args::RawEchoServer,
    }
    Line::parse_from(line).args
}

fn common(connections: u32) -> Common {
    Common {
        connections,
        in_flight: None,
        payload: 128,
        arrivals: Arrivals::Constant,
        warmup: 0,
        target: None,
        target_admin: None,
        target_pid: None,
        target_data: None,
        allow_remote: false,
        server_cpu: None,
        client_cpu: None,
        lag_limit_ms: 1.0,
        output: Output::default(),
    }
}

fn open(rate: u32, seconds: u64) -> Plan {
    Plan {
        load: Load::Open {
            arrivals: Arrivals::Constant,
            rate,
        },
        warmup: Duration::ZERO,
        counted: Duration::from_secs(seconds),
        grace: Duration::from_secs(2),
    }
}

fn once(side: &Side, connections: u32, plan: Plan) -> Round {
    let (stop, mut progress) = (Stop::default(), Progress::silent());
    round(side, &common(connections), plan, &stop, &mut progress).unwrap()
}

#[test]
fn a_closed_loop_answers_everything_and_says_what_it_is() {
    let plan = Plan {
        load: Load::Closed { in_flight: 4 },
        warmup: Duration::from_millis(200),
        counted: Duration::from_secs(1),
        grace: Duration::from_secs(2),
    };
    let side = side(&[]);
    let round = once(&side, 8, plan);
    assert!(round.driven.answered > 1000, "{:?}", round.driven.answered);
    assert_eq!((round.lost, round.driven.fault.clone()), (0, None));
    assert!(round.driven.server_ns_per_message().unwrap() > 0.0);
    let kept = Kept {
        rounds: vec![round],
        counts: None,
    };
    let figures = EchoFigures::new(&[kept.clone(), kept], false);
    let json = serde_json::to_value(&figures).unwrap();
    assert_eq!(json["raw"]["latency"]["origin"], "actual_send");
    assert_eq!(json["server_cpu_ratio"]["median"], 1.0);
    assert!(json["gateway"]["system_calls_per_message"].is_null());
}

#[test]
fn an_open_load_sends_what_the_schedule_says() {
    let round = once(&side(&[]), 10, open(2_000, 1));
    assert_eq!(round.answered, 2_000);
    assert_eq!(round.latency.count(), 2_000);
    assert_eq!(round.driven.lag.count(), 2_000);
}

/// The server sleeps a second once: everybody who was meant to send in that second must show.
#[test]
fn a_stall_of_the_server_shows_in_full() {
    let side = side(&["--stall-ms", "1000", "--stall-after-ms", "1000"]);
    let round = once(&side, 10, open(1_000, 4));
    assert_eq!(round.lost, 0);
    let max_ns = round.latency.quantile_ns(1.0).unwrap();
    assert!((900_000_000..1_500_000_000).contains(&max_ns), "{max_ns}");
    let p99_ns = round.latency.quantile_ns(0.99).unwrap();
    assert!(p99_ns >= 900_000_000, "{p99_ns}");
    // Evenly spread over the stalled second, half waited longer than half of it.
    let delayed = round.latency.count_above(500_000_000);
    assert!((400..700).contains(&delayed), "{delayed}");
    let delayed = round.latency.count_above(100_000_000);
    assert!((800..1_200).contains(&delayed), "{delayed}");
}

#[test]
fn unanswered_messages_are_counted_and_are_a_violation() {
    let round = once(&side(&["--drop-every", "100"]), 4, open(500, 1));
    assert!(round.lost > 0, "nothing was lost");
    assert_eq!(round.lost + round.answered, 500);
    assert_eq!(round.latency.count(), 500);
    assert_eq!(round.latency.lost(), round.lost);
    assert_eq!(round.latency.quantile_ns(1.0), None);
    let kept = Kept {
        rounds: vec![round],
        counts: None,
    };
    assert_eq!(kept.violations("raw echo").len(), 1);
}

#[test]
fn a_busy_generator_makes_the_run_void() {
    let mut round = once(&side(&[]), 1, open(10, 1));
    (0..100).for_each(|_| round.driven.lag.record(5_000_000));
    let kept = Kept {
        rounds: vec![round],
        counts: None,
    };
    assert!(kept.void("raw echo", 1.0).is_some());
    assert!(kept.void("raw echo", 50.0).is_none());
}

#[test]
fn a_stop_ends_the_run_with_what_there_was() {
    let (stop, mut progress) = (Stop::default(), Progress::silent());
    let late = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        late.set();
    });
    let side = side(&[]);
    let round = round(&side, &common(2), open(1_000, 60), &stop, &mut progress).unwrap();
    assert!(round.driven.interrupted);
    assert!(
        (300..3_000).contains(&round.driven.answered),
        "{}",
        round.driven.answered
    );
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let side = Side {
        name: "raw echo",
        target: Target::inside(gone),
        door: Door::Raw,
    };
    let (stop, mut progress) = (Stop::default(), Progress::silent());
    assert!(round(&side, &common(2), open(10, 1), &stop, &mut progress).is_err());
}
