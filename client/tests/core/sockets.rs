//! The transport over real sockets, against the server in memory.

use crate::server::{DEVICE, Server};
use crate::world::direct;
use millpond_client::{
    Client, ClientError, Event, Events, FileStorage, MemoryStorage, Options, Provider, Stop, Token,
    TokenError, Why,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(30);

type Shared = Arc<Mutex<Server>>;

async fn serve(listener: TcpListener, server: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        server.lock().unwrap().connect();
        // The client has one connection at a time, so one is served at a time.
        connection(stream, &server).await;
    }
}

async fn connection(mut stream: TcpStream, server: &Shared) {
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut buffer)).await;
        let output = {
            let mut server = server.lock().unwrap();
            match read {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(bytes)) => server.received(&buffer[..bytes]),
                Err(_) => {}
            }
            (0..32).for_each(|_| server.work());
            server.take_output(usize::MAX)
        };
        if stream.write_all(&output).await.is_err() {
            return;
        }
    }
}

async fn start() -> (Shared, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Arc::new(Mutex::new(Server::new(1)));
    tokio::spawn(serve(listener, server.clone()));
    (server, address)
}

fn options(address: &str) -> Options {
    let mut options =
        Options::new(address, Token::Fixed("jwt".to_owned())).storage(MemoryStorage::new(DEVICE));
    options.config.backoff_base = Duration::from_millis(10);
    options.config.backoff_cap = Duration::from_millis(50);
    options
}

async fn next(events: &mut Events) -> Option<Event> {
    tokio::time::timeout(PATIENCE, events.next())
        .await
        .expect("an event in time")
}

/// Waits for the first event that `wanted` knows.
async fn first<T>(events: &mut Events, wanted: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = next(events).await.expect("the client runs");
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

#[tokio::test]
async fn sends_are_durable_and_messages_come_in_order_over_random_disconnects() {
    const SENDS: u64 = 200;
    let (server, address) = start().await;
    let (client, mut events) = Client::connect(options(&address)).unwrap();
    let sender = client.clone();
    let sending = tokio::spawn(async move {
        let mut last = 0;
        for number in 0..SENDS {
            let receipt = sender.send(direct(2), number.to_string()).await.unwrap();
            assert!(receipt.seq > last);
            last = receipt.seq;
            if number % 20 == 7 {
                sender.disconnect().await.unwrap();
            }
        }
        last
    });
    for peer in 0..100 {
        server.lock().unwrap().peer_sends(2 + peer % 3);
    }
    for cursor in 1..=SENDS + 100 {
        let came = first(&mut events, |event| match event {
            Event::Message(message) => Some(message.cursor),
            _ => None,
        });
        assert_eq!(came.await, cursor);
    }
    assert!(sending.await.unwrap() >= SENDS);
    client.close().await;
}

#[tokio::test]
async fn closing_ends_the_events_and_whoever_waits() {
    let (_server, address) = start().await;
    let (client, mut events) = Client::connect(options(&address)).unwrap();
    first(&mut events, |event| {
        matches!(event, Event::Synced).then_some(())
    })
    .await;
    client.close().await;
    let why = first(&mut events, |event| match event {
        Event::Stopped { why } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(why.await, Stop::Closed);
    assert_eq!(next(&mut events).await, None);
    assert_eq!(
        client.send(direct(2), "late").await,
        Err(ClientError::Stopped)
    );
}

#[tokio::test]
async fn a_client_whose_events_nobody_wants_closes() {
    let (_server, address) = start().await;
    let (client, events) = Client::connect(options(&address)).unwrap();
    drop(events);
    tokio::time::timeout(PATIENCE, client.close())
        .await
        .unwrap();
    assert_eq!(
        client.mark_read(direct(2), 1).await,
        Err(ClientError::Stopped)
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (client, mut events) = Client::connect(options(&address.to_string())).unwrap();
    let enqueued = client.enqueue(direct(2), "early").await.unwrap();
    first(&mut events, |event| match event {
        Event::Disconnected {
            why: Why::Unreachable(_),
            retry_in,
        } => {
            assert!(*retry_in <= Duration::from_millis(50));
            Some(())
        }
        _ => None,
    })
    .await;
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(serve(listener, Arc::new(Mutex::new(Server::new(2)))));
    let sent = first(&mut events, |event| match event {
        Event::Sent(sent) => Some(sent.client_msg_id),
        _ => None,
    });
    assert_eq!(sent.await, enqueued);
}

#[tokio::test]
async fn the_next_process_goes_on_where_the_last_one_stopped() {
    let folder = state_file();
    let (server, address) = start().await;
    for _ in 0..40 {
        server.lock().unwrap().peer_sends(2);
    }
    let mut cursor = 0;
    for _ in 0..2 {
        let mut options = options(&address);
        options = options.storage(FileStorage::with_device(&folder, DEVICE));
        let (client, mut events) = Client::connect(options).unwrap();
        for _ in 0..20 {
            let came = first(&mut events, |event| match event {
                Event::Message(message) => Some(message.cursor),
                _ => None,
            });
            cursor += 1;
            assert_eq!(came.await, cursor);
        }
        // Asking for more says that the last one is done with; what comes then was not finished, and comes again.
        let _more = tokio::time::timeout(Duration::from_millis(1), events.next()).await;
        client.close().await;
    }
    std::fs::remove_file(&folder).unwrap();
}

#[tokio::test]
async fn tokens_come_from_their_provider_before_the_first_connection() {
    let (_server, address) = start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let mut options = options(&address);
    options.token = Token::Provider(Provider::new(move || {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first {
                Err(TokenError::Retry("busy".to_owned()))
            } else {
                Ok("jwt".to_owned())
            }
        }
    }));
    let (_client, mut events) = Client::connect(options).unwrap();
    first(&mut events, |event| {
        matches!(event, Event::Connected { .. }).then_some(())
    })
    .await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_full_outbox_says_so() {
    let (_server, address) = start().await;
    let mut options = options(&address);
    options.address = "127.0.0.1:1".to_owned();
    options.config.outbox_messages_max = 3;
    let (client, _events) = Client::connect(options).unwrap();
    for _ in 0..3 {
        client.enqueue(direct(2), "x").await.unwrap();
    }
    let full = ClientError::Enqueue(millpond_client::EnqueueError::Full);
    assert_eq!(client.enqueue(direct(2), "x").await, Err(full));
}

fn state_file() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("millpond-client-process-{}", std::process::id()))
}
