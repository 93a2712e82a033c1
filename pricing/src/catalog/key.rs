//! Where callers put their key, and the names of headers.

use crate::gate::KeyPlaces;

use super::mistake::Log;
use super::place::Place;

/// The longest name of a header, method or query parameter.
pub(super) const MAX_NAME_BYTES: usize = 64;
/// Headers that mean something else, and cannot be taken from a request.
const RESERVED: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Beginnings of headers that Envoy takes away from callers and writes itself.
const WRITTEN_BY_ENVOY: [&str; 3] = ["x-envoy-", "x-forwarded-", "x-request-id"];

/// Where keys are when the catalog does not say.
pub(super) fn default_key() -> KeyPlaces {
    KeyPlaces { header: "x-api-key".to_owned(), query: None, imported: false }
}

/// Reads where callers put their key.
pub(super) fn key(place: &Place<'_>, log: &mut Log) -> Option<KeyPlaces> {
    place.fields(log, "a mapping such as `{ header: X-Api-Key }`", |fields, log| {
        let header = fields.optional("header").map(|place| key_header(&place, log));
        let query = fields.optional("query").map(|place| query(&place, log));
        let imported = fields.optional("imported").map(|place| place.truth(log));
        Some(KeyPlaces {
            header: header.unwrap_or_else(|| Some(default_key().header))?,
            query: query.map_or(Some(None), |name| name.map(Some))?,
            imported: imported.unwrap_or(Some(false))?,
        })
    })
}

fn key_header(place: &Place<'_>, log: &mut Log) -> Option<String> {
    let name = header(place, log)?;
    let why = if RESERVED.contains(&name.as_str()) {
        "HTTP needs"
    } else if WRITTEN_BY_ENVOY.iter().any(|begin| name.starts_with(begin)) {
        "Envoy writes itself"
    } else {
        return Some(name);
    };
    place.mistake(log, format!("expected a header of its own, found `{name}`, which {why}"));
    None
}

/// Reads the name of a header, in lower case.
pub(super) fn header(place: &Place<'_>, log: &mut Log) -> Option<String> {
    let expected = format!("the name of a header, at most {MAX_NAME_BYTES} bytes");
    place.parse(log, &expected, |text| {
        let is_name = is_token(text) && text.len() <= MAX_NAME_BYTES;
        is_name.then(|| text.to_ascii_lowercase())
    })
}

/// A token of RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

fn query(place: &Place<'_>, log: &mut Log) -> Option<String> {
    // Unreserved characters only (RFC 3986, 2.3): what needs no escape is written in one way.
    let expected =
        format!("the name of a query parameter, at most {MAX_NAME_BYTES} letters, digits and -._~");
    place.parse(log, &expected, |text| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_name = !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(is_part);
        is_name.then(|| text.to_owned())
    })
}
