//! What the gate needs of the proxy it runs in.

use crate::metrics::Metric;

/// A compare-and-swap token of shared data, as the proxy hands it out with a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cas(u32);

impl Cas {
    /// Writes only if the key does not exist. Envoy ignores the token of a missing key, and a
    /// token that no present value has makes the write fail.
    pub const ABSENT: Self = Self(u32::MAX);

    /// A token as read with a value. Zero is the proxy's "write in any case"; it never stands for
    /// a value that was read.
    pub fn read(token: u32) -> Self {
        Self(if token == 0 { u32::MAX } else { token })
    }

    /// The number to give back to the proxy.
    pub fn token(self) -> u32 {
        self.0
    }
}

/// Another VM wrote the value first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost;

/// An HTTP call to the host's cluster.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// Envoy's name of the cluster.
    pub cluster: &'a str,
    /// The `:authority` to send.
    pub authority: &'a str,
    /// The path to post to.
    pub path: &'a str,
    /// The bearer token. Never logged.
    pub token: &'a str,
    /// A JSON text.
    pub body: &'a [u8],
    /// After this long the proxy answers itself.
    pub timeout_ms: u32,
}

/// How loud a line in the proxy's log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Someone should look.
    Warn,
    /// Something is lost or refused that should not be.
    Error,
    /// Never to be filtered out: usage itself.
    Critical,
}

/// The proxy. Calls that a proxy may refuse say so; none panics.
pub trait Host {
    /// Nanoseconds of a clock that all VMs of the process share and that never steps.
    fn monotonic_ns(&self) -> u64;
    /// Fills 16 bytes by chance.
    fn random(&self) -> [u8; 16];

    /// Reads a value of shared data.
    fn shared_get(&self, key: &[u8]) -> Option<(Vec<u8>, Cas)>;
    /// Writes a value of shared data if it still is what was read with `cas`.
    fn shared_set(&self, key: &[u8], value: &[u8], cas: Cas) -> Result<(), Lost>;

    /// The current stream's request headers in the ABI's form (see [`crate::request`]).
    fn request_headers(&self) -> Vec<u8>;
    /// A number the proxy knows of the current stream, such as `response.code`.
    fn number(&self, property: &[&str]) -> Option<u64>;
    /// Whether the proxy has this property for the current stream.
    fn has(&self, property: &[&str]) -> bool;
    /// The bytes of a property of the current stream, such as `response.headers.NAME`.
    fn bytes(&self, property: &[&str]) -> Option<Vec<u8>>;
    /// Makes this the current stream's `:path`, for everything after the gate.
    fn set_path(&self, path: &[u8]);
    /// Notes a text with the current stream, for what else is configured to read it.
    fn note(&self, name: &str, text: &str);

    /// Makes a stream or root context the one that following calls are about.
    fn focus(&self, context: u32) -> bool;
    /// Lets the current, paused stream go on.
    fn resume(&self);
    /// Answers the current stream.
    fn reply(&self, reply: &crate::reply::Reply);

    /// Sends; the answer comes to a root context with the token. Nothing if the proxy refused.
    fn post(&self, post: Post<'_>) -> Option<u32>;
    /// The `:status` of the answer being delivered, if it has one.
    fn answer_status(&self) -> Option<u16>;
    /// The body of the answer being delivered, at most `max` bytes of it.
    fn answer_body(&self, max: usize) -> Vec<u8>;

    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);

    /// Adds to a counter of the process.
    fn count(&self, metric: Metric, by: u32);
    /// Sets a gauge, which all VMs of the process share.
    fn show(&self, metric: Metric, value: u64);
}
