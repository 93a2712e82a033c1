//! One HTTP request through a VM: what came in, how far it got, how it ended.

use std::collections::BTreeMap;

use super::Pairs;

/// A request as Envoy's filters see it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) headers: Pairs,
}

impl Request {
    /// `GET path` on `api.example.com`, without a body.
    pub(crate) fn get(path: impl AsRef<[u8]>) -> Self {
        Self::new("GET", path)
    }

    /// Any method on `api.example.com`, without a body.
    pub(crate) fn new(method: &str, path: impl AsRef<[u8]>) -> Self {
        let pair = |name: &str, value: &[u8]| (name.into(), value.into());
        Self {
            headers: vec![
                pair(":method", method.as_bytes()),
                pair(":path", path.as_ref()),
                pair(":authority", b"api.example.com"),
                pair(":scheme", b"http"),
            ],
        }
    }

    /// The same, with one more header.
    pub(crate) fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// The same, without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name.as_bytes());
        self
    }
}

/// A stream of one VM, by its context's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Stream(pub(crate) u32);

/// How far a stream has got.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// The plugin holds it back.
    Paused,
    /// It went on to the upstream.
    Forwarded,
    /// The plugin answered it, and it has ended.
    Answered(Reply),
    /// Its VM trapped: the caller got a 503 of Envoy's, and nothing was logged.
    Died,
}

/// An answer made by the plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The first value of a header, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }
}

/// How a stream ends that the plugin did not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// An upstream answered.
    Status(u16),
    /// Envoy answered without a connection to an upstream.
    NoUpstream(u16),
    /// The caller went away before any answer.
    Aborted,
}

/// What an upstream's answer was like.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Measured {
    /// Bytes of request and response, headers included.
    pub(crate) bytes: (u64, u64),
    /// Headers of the response.
    pub(crate) headers: Pairs,
}

/// What the VM's host knows of a stream.
#[derive(Debug)]
pub(crate) struct State {
    /// The root context it belongs to.
    pub(crate) root: u32,
    pub(crate) headers: Pairs,
    pub(crate) progress: Progress,
    /// Asked for during a callback, carried out after it.
    pub(crate) reply: Option<Reply>,
    /// The status that callers got, known once there is an answer.
    pub(crate) status: Option<u32>,
    /// Whether there was a connection to an upstream.
    pub(crate) upstream: bool,
    /// Headers can no longer be changed: the stream is being logged.
    pub(crate) logging: bool,
    /// What the answer was like, once there is one.
    pub(crate) measured: Measured,
    /// Properties that the plugin has set, by their dotted paths.
    pub(crate) notes: BTreeMap<String, Vec<u8>>,
}

impl State {
    pub(crate) fn new(root: u32, headers: Pairs, progress: Progress) -> Self {
        Self {
            root,
            headers,
            progress,
            reply: None,
            status: None,
            upstream: false,
            logging: false,
            measured: Measured::default(),
            notes: BTreeMap::new(),
        }
    }

    /// A property by its dotted path: integers are 8 bytes, little-endian.
    pub(crate) fn property(&self, path: &str) -> Option<Vec<u8>> {
        let (request, response) = self.measured.bytes;
        if let Some(name) = path.strip_prefix("response.headers.") {
            let mut headers = self.measured.headers.iter();
            let (_, value) = headers.find(|(known, _)| known == name.as_bytes())?;
            return Some(value.clone());
        }
        match path {
            "request.total_size" => Some(request.to_le_bytes().to_vec()),
            "response.total_size" => Some(response.to_le_bytes().to_vec()),
            "response.code" => Some(u64::from(self.status?).to_le_bytes().to_vec()),
            "upstream.local_address" if self.upstream => Some(b"127.0.0.1:8081".to_vec()),
            _ => None,
        }
    }
}
