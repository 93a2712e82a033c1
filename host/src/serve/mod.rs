//! `tollgate serve`: the ledger behind HTTP. Owns the process's threads, its port and its
//! clockwork; decides nothing, which is [`core`](crate::core)'s.
//!
//! One thread owns the ledger ([`writer`]); handlers ([`routes`]) and the two tasks, [`catalog`]
//! and [`billing`], queue for it.

mod billing;
pub(crate) mod body;
mod catalog;
mod error;
mod extract;
mod host;
mod http;
mod problem;
mod routes;
#[cfg(test)]
mod tests;
mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub(crate) use error::ServeError;
pub(crate) use problem::Problem;

use crate::clock;
use crate::provider::{Provider, Sandbox};
use crate::store::{Birth, Store};
use host::{Host, Seen};
use writer::Writer;

/// Blocking work that is waited for at the end: a file's read, a charge's sending.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What the service is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The catalog's file.
    pub(crate) catalog: PathBuf,
    /// The ledger's directory.
    pub(crate) data: PathBuf,
    /// Port 0: any free one.
    pub(crate) listen: SocketAddr,
    /// How long after a period's end silent gateways and open calls are waited for.
    pub(crate) close_grace: SignedDuration,
}

/// Serves until the process is told to stop. `ready` hears the address once it answers.
pub(crate) fn run(settings: &Settings, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(ServeError::Start)?;
    let text = catalog::read(&settings.catalog)?;
    let listener = runtime.block_on(listen(settings.listen))?;
    let mut store = Store::open(&settings.data, birth()?)?;
    let sandbox = Sandbox::open(&settings.data)?;
    let loaded = catalog::load(&mut store, text.clone())?;
    tracing::info!(
        revision = loaded.revision,
        "the catalog {} is in force",
        settings.catalog.display()
    );
    let (writer, ledger) = Writer::start(store).map_err(ServeError::Start)?;
    let host = Host {
        writer,
        provider: Arc::new(Mutex::new(Provider::Sandbox(sandbox))),
        seen: Arc::new(Mutex::new(Seen::default())),
        close_grace: settings.close_grace,
        since: clock::now(),
    };
    let address = listener.local_addr().map_err(ServeError::Start)?;
    let served = runtime.block_on(async {
        let stop = stop_signal()?;
        // Cut off at the end, wherever they wait: a charge between claim and settlement is sent
        // again under the same key, a catalog is read again.
        let tasks = [
            tokio::spawn(catalog::watch(host.clone(), settings.catalog.clone(), text)),
            tokio::spawn(billing::run(host.clone())),
        ];
        ready(address);
        let lost = host.writer.clone();
        let stop = async move {
            tokio::select! {
                () = stop => tracing::info!("told to stop"),
                () = lost.lost() => tracing::error!("the ledger's thread is gone"),
            }
        };
        http::serve(listener, routes::router(host), http::LIMITS, stop).await;
        for task in tasks {
            task.abort();
        }
        Ok(())
    });
    end(runtime, ledger)?;
    served
}

/// Ends what still runs, so that the last way to the ledger is gone and its thread closes it.
fn end(runtime: Runtime, ledger: std::thread::JoinHandle<()>) -> Result<(), ServeError> {
    runtime.shutdown_timeout(END_TIMEOUT);
    ledger.join().map_err(|_| ServeError::LedgerLost)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::listen(address, error))
}

fn birth() -> Result<Birth, ServeError> {
    Ok(Birth {
        ledger: clock::random().map_err(ServeError::Chance)?,
        secret: clock::random().map_err(ServeError::Chance)?,
        operator: clock::random().map_err(ServeError::Chance)?,
    })
}

/// Resolves at Ctrl-C, and at what service managers send.
fn stop_signal() -> Result<impl Future<Output = ()>, ServeError> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Start)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Start)?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without a way to hear Ctrl-C the process ends by it, and the ledger is whole as well.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
