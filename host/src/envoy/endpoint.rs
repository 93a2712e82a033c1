//! Where something answers, as Envoy needs it: a host and a port apart.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A host name or address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    /// A host name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Text that is not `HOST:PORT`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT, like localhost:3000 or [::1]:3000: {0}")]
pub(crate) struct BadEndpoint(&'static str);

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        if text.contains("://") {
            return Err(BadEndpoint("it has no scheme like http://"));
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadEndpoint("the port is missing"))?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(BadEndpoint("the port is a number from 1 to 65535")),
            Ok(port) => port,
        };
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(address) => address
                .parse::<Ipv6Addr>()
                .map_err(|_| BadEndpoint("brackets are for an IPv6 address"))?
                .to_string(),
            None if host.contains(':') => {
                return Err(BadEndpoint("an IPv6 address stands in brackets"));
            }
            None if is_host_name(host) => host.to_owned(),
            None => return Err(BadEndpoint("the host is a name or an address")),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Labels of letters, digits, `-` and the `_` of container networks, parted by dots (RFC 1123).
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked() {
        let read = |text: &str| match text.parse::<Endpoint>() {
            Ok(endpoint) => endpoint.to_string(),
            Err(BadEndpoint(why)) => why.to_owned(),
        };
        for (text, expected) in [
            ("localhost:3000", "localhost:3000"),
            ("my_api.internal:1", "my_api.internal:1"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("[0:0::1]:80", "[::1]:80"),
            ("http://x:1", "it has no scheme like http://"),
            ("localhost", "the port is missing"),
            ("localhost:", "the port is a number from 1 to 65535"),
            ("localhost:0", "the port is a number from 1 to 65535"),
            ("localhost:65536", "the port is a number from 1 to 65535"),
            ("::1:80", "an IPv6 address stands in brackets"),
            ("[localhost]:80", "brackets are for an IPv6 address"),
            (":80", "the host is a name or an address"),
            ("a..b:80", "the host is a name or an address"),
            ("a\" }:80", "the host is a name or an address"),
            ("${listen.host}:80", "the host is a name or an address"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
