//! Asks a running `tollgate serve`, as its operator.

use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Method, Request};

use crate::serve::Problem;

/// An answer is late after this; closing many periods takes longest.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read: a usage report of a hundred thousand subscriptions.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Where a host answers: `http://HOST[:PORT]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HostUrl(String);

impl FromStr for HostUrl {
    type Err = BadHostUrl;

    fn from_str(text: &str) -> Result<Self, BadHostUrl> {
        let bad = || BadHostUrl(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let plain = uri.scheme() == Some(&Scheme::HTTP)
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none();
        match uri.authority() {
            Some(authority) if plain && !authority.as_str().contains('@') => {
                Ok(Self(format!("http://{authority}")))
            }
            _ => Err(bad()),
        }
    }
}

impl HostUrl {
    /// Whether it names this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let uri: Option<Uri> = self.0.parse().ok();
        uri.as_ref().and_then(Uri::host).is_some_and(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is not a host's URL.
#[derive(Debug, thiserror::Error)]
#[error("expected a URL like http://127.0.0.1:8430, found {0:?}")]
pub(crate) struct BadHostUrl(String);

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody there.
    #[error(
        "no tollgate answers at {url}: start it with `tollgate serve --catalog FILE`, or name \
         another with --host ({error})"
    )]
    Unreachable { url: HostUrl, error: Box<ureq::Error> },
    /// It may have heard, but what it said did not arrive.
    #[error(
        "the tollgate at {url} did not answer to the end: what was asked may have been done, so \
         look before asking again ({error})"
    )]
    CutShort { url: HostUrl, error: Box<ureq::Error> },
    /// It does not know this token, or not as an operator's.
    #[error(
        "the tollgate at {url} refuses this operator token{why}: set TOLLGATE_OPERATOR_TOKEN to \
         what is in the file `operator.token` of its data directory, or name that directory with \
         --data"
    )]
    TokenRefused { url: HostUrl, why: &'static str },
    /// It said no, and why.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// It said something else.
    #[error("what answers at {url} is no tollgate of this version (HTTP status {status})")]
    NotUnderstood { url: HostUrl, status: u16 },
    /// A request that cannot be written.
    #[error("the request cannot be written: {0}")]
    Unwritable(String),
}

impl ClientError {
    fn no_answer(url: &HostUrl, error: ureq::Error) -> Self {
        use ureq::{Error, Timeout};
        let never_heard = match &error {
            Error::HostNotFound
            | Error::ConnectionFailed
            | Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
            Error::Io(error) => matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::AddrNotAvailable
            ),
            _ => false,
        };
        let (url, error) = (url.clone(), Box::new(error));
        if never_heard { Self::Unreachable { url, error } } else { Self::CutShort { url, error } }
    }
}

/// Whether anybody answers there, whoever it is.
pub(crate) fn probe(url: &HostUrl) -> Result<(), ClientError> {
    match agent().get(format!("{url}/healthz")).call() {
        Ok(_) => Ok(()),
        Err(error) => Err(ClientError::no_answer(url, error)),
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        // The token is for the host that was named, not for a proxy that the environment names.
        .proxy(None)
        .build();
    config.into()
}

/// A host and the token to ask it with.
pub(crate) struct Client {
    agent: Agent,
    url: HostUrl,
    token: String,
}

impl Client {
    pub(crate) fn new(url: HostUrl, token: String) -> Self {
        Self { agent: agent(), url, token }
    }

    /// Reads what is at `path`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, Vec::new())
    }

    /// Posts `body` to `path`.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| ClientError::Unwritable(e.to_string()))?;
        self.send(Method::POST, path, body)
    }

    /// Ends what is at `path`.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::DELETE, path, Vec::new())
    }

    fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request =
            request.body(body).map_err(|error| ClientError::Unwritable(error.to_string()))?;
        let no_answer = |error| ClientError::no_answer(&self.url, error);
        let mut response = self.agent.run(request).map_err(no_answer)?;
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(no_answer)?;
        let not_understood =
            |_| ClientError::NotUnderstood { url: self.url.clone(), status: status.as_u16() };
        if status.is_success() {
            return serde_json::from_slice(&text).map_err(not_understood);
        }
        let problem: Problem = serde_json::from_slice(&text).map_err(not_understood)?;
        let refused = |why| ClientError::TokenRefused { url: self.url.clone(), why };
        Err(match problem.reason.as_str() {
            "unauthorized" => refused(""),
            "wrong_role" => refused(", which is a gateway's"),
            _ => ClientError::Refused(problem),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use serde_json::Value;

    use super::*;

    #[test]
    fn only_plain_urls_name_a_host() {
        let accepted = |text: &str| text.parse::<HostUrl>().map(|url| url.to_string()).ok();
        for (text, url) in [
            ("http://127.0.0.1:8430", Some("http://127.0.0.1:8430")),
            ("http://tollgate.internal/", Some("http://tollgate.internal")),
            ("http://[::1]:8430", Some("http://[::1]:8430")),
            ("127.0.0.1:8430", None),
            ("https://tollgate.example", None),
            ("http://a/b", None),
            ("http://a?b", None),
            ("http://me:secret@a", None),
            ("", None),
        ] {
            assert_eq!(accepted(text).as_deref(), url, "{text}");
        }
    }

    #[test]
    fn a_host_that_is_cut_short_is_not_told_as_absent() {
        let said = |answer: &'static [u8]| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url: HostUrl =
                format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let host = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(answer).unwrap();
            });
            let error = Client::new(url.clone(), "t".to_owned()).get::<Value>("/").unwrap_err();
            host.join().unwrap();
            error.to_string().replace(&url.to_string(), "URL")
        };
        for (answer, expected) in [
            (&b""[..], "the tollgate at URL did not answer to the end: what was asked may have"),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1,",
                "the tollgate at URL did not answer to the end: what was asked may have",
            ),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
                "what answers at URL is no tollgate of this version (HTTP status 200)",
            ),
        ] {
            let said = said(answer);
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
