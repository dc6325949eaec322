//! HTTP on the admin address: health and metrics, for probes, scrapers and people with `curl`.
//!
//! Runs on the control thread of the process, beside the drivers and never on a shard. It must never hold more than its
//! bounds ([`Bounds`]) whoever connects, and never answer from anything but numbers that are already there: no disk, no
//! lock that a shard takes. Called by `millpond serve`.
#![forbid(unsafe_code)]

mod bounded;
mod exposition;

pub use bounded::Bounds;
pub use exposition::render;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bounded::BoundedListener;
use millpond_backplane::metrics::Source;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Why the process should get no traffic just now; empty when it should.
pub type Readiness = dyn Fn() -> Vec<String> + Send + Sync;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    pub sources: Vec<Arc<dyn Source>>,
    pub readiness: Arc<Readiness>,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages")
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}

/// Answers on `listener` until `shutdown` resolves; then ends when the last connection does, at most
/// [`Bounds::lifetime`] later.
pub async fn serve(
    listener: TcpListener,
    bounds: Bounds,
    pages: Pages,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(BoundedListener::new(listener, bounds), router(pages))
        .with_graceful_shutdown(shutdown)
        .await
}

fn router(pages: Pages) -> axum::Router {
    axum::Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || {
            let text = "nothing here; try /healthz, /readyz or /metrics\n";
            answer(StatusCode::NOT_FOUND, PLAIN, text.to_owned())
        })
        .with_state(pages)
}

/// The process lives and its control thread turns: reason enough not to be restarted.
async fn healthz() -> Response {
    answer(StatusCode::OK, PLAIN, "ok\n".to_owned())
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let reasons = (pages.readiness)();
    if reasons.is_empty() {
        return answer(StatusCode::OK, PLAIN, "ready\n".to_owned());
    }
    let text = format!("not ready\n{}\n", reasons.join("\n"));
    answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let mut samples = Vec::new();
    for source in &pages.sources {
        source.samples(&mut samples);
    }
    answer(StatusCode::OK, EXPOSITION, render(samples))
}

/// A connection carries one request: a scraper's kept-alive connection would outlive its permit.
fn answer(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONNECTION, "close"),
    ];
    (status, headers, text).into_response()
}

const PLAIN: &str = "text/plain; charset=utf-8";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
