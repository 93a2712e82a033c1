//! Load: callers on kept connections, each in a closed loop, and a log of all they were answered.
//!
//! One thread carries all connections: two Envoys, the API and the host share this machine's cores.

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::task::JoinSet;
use tollgate_pricing::sync::Reason;

use crate::failure::Failure;
use crate::time::{self, Ns};
use connection::Connection;

/// The key of a call, from the call's number.
pub(crate) type Keys = Arc<dyn Fn(u64) -> String + Send + Sync>;

/// More headers of a call, from its number.
pub(crate) type Headers = fn(u64) -> &'static [(&'static str, &'static str)];

/// Callers that do the same.
#[derive(Clone)]
pub(crate) struct Callers {
    /// The gateway's place in the fleet.
    pub(crate) gateway: usize,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) keys: Keys,
    /// Of a call, by its number.
    pub(crate) headers: Headers,
    /// Under which name the sample API counts their calls.
    pub(crate) label: String,
    pub(crate) connections: u32,
    /// Each connection begins a call this often, if the last one has ended; at once if zero.
    pub(crate) every: Duration,
}

/// A call, as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The place of its callers among those that were started.
    pub(crate) callers: usize,
    /// Their gateway.
    pub(crate) gateway: usize,
    pub(crate) connection: u32,
    /// No two calls of this program have the same; the sample API notes it.
    pub(crate) number: u64,
    pub(crate) sent: Ns,
    pub(crate) answered: Ns,
    pub(crate) answer: Answer,
}

/// How a call was answered, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Answer {
    /// By the API, with this status.
    Api(u16),
    /// By the gate.
    Gate(u16, Reason),
    /// By Envoy itself.
    Envoy(u16),
    /// Not at all: the connection failed, or time ran out.
    Nobody,
}

/// Every number is given once.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// What can be seen of a load while it runs.
#[derive(Debug, Default)]
struct Live {
    stop: AtomicBool,
    answered_by_api: AtomicU64,
    last_by_api: AtomicU64,
    not_by_api: AtomicU64,
}

/// Callers at work. Dropping it stops them and forgets what they saw.
pub(crate) struct Load {
    live: Arc<Live>,
    thread: Option<JoinHandle<Vec<Call>>>,
}

impl Load {
    /// Sets callers to work.
    pub(crate) fn start(callers: &[Callers]) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::io("make a runtime for the load"))?;
        let live = Arc::<Live>::default();
        let (shared, callers) = (Arc::clone(&live), callers.to_vec());
        let thread = thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || runtime.block_on(all(callers, shared)))
            .map_err(Failure::io("start a thread for the load"))?;
        Ok(Self { live, thread: Some(thread) })
    }

    /// Calls the API has answered.
    pub(crate) fn answered_by_api(&self) -> u64 {
        self.live.answered_by_api.load(Ordering::Relaxed)
    }

    /// Calls that ended in another way.
    pub(crate) fn not_by_api(&self) -> u64 {
        self.live.not_by_api.load(Ordering::Relaxed)
    }

    /// How long ago the API answered for the last time; none if it never did.
    pub(crate) fn quiet_for(&self) -> Option<Duration> {
        let last = self.live.last_by_api.load(Ordering::Relaxed);
        (last > 0).then(|| Duration::from_nanos(time::now().saturating_sub(last)))
    }

    /// Lets the callers finish what they began, and gives what they saw, in the order of sending.
    pub(crate) fn stop(mut self) -> Vec<Call> {
        self.live.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(mut calls)) => {
                calls.sort_unstable_by_key(|call| call.sent);
                calls
            }
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Vec::new(),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.live.stop.store(true, Ordering::Relaxed);
    }
}

async fn all(callers: Vec<Callers>, live: Arc<Live>) -> Vec<Call> {
    let mut tasks = JoinSet::new();
    for (place, callers) in callers.into_iter().enumerate() {
        let callers = Arc::new(callers);
        for connection in 0..callers.connections {
            let caller = Caller { callers: Arc::clone(&callers), place, connection };
            tasks.spawn(caller.work(Arc::clone(&live)));
        }
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// One of the callers, with a connection of its own.
struct Caller {
    callers: Arc<Callers>,
    place: usize,
    connection: u32,
}

impl Caller {
    async fn work(self, live: Arc<Live>) -> Vec<Call> {
        let every = self.callers.every;
        // Spread over the pause, so that a thousand calls a second are no bursts.
        tokio::time::sleep(every * self.connection / self.callers.connections.max(1)).await;
        // What a slow answer delayed is made up for: so many calls a second are meant.
        let mut ticks = (!every.is_zero()).then(|| tokio::time::interval(every));
        let mut connection = Connection::new(self.callers.address);
        let mut calls = Vec::new();
        loop {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            if live.stop.load(Ordering::Relaxed) {
                return calls;
            }
            let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
            let key = (self.callers.keys)(number);
            let sent = time::now();
            let answer = connection.call(&self.callers, &key, number).await;
            let answered = time::now();
            if let Answer::Api(_) = answer {
                live.answered_by_api.fetch_add(1, Ordering::Relaxed);
                live.last_by_api.fetch_max(answered, Ordering::Relaxed);
            } else {
                live.not_by_api.fetch_add(1, Ordering::Relaxed);
            }
            let (callers, gateway) = (self.place, self.callers.gateway);
            let connection = self.connection;
            calls.push(Call { callers, gateway, connection, number, sent, answered, answer });
        }
    }
}

/// No more headers.
pub(crate) fn plain(_: u64) -> &'static [(&'static str, &'static str)] {
    &[]
}

/// The same key for every call.
pub(crate) fn one_key(key: &str) -> Keys {
    let key = key.to_owned();
    Arc::new(move |_| key.clone())
}
