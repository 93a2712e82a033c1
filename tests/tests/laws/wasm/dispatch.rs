//! HTTP calls that the plugin sends, and every way they may end.

use std::time::Duration;

use super::{Pairs, Status};

/// An HTTP call under way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The VM that sent it, and which of that worker's lives it was.
    pub(crate) vm: usize,
    pub(crate) life: u32,
    /// The root context that hears of its end.
    pub(crate) root: u32,
    /// Its number in the process.
    pub(crate) token: u32,
    /// Envoy's name for where it goes.
    pub(crate) cluster: String,
    /// Headers, among them `:method`, `:path` and `:authority`.
    pub(crate) headers: Pairs,
    /// The body, whole.
    pub(crate) body: Vec<u8>,
    /// When Envoy gives up, on the monotonic clock.
    pub(crate) deadline: Duration,
}

impl Call {
    /// The first value of a header, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }
}

/// What comes back for a [`Call`].
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A status with a JSON body.
    pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let pair = |name: &str, value: &str| (name.into(), value.into());
        Self {
            headers: vec![
                pair(":status", &status.to_string()),
                pair("content-type", "application/json"),
            ],
            body: body.into(),
        }
    }

    /// What Envoy invents when it cannot connect.
    pub(crate) fn no_connection() -> Self {
        let text = "upstream connect error or disconnect/reset before headers. reset reason: \
                    remote connection failure, transport failure reason: delayed connect error: \
                    Connection refused";
        Self::json(503, text)
    }

    /// What Envoy invents when the call's time is over.
    pub(crate) fn timed_out() -> Self {
        Self::json(504, "upstream request timeout")
    }

    /// The connection was reset: no headers at all.
    pub(crate) fn reset() -> Self {
        Self { headers: Pairs::new(), body: Vec::new() }
    }
}

/// Calls under way in a process, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) under_way: Vec<Call>,
    /// Answered at once to every new call, while set: an unknown or an empty cluster.
    pub(crate) refusal: Option<Status>,
    /// Calls up to this number were collected by who carries them.
    pub(crate) collected: u32,
    last_token: u32,
}

impl Calls {
    /// A number for a new call.
    pub(crate) fn next_token(&mut self) -> u32 {
        self.last_token += 1;
        self.last_token
    }
}
