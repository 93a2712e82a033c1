//! The API behind the gateway: answers what the caller asks for, and counts what reached it.
//!
//! A caller asks for an answer in the header [`ANSWER`], for its size in [`BYTES`] and for units in
//! [`UNITS`], and names itself in [`LABEL`]; [`WAIT`] makes the answer slow. The arrival of a call
//! with a [`NUMBER`] is timed; of one with [`KEEP`], all is kept that came.

mod seen;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

pub use seen::{Arrival, Counts, Kept};

use seen::Seen;

/// The request header that says how to answer: a status, or `cut`; 200 without it.
pub const ANSWER: &str = "x-demo-answer";
const CUT: &str = "cut";
/// The request header under which calls are counted.
pub const LABEL: &str = "x-demo-subscription";
/// The header on every answer of the sample API, and on nobody else's.
pub const SIGNATURE: &str = "x-sample-api";
/// The request header with a number of the caller's, under which the call's arrival is noted.
pub const NUMBER: &str = "x-demo-number";
/// The request header that has the request itself kept.
pub const KEEP: &str = "x-demo-keep";
/// The request header that says how long the answer's body is.
pub const BYTES: &str = "x-demo-bytes";
/// The request header that says how many milliseconds the answer takes.
pub const WAIT: &str = "x-demo-wait";
/// The request header whose value the answer carries in [`UNITS_USED`].
pub const UNITS: &str = "x-demo-units";
/// The response header that says what a call used, if the caller asked for it.
pub const UNITS_USED: &str = "x-units";
/// The longest an answer takes.
const MAX_WAIT_MS: u64 = 60_000;
/// The longest body that is answered.
const MAX_BODY_BYTES: usize = 1024 * 1024;

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

/// A running sample API. Dropping it stops it.
#[derive(Debug)]
pub struct SampleApi {
    address: SocketAddr,
    seen: Arc<Seen>,
    // Closed by dropping it; the server's thread ends with its runtime then.
    _running: oneshot::Sender<Infallible>,
}

impl SampleApi {
    /// Starts it on a free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::<Seen>::default();
        let (running, stop) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&seen);
        thread::Builder::new().name("sample-api".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stop => {}
                }
            });
        })?;
        Ok(Self { address, seen, _running: running })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reached it so far.
    pub fn counts(&self) -> Counts {
        self.seen.counts()
    }

    /// When numbered calls arrived, in that order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.seen.arrivals()
    }

    /// The requests that were to be kept, in the order of their arrival.
    pub fn kept(&self) -> Vec<Kept> {
        self.seen.kept()
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Small answers, and a caller that waits for each.
        let _ = stream.set_nodelay(true);
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
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
    seen: Arc<Seen>,
) -> Result<Response<Full<Bytes>>, CutAsAsked> {
    let at = Instant::now();
    let (parts, mut body) = request.into_parts();
    let headers = &parts.headers;
    if let Some(number) = number(headers, NUMBER) {
        seen.arrived(number, at);
    }
    let label = header(headers, LABEL).unwrap_or_default();
    let asked = Answer::asked(headers);
    let bytes = number(headers, BYTES).and_then(|it| usize::try_from(it).ok());
    let units = headers.get(UNITS).cloned();
    let wait = number(headers, WAIT).unwrap_or(0).min(MAX_WAIT_MS);
    if headers.contains_key(KEEP) {
        seen.keep(Kept { method: parts.method, uri: parts.uri, headers: parts.headers });
    }
    // Read to its end, so that the whole call has arrived before it is counted.
    while let Some(Ok(_)) = body.frame().await {}
    let Answer::Status(status) = asked else {
        seen.count(label, 0);
        return Err(CutAsAsked);
    };
    seen.count(label, status.as_u16());
    // Whoever waits no more has called all the same.
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let text = match bytes {
        Some(bytes) => " ".repeat(bytes.min(MAX_BODY_BYTES)),
        None => format!("{{\"answer\":{}}}\n", status.as_u16()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(SIGNATURE, HeaderValue::from_static("1"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(units) = units {
        headers.insert(UNITS_USED, units);
    }
    Ok(response)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
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
