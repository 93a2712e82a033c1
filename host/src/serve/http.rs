//! Connections and requests: HTTP/1.1 and HTTP/2 without TLS on one port, bounded in number and in
//! time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::problem::Problem;

/// Requests at once over all connections; more are answered 503. With the largest body each, they
/// hold 256 MiB. Together they fit the ledger's queue, and one commit.
pub(super) const MAX_REQUESTS: usize = 256;
/// Streams of one HTTP/2 connection; a gateway opens one connection a worker.
const MAX_STREAMS: u32 = 256;
/// How often an HTTP/2 connection without traffic is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// What requests under way have left when the service is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A rest after a failed accept: out of file descriptors, most likely.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What callers, known or not, can hold of this host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at once; more wait in the system's backlog.
    pub(super) connections: usize,
    /// From a connection's start, or an answer over HTTP/1.1, to the end of the next request's
    /// headers.
    pub(super) headers: Duration,
    /// From a request's headers to its answer. Reading its body has a shorter limit of its own.
    pub(super) request: Duration,
}

pub(super) const LIMITS: Limits = Limits {
    connections: 1_024,
    headers: Duration::from_secs(10),
    request: Duration::from_secs(25),
};

/// Serves until `stop` resolves, then takes no more, and ends what is under way.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let bounds = Bounds { places: Arc::new(Semaphore::new(MAX_REQUESTS)), time: limits.request };
    let router = router.layer(from_fn_with_state(bounds, bound));
    let service = TowerToHyperService::new(router);
    let builder = builder(limits.headers);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    tokio::pin!(stop);
    loop {
        let (stream, peer, place) = tokio::select! {
            () = &mut stop => break,
            next = accept(&listener, &places) => next,
        };
        let first = Arc::new(Notify::new());
        let service = service_fn({
            let (service, first) = (service.clone(), Arc::clone(&first));
            move |request: hyper::Request<Incoming>| {
                first.notify_one();
                service.call(request)
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended early");
                },
                () = none_within(limits.headers, &first) => {
                    tracing::debug!(%peer, "connection closed, no request came on it");
                }
            }
        });
    }
    drop(listener);
    if timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way after {DRAIN_TIMEOUT:?} and are cut");
    }
}

/// Resolves if no first request comes in time. The library has limits of its own only from where
/// it knows which HTTP is spoken, and none on how long an HTTP/2 connection may say nothing.
async fn none_within(limit: Duration, first: &Notify) {
    if timeout(limit, first.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn builder(headers: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL);
    builder
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            // Nobody closes this semaphore; if somebody did, no connection may pass.
            std::future::pending::<Infallible>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and wanted at once.
                let _ = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_REST).await;
            }
        }
    }
}

#[derive(Clone)]
struct Bounds {
    /// For requests under way.
    places: Arc<Semaphore>,
    /// For each.
    time: Duration,
}

/// Bounds the requests under way, and the time of each.
async fn bound(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_place) = bounds.places.try_acquire() else {
        return Problem::busy().into_response();
    };
    match timeout(bounds.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::late(bounds.time).into_response(),
    }
}
