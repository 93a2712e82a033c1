//! Envoy's admin interface, as much of it as draining needs.

use std::io::ErrorKind;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;

use crate::client::HostUrl;

/// An answer is late after this; Envoy's is immediate.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read: a line per listener and worker.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// What is asked for: `tollgate_(undelivered|boot)$|^listener\..*downstream_cx_active$`.
const STATS: &str = "/stats?format=json&filter=tollgate_(undelivered%7Cboot)%24%7C%5Elistener%5C..*\
                     downstream_cx_active%24";
/// The connections of whoever asks.
const ADMIN_LISTENER: &str = "listener.admin.";

/// What Envoy says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    /// The gauge `tollgate_boot`; none before a gate runs in this process.
    pub(super) boot: Option<u64>,
    /// The gauge `tollgate_undelivered`; none before it first moved.
    pub(super) undelivered: Option<u64>,
    /// Connections to its listeners, but for the admin's; none if its configuration leaves these
    /// metrics out.
    pub(super) connections: Option<u64>,
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum AdminError {
    /// Nobody listens there.
    #[error("nobody answers at {0}: expected Envoy's admin address")]
    Refused(HostUrl),
    /// Something between is broken.
    #[error("Envoy's admin at {url} does not answer: {error}")]
    NoAnswer { url: HostUrl, error: Box<ureq::Error> },
    /// Somebody else answers.
    #[error("what answers at {url} is no Envoy admin: HTTP status {status} to {path}")]
    NotEnvoy { url: HostUrl, status: u16, path: String },
}

/// An Envoy's admin interface.
pub(super) struct Admin {
    agent: Agent,
    url: HostUrl,
}

#[derive(Deserialize)]
struct Stats {
    stats: Vec<Stat>,
}

/// A counter or gauge; histograms have neither name nor value.
#[derive(Deserialize)]
struct Stat {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: serde_json::Value,
}

impl Admin {
    pub(super) fn new(url: HostUrl) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Each look is a connection of its own: the last one tells that nobody listens.
            .max_idle_connections(0)
            .proxy(None)
            .build();
        Self { agent: config.into(), url }
    }

    /// Looks at the metrics.
    pub(super) fn look(&self) -> Result<Seen, AdminError> {
        let path = STATS;
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        let mut answer = answer.map_err(|error| self.no_answer(error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| self.no_answer(error))?;
        let not_envoy = || self.not_envoy(status, path);
        if status != 200 {
            return Err(not_envoy());
        }
        let Stats { stats } = serde_json::from_slice(&body).map_err(|_| not_envoy())?;
        Ok(Seen::of(&stats))
    }

    /// Asks for something to be done.
    pub(super) fn post(&self, path: &str) -> Result<(), AdminError> {
        let answer = self.agent.post(format!("{}{path}", self.url)).send_empty();
        let answer = answer.map_err(|error| self.no_answer(error))?;
        match answer.status().as_u16() {
            200 => Ok(()),
            status => Err(self.not_envoy(status, path)),
        }
    }

    fn not_envoy(&self, status: u16, path: &str) -> AdminError {
        AdminError::NotEnvoy { url: self.url.clone(), status, path: path.to_owned() }
    }

    fn no_answer(&self, error: ureq::Error) -> AdminError {
        let url = self.url.clone();
        match &error {
            ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
                AdminError::Refused(url)
            }
            ureq::Error::ConnectionFailed => AdminError::Refused(url),
            _ => AdminError::NoAnswer { url, error: Box::new(error) },
        }
    }
}

impl Seen {
    fn of(stats: &[Stat]) -> Self {
        let mut seen = Self::default();
        for Stat { name, value } in stats {
            let Some(value) = value.as_u64() else { continue };
            match name.rsplit('.').next() {
                Some("tollgate_boot") => seen.boot = Some(value).filter(|boot| *boot > 0),
                Some("tollgate_undelivered") => seen.undelivered = Some(value),
                // Of a listener it is the sum of its workers', which are told beside it.
                Some("downstream_cx_active")
                    if !name.starts_with(ADMIN_LISTENER) && !name.contains(".worker_") =>
                {
                    let others = seen.connections.unwrap_or(0);
                    seen.connections = Some(others.saturating_add(value));
                }
                _ => {}
            }
        }
        seen
    }
}
