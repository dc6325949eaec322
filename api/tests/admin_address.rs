//! The admin address over real sockets: what it answers, and that nobody can make it cost more than its bounds.

use millpond_api::{Bounds, Pages, serve};
use millpond_backplane::metrics::{Sample, SampleKind, Source};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Fixed;

impl Source for Fixed {
    fn samples(&self, into: &mut Vec<Sample>) {
        into.push(Sample {
            name: "connections",
            help: "Open connections.",
            kind: SampleKind::Gauge,
            labels: Vec::new(),
            value: 7.0,
        });
    }
}

struct Admin {
    address: SocketAddr,
    reasons: Arc<Mutex<Vec<String>>>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

const SHORT: Bounds = Bounds {
    connections: 4,
    request_bytes: 1024,
    lifetime: Duration::from_millis(400),
};

async fn admin(bounds: Bounds) -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&reasons);
    let pages = Pages {
        sources: vec![Arc::new(Fixed), Arc::new(Fixed)],
        readiness: Arc::new(move || shown.lock().expect("nobody panicked").clone()),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(serve(listener, bounds, pages, async {
        let _ = stopped.await;
    }));
    Admin {
        address,
        reasons,
        stop,
        ended,
    }
}

/// Everything the other side says until it closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn page(address: SocketAddr, path: &str) -> String {
    exchange(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
    )
    .await
}

#[tokio::test]
async fn pages_answer_and_close() {
    let admin = admin(SHORT).await;
    let health = page(admin.address, "/healthz").await;
    assert!(
        health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nok\n"),
        "{health}"
    );
    let metrics = page(admin.address, "/metrics").await;
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(
        metrics.ends_with("# TYPE millpond_connections gauge\nmillpond_connections 14\n"),
        "{metrics}"
    );
    let missing = page(admin.address, "/").await;
    assert!(
        missing.starts_with("HTTP/1.1 404") && missing.contains("/metrics"),
        "{missing}"
    );
    let wrong_method = exchange(
        admin.address,
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(wrong_method.starts_with("HTTP/1.1 405"), "{wrong_method}");
}

#[tokio::test]
async fn readiness_names_its_reasons() {
    let admin = admin(SHORT).await;
    let ready = page(admin.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    *admin.reasons.lock().unwrap() = vec![
        "draining".to_owned(),
        "the router stopped: disk full".to_owned(),
    ];
    let not_ready = page(admin.address, "/readyz").await;
    assert!(not_ready.starts_with("HTTP/1.1 503"), "{not_ready}");
    assert!(
        not_ready.ends_with("not ready\ndraining\nthe router stopped: disk full\n"),
        "{not_ready}"
    );
}

#[tokio::test]
async fn garbage_harms_nobody() {
    let admin = admin(SHORT).await;
    let huge_head = [
        b"GET /healthz HTTP/1.1\r\nX: ".as_slice(),
        &vec![b'a'; 64 * 1024],
    ]
    .concat();
    for garbage in [
        b"\xd7\x4d\x50\x01\x00\xff\xff".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET",
        b"\r\n\r\n\r\n\r\n",
        &huge_head,
    ] {
        let answer = exchange(admin.address, garbage).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        let health = page(admin.address, "/healthz").await;
        assert!(health.contains("200 OK"), "{health}");
    }
}

#[tokio::test]
async fn silent_connections_are_ended_and_their_places_given_on() {
    let admin = admin(SHORT).await;
    let mut silent = Vec::new();
    for _ in 0..SHORT.connections {
        silent.push(TcpStream::connect(admin.address).await.unwrap());
    }
    let start = Instant::now();
    let health = page(admin.address, "/healthz").await;
    assert!(health.contains("200 OK"), "{health}");
    assert!(
        start.elapsed() >= SHORT.lifetime / 2,
        "the limit of connections held nobody back"
    );
    assert!(start.elapsed() < SHORT.lifetime * 5);
    for mut stream in silent {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut byte)).await;
        assert!(
            !matches!(read.unwrap(), Ok(n) if n > 0),
            "a silent connection was answered"
        );
    }
}

#[tokio::test]
async fn a_trickle_does_not_outlive_the_bound() {
    let admin = admin(SHORT).await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let start = Instant::now();
    let mut refused = false;
    for byte in b"GET /healthz HTTP/1.1\r\n".iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            refused = true;
            break;
        }
        assert!(start.elapsed() < SHORT.lifetime * 5, "still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused);
}

#[tokio::test]
async fn shutdown_ends_although_somebody_is_connected() {
    let admin = admin(SHORT).await;
    let _silent = TcpStream::connect(admin.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    admin.stop.send(()).unwrap();
    let ended = tokio::time::timeout(SHORT.lifetime * 5, admin.ended).await;
    ended.unwrap().unwrap().unwrap();
}
