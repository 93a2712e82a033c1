//! The APIs of a catalog, their operations, and where callers put their key.

use std::collections::BTreeMap;

use crate::gate::{Api, KeyPlaces, Operation};

use super::all;
use super::id::Ids;
use super::mistake::Log;
use super::path::{path, shape, template};
use super::place::Place;

/// Operations in one API.
const MAX_OPERATIONS: usize = 1_000;
/// The longest name of a header or query parameter.
const MAX_NAME_BYTES: usize = 64;
/// The longest name of a host (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// The longest part of it between dots.
const MAX_LABEL_BYTES: usize = 63;
/// Headers that mean something to the connection, and cannot be taken from a request.
const RESERVED_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where keys are when the catalog does not say.
pub(super) fn default_key() -> KeyPlaces {
    KeyPlaces { header: "x-api-key".to_owned(), query: None, imported: false }
}

/// Reads where callers put their key.
pub(super) fn key(place: &Place<'_>, log: &mut Log) -> Option<KeyPlaces> {
    place.fields(log, "a mapping such as `{ header: X-Api-Key }`", |fields, log| {
        let header = fields.optional("header").map(|place| header(&place, log));
        let query = fields.optional("query").map(|place| query(&place, log));
        Some(KeyPlaces {
            header: header.unwrap_or_else(|| Some(default_key().header))?,
            query: query.map_or(Some(None), |name| name.map(Some))?,
            imported: false,
        })
    })
}

fn header(place: &Place<'_>, log: &mut Log) -> Option<String> {
    let expected = format!("the name of a header, at most {MAX_NAME_BYTES} bytes");
    let name = place.parse(log, &expected, |text| {
        let is_name = is_token(text) && text.len() <= MAX_NAME_BYTES;
        is_name.then(|| text.to_ascii_lowercase())
    })?;
    if RESERVED_HEADERS.contains(&name.as_str()) {
        place.mistake(
            log,
            format!("expected a header of its own, found `{name}`, which HTTP needs"),
        );
        return None;
    }
    Some(name)
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

/// The lines of hosts and paths: no two APIs may have the same.
pub(super) type Doors = BTreeMap<(Option<String>, String), usize>;

/// Reads one API.
pub(super) fn api(
    place: &Place<'_>,
    ids: &mut Ids,
    doors: &mut Doors,
    log: &mut Log,
) -> Option<Api> {
    place.fields(log, "an API", |fields, log| {
        let id = fields.required("id").and_then(|place| ids.take(&place, log));
        let host = fields.optional("host").map(|place| host(&place, log));
        let path = fields.optional("path").map(|place| path(&place, log));
        let operations = fields.optional("operations").map(|place| operations(&place, log));
        let host = host.map_or(Some(None), |name| name.map(Some))?;
        let path = path.unwrap_or_else(|| Some("/".to_owned()))?;
        if let Some(line) = doors.insert((host.clone(), path.clone()), place.at().line) {
            let message = format!(
                "expected a host and path of its own, found those of the API in line {line}"
            );
            place.mistake(log, message);
        }
        Some(Api {
            id: id?,
            host,
            path,
            operations: operations.unwrap_or_else(|| Some(Vec::new()))?,
        })
    })
}

fn host(place: &Place<'_>, log: &mut Log) -> Option<String> {
    let expected = "the name of a host without port, such as api.example.com";
    place.parse(log, expected, |text| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = |label: &str| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label.bytes().all(is_inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_host = text.len() <= MAX_HOST_BYTES && text.split('.').all(is_label);
        is_host.then(|| text.to_ascii_lowercase())
    })
}

fn operations(place: &Place<'_>, log: &mut Log) -> Option<Vec<Operation>> {
    let places = place.list(log, "operations", MAX_OPERATIONS)?;
    if places.is_empty() {
        place.mistake(
            log,
            "expected operations, found an empty list: leave it out to let every call pass as one \
             operation",
        );
    }
    let mut ids = Ids::new("operation");
    let mut matches = Matches::new();
    let read = |place| operation(place, &mut ids, &mut matches, log);
    all(places.iter().map(read))
}

/// The lines of methods and shapes of paths: no two operations of an API may have the same.
type Matches = BTreeMap<(Option<String>, String), usize>;

fn operation(
    place: &Place<'_>,
    ids: &mut Ids,
    matches: &mut Matches,
    log: &mut Log,
) -> Option<Operation> {
    let example = "an operation such as `{ id: health, method: GET, path: /health }`";
    place.fields(log, example, |fields, log| {
        let id = fields.required("id").and_then(|place| ids.take(&place, log));
        let method = fields.optional("method").map(|place| method(&place, log));
        let path = fields.required("path").and_then(|place| template(&place, log));
        let open = fields.optional("open").map(|place| place.truth(log));
        let method = method.map_or(Some(None), |name| name.map(Some))?;
        let path = path?;
        let template = (method.clone(), shape(&path));
        if let Some(line) = matches.insert(template, place.at().line) {
            let message = format!(
                "expected a method and path of its own, found those of the operation in line {line}"
            );
            place.mistake(log, message);
        }
        Some(Operation { id: id?, method, path, open: open.unwrap_or(Some(false))?, weight: 1 })
    })
}

fn method(place: &Place<'_>, log: &mut Log) -> Option<String> {
    place.parse(log, "an HTTP method such as GET, or none for any", |text| {
        let is_method = text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
            && (1..=MAX_NAME_BYTES).contains(&text.len());
        is_method.then(|| text.to_ascii_uppercase())
    })
}
