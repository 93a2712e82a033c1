//! A kept HTTP/1.1 connection to a gateway.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tollgate_pricing::sync::Reason;
use tollgate_tests::sample_api::{LABEL, NUMBER, SIGNATURE};

use super::{Answer, Callers};

/// The longest a call may take: the gate's two waits of 2 s, and some.
const CALL_WITHIN: Duration = Duration::from_secs(8);
/// Between attempts to connect.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(100);

type Body = Empty<Bytes>;

pub(super) struct Connection {
    address: SocketAddr,
    open: Option<SendRequest<Body>>,
}

/// A refusal as the gate writes it.
#[derive(Deserialize)]
struct Problem {
    reason: Reason,
}

impl Connection {
    /// Connects with the first call.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    /// Makes a call, on a new connection if the last one failed.
    pub(super) async fn call(&mut self, callers: &Callers, key: &str, number: u64) -> Answer {
        match timeout(CALL_WITHIN, self.try_call(callers, key, number)).await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                self.open = None;
                sleep(CONNECT_AGAIN_AFTER).await;
                Answer::Nobody
            }
            Err(_) => {
                self.open = None;
                Answer::Nobody
            }
        }
    }

    async fn try_call(&mut self, callers: &Callers, key: &str, number: u64) -> Option<Answer> {
        let request = Request::get(callers.path)
            .header(HOST, "api.example.com")
            .header("x-api-key", key)
            .header(LABEL, &callers.label)
            .header(NUMBER, number);
        let headers = (callers.headers)(number).iter();
        let request = headers.fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::new()).ok()?;
        let sender = match &mut self.open {
            Some(sender) if !sender.is_closed() => sender,
            open => open.insert(connect(self.address).await?),
        };
        sender.ready().await.ok()?;
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let by_api = response.headers().contains_key(SIGNATURE);
        // Read to its end whoever wrote it: only then can the connection carry the next call.
        let body = response.into_body().collect().await.ok()?.to_bytes();
        if by_api {
            return Some(Answer::Api(status));
        }
        let problem = serde_json::from_slice(&body);
        Some(problem.map_or(Answer::Envoy(status), |it: Problem| Answer::Gate(status, it.reason)))
    }
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Body>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // Ends with the sender, or with the other side.
    tokio::spawn(connection);
    Some(sender)
}
