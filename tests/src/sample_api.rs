//! The API behind the gateway: answers what the caller asks for, and counts what reached it.
//!
//! A caller asks for an answer in the header [`ANSWER`] and names itself in [`LABEL`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

/// The request header that says how to answer: a status, or `cut`; 200 without it.
pub const ANSWER: &str = "x-demo-answer";
const CUT: &str = "cut";
/// The request header under which calls are counted.
pub const LABEL: &str = "x-demo-subscription";
/// The header on every answer of the sample API, and on nobody else's.
pub const SIGNATURE: &str = "x-sample-api";
/// Counters kept apart; callers past it are counted together, without a name.
const MAX_COUNTERS: usize = 10_000;

/// How the sample API answers a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// With this status.
    Status(StatusCode),
    /// Not at all: it reads the request and closes the connection.
    Cut,
}

impl Answer {
    /// The word for it in [`ANSWER`].
    pub fn word(self) -> String {
        match self {
            Self::Status(status) => status.as_str().to_owned(),
            Self::Cut => CUT.to_owned(),
        }
    }

    /// What a request asks for. Words without a meaning are the caller's mistake: 400.
    fn asked(headers: &HeaderMap) -> Self {
        let Some(word) = headers.get(ANSWER) else {
            return Self::Status(StatusCode::OK);
        };
        if word.as_bytes() == CUT.as_bytes() {
            return Self::Cut;
        }
        let status = StatusCode::from_bytes(word.as_bytes()).ok();
        Self::Status(status.filter(|it| !it.is_informational()).unwrap_or(StatusCode::BAD_REQUEST))
    }
}

/// Calls that reached the sample API, by caller and status; 0 is a cut connection.
pub type Counts = BTreeMap<(String, u16), u64>;

/// A running sample API. Dropping it stops it.
#[derive(Debug)]
pub struct SampleApi {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    // Closed by dropping it; the server's thread ends with its runtime then.
    _running: oneshot::Sender<Infallible>,
}

impl SampleApi {
    /// Starts it on a free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let counts = Arc::<Mutex<Counts>>::default();
        let (running, stop) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let shared = Arc::clone(&counts);
        thread::Builder::new().name("sample-api".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stop => {}
                }
            });
        })?;
        Ok(Self { address, counts, _running: running })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reached it so far.
    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }
}

async fn serve(listener: TcpListener, counts: Arc<Mutex<Counts>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&counts)));
            // An error here is the cut that was asked for, or a caller that went away.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The error that makes hyper close the connection without an answer.
#[derive(Debug)]
struct CutAsAsked;

impl fmt::Display for CutAsAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller asked for a cut connection")
    }
}

impl std::error::Error for CutAsAsked {}

async fn answer(
    request: Request<Incoming>,
    counts: Arc<Mutex<Counts>>,
) -> Result<Response<Full<Bytes>>, CutAsAsked> {
    let label = header(request.headers(), LABEL).unwrap_or_default();
    let asked = Answer::asked(request.headers());
    // Read to its end, so that the whole call has arrived before it is counted.
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let Answer::Status(status) = asked else {
        count(&counts, label, 0);
        return Err(CutAsAsked);
    };
    count(&counts, label, status.as_u16());
    let mut response = Response::new(Full::from(format!("{{\"answer\":{}}}\n", status.as_u16())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(SIGNATURE, HeaderValue::from_static("1"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

fn count(counts: &Mutex<Counts>, label: String, status: u16) {
    let mut counts = lock(counts);
    let mut key = (label, status);
    if counts.len() >= MAX_COUNTERS && !counts.contains_key(&key) {
        key.0.clear();
    }
    *counts.entry(key).or_default() += 1;
}

/// A count is one addition: a thread that panicked cannot have left half of one.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::{self, Call, CallError};

    #[test]
    fn it_answers_what_it_is_asked_for_and_counts_it() {
        let api = SampleApi::start().unwrap();
        let call = |answer| Call {
            url: format!("http://{}/address", api.address()),
            key: String::new(),
            label: "sub_1".into(),
            answer,
        };
        let agent = client::agent(Duration::from_secs(5));
        for status in [200, 404, 500, 599] {
            let answer = Answer::Status(StatusCode::from_u16(status).unwrap());
            let reply = client::send(&agent, &call(answer)).unwrap();
            assert_eq!((reply.status, reply.from), (status, client::From::Api));
        }
        let cut = client::send(&agent, &call(Answer::Cut));
        assert!(matches!(cut, Err(CallError::NoAnswer { .. })), "{cut:?}");
        let unreadable = agent.get(call(Answer::Cut).url).header(ANSWER, "soon").call();
        assert_eq!(unreadable.unwrap().status(), 400);

        let counts: Vec<_> = api.counts().into_iter().collect();
        let one = |label: &str, status| ((label.to_owned(), status), 1);
        let named = [0, 200, 404, 500, 599].map(|status| one("sub_1", status));
        assert_eq!(counts, [vec![one("", 400)], named.to_vec()].concat());
    }
}
