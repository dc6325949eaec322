//! `millpond serve`, `gateway` and `router`: from the command line to a running process, and from a signal to a clean end.
//!
//! This thread is the process' control thread: signals, the admin address, a look at the router's health. It is on no
//! message's way. After the first signal it takes nobody new, sends everybody away and waits for what is on its way to
//! the disk, inside `drain.timeout`; a second signal ends the process at once.

mod exits;
mod headroom;
mod lines;
mod process;

pub use exits::{EXIT_AT_ONCE, Stopped};

use crate::config::{Config, FlagValue, Problems, Sources, load};
use crate::role::Role;
use crate::server::Server;
use anyhow::{Context as _, Result};
use exits::{abort_on_panic, end_after, end_on_second};
use headroom::Room;
use millpond_api::{Bounds, Pages};
use millpond_backplane::metrics::Source;
use process::Process;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The configuration file; `millpond config` prints one
    #[arg(long, env = "MILLPOND_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder that holds everything [default: ./millpond-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where clients connect [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Health and metrics [default: 127.0.0.1:7401]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Threads that hold sockets [default: one for each core]
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// What an acknowledged message has survived: sync, interval or os [default: sync]
    #[arg(long, value_name = "MODE")]
    durability: Option<String>,
    /// Any key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Stop when the process that started this one ends, in whatever way: for servers of a load test
    #[arg(long)]
    end_with_parent: bool,
}

impl Arguments {
    /// What the command line, the environment and the file say together.
    pub fn config(&self) -> Result<Config> {
        let sources = Sources {
            file: self.config.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags: self.flags()?,
        };
        let loaded = load(&sources)?;
        for warning in loaded.warnings {
            eprintln!("millpond: {warning}");
        }
        Ok(loaded.config)
    }

    /// A flag of its own wins over `--set` of the same key.
    fn flags(&self) -> Result<Vec<FlagValue>> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                let problem = format!(
                    "--set: wanted KEY=VALUE, found \"{pair}\"; write for example: --set drain.spread=5s"
                );
                return Err(Problems(vec![problem]).into());
            };
            flags.push(flag("--set", key, value));
        }
        let named = [
            ("--data", "data", &self.data),
            ("--listen", "listen", &self.listen),
            ("--admin", "admin", &self.admin),
            ("--shards", "shards", &self.shards),
            ("--durability", "durability", &self.durability),
        ];
        let given = named
            .into_iter()
            .filter_map(|(name, key, value)| Some((name, key, value.as_ref()?)));
        flags.extend(given.map(|(name, key, value)| flag(name, key, value)));
        Ok(flags)
    }
}

fn flag(flag: &'static str, key: &str, value: &str) -> FlagValue {
    FlagValue {
        flag,
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// All of it in one process.
pub fn run(arguments: &Arguments) -> Result<()> {
    run_role::<Server>(arguments)
}

pub(crate) fn run_role<R: Role>(arguments: &Arguments) -> Result<()> {
    let config = arguments.config()?;
    lines::start_log(&config.log)?;
    abort_on_panic();
    if arguments.end_with_parent {
        process::end_with_parent()?;
    }
    process::refuse_huge_pages();
    process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the control thread")?;
    runtime.block_on(serve::<R>(config))
}

async fn serve<R: Role>(config: Config) -> Result<()> {
    let mut signals = Signals::listen()?;
    let admin = bind_admin(config.admin).await?;
    // Drivers of a cluster have runtimes of their own, which cannot be waited for on this one.
    let (server, config) = tokio::task::spawn_blocking(move || {
        let server = R::start(&config)?;
        anyhow::Ok((server, config))
    })
    .await??;
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let gateway = server.gateway();
    let room = gateway.map(|gateway| Arc::new(Room::new(gateway.budget, gateway.numbers)));
    let (stop_admin, pages) = (oneshot::channel(), pages(&server, room.as_ref(), &reasons));
    let admin_address = admin.local_addr()?;
    let admin = serve_admin(admin, pages, stop_admin.1);
    lines::print_start(&config, &server, room.as_deref(), admin_address);

    let why = tokio::select! {
        signal = signals.next() => Ok(signal),
        stopped = failed(&server) => Err(stopped),
    };
    match &why {
        Ok(signal) => tracing::info!(signal, spread = ?config.drain.spread, "draining"),
        Err(stopped) => tracing::error!("{stopped}; draining"),
    }
    let reason = why
        .as_ref()
        .err()
        .map_or("draining".to_owned(), ToString::to_string);
    reasons.lock().expect("nobody panics with it").push(reason);
    end_after(config.drain.timeout);
    tokio::spawn(end_on_second(signals));
    drain(server, &config, why.is_err()).await?;
    let _gone = stop_admin.0.send(());
    admin.await.context("the admin address")??;
    tracing::info!("stopped");
    why.map(|_| ()).map_err(anyhow::Error::from)
}

async fn bind_admin(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| {
        format!("cannot listen on {address} for the admin address; choose another with --admin")
    })
}

fn pages<R: Role>(
    server: &R,
    room: Option<&Arc<Room>>,
    reasons: &Arc<Mutex<Vec<String>>>,
) -> Pages {
    let mut sources: Vec<Arc<dyn Source>> = server.sources();
    sources.push(Arc::new(Process::default()));
    sources.extend(room.map(|room| Arc::clone(room) as Arc<dyn Source>));
    let (reasons, troubles) = (Arc::clone(reasons), server.troubles());
    let readiness = move || {
        let mut all = reasons.lock().expect("nobody panics with it").clone();
        all.extend(troubles());
        all
    };
    Pages {
        sources,
        readiness: Arc::new(readiness),
    }
}

fn serve_admin(
    listener: TcpListener,
    pages: Pages,
    stop: oneshot::Receiver<()>,
) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(millpond_api::serve(
        listener,
        Bounds::default(),
        pages,
        async {
            let _either_way = stop.await;
        },
    ))
}

/// Resolves when the router has given up: from then on a restart is the cure, and a supervisor's business.
async fn failed<R: Role>(server: &R) -> Stopped {
    loop {
        if let Err(why) = server.health() {
            return Stopped(why);
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}

const HEALTH_INTERVAL: Duration = Duration::from_millis(200);

/// The waiting is done beside this thread, which goes on answering on the admin address.
async fn drain<R: Role>(server: R, config: &Config, has_failed: bool) -> Result<()> {
    server.drain(config.drain.spread);
    let patience = config.drain.timeout.saturating_sub(STORE_PATIENCE);
    let stopped = tokio::task::spawn_blocking(move || server.stop(patience)).await?;
    // Why it failed has been said, and is how the process ends.
    if has_failed { Ok(()) } else { stopped }
}

/// Left of the time to drain for router and store, when the gateway does not end.
const STORE_PATIENCE: Duration = Duration::from_millis(500);

/// The two signals that ask for an end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("preparing for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
