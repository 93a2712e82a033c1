//! The APIs of a catalog and their operations, and what the rest of it may say of them.

use std::collections::BTreeMap;

use crate::gate::{Api, MAX_WEIGHT, Operation, Target};

use super::id::Ids;
use super::key::MAX_NAME_BYTES;
use super::mistake::Log;
use super::path::{path, shape, template};
use super::place::Place;
use super::{MAX_APIS, all};

/// Operations in one API.
const MAX_OPERATIONS: usize = 1_000;
/// The longest name of a host (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// The longest part of it between dots.
const MAX_LABEL_BYTES: usize = 63;
/// What every call of an API without operations is.
const ANY_OPERATION: &str = "*";

/// The APIs as they are read, and all of their names, unusable ones too: whoever refers to one
/// makes no second mistake.
pub(super) struct Apis<'a> {
    ids: Ids,
    /// Names of operations by API.
    operations: BTreeMap<String, Ids>,
    /// Weights that make a difference, where they stand, and whose.
    weights: Vec<(Place<'a>, Target)>,
    /// All of them, if there is no mistake in any.
    read: Option<Vec<Api>>,
}

impl<'a> Apis<'a> {
    /// Reads the list of APIs.
    pub(super) fn read(place: Option<&Place<'a>>, log: &mut Log) -> Self {
        let mut apis = Self {
            ids: Ids::new("API"),
            operations: BTreeMap::new(),
            weights: Vec::new(),
            read: None,
        };
        let mut doors = Doors::new();
        let places = place.and_then(|place| place.filled_list(log, "APIs", MAX_APIS));
        let read = |place: &Place<'a>| api(place, &mut apis, &mut doors, log);
        apis.read = places.and_then(|places| all(places.iter().map(read)));
        apis
    }

    /// All of them, if there is no mistake in any.
    pub(super) fn into_list(self) -> Option<Vec<Api>> {
        self.read
    }

    /// Reads a mention of an API.
    pub(super) fn mention(&self, place: &Place<'_>, log: &mut Log) -> Option<String> {
        self.ids.mention(place, "", log)
    }

    /// Reads a mention of an operation of an API whose calls are counted.
    pub(super) fn mention_operation(
        &self,
        api: &str,
        place: &Place<'_>,
        log: &mut Log,
    ) -> Option<String> {
        // Without an entry the API's own id is a mistake.
        let operations = self.operations.get(api)?;
        if operations.is_empty() {
            let message = format!("API `{api}` has no operations: leave `operation` out");
            place.mistake(log, message);
            return None;
        }
        let operation = operations.mention(place, &format!(" of API `{api}`"), log)?;
        if self.counted(api).is_some_and(|mut all| !all.any(|(id, _)| id == operation)) {
            let message =
                format!("operation `{operation}` is open: its calls have no key and no limit");
            place.mistake(log, message);
            return None;
        }
        Some(operation)
    }

    /// The operations of an API whose calls are counted, and what each weighs. None while there
    /// are mistakes in any API.
    pub(super) fn counted(&self, api: &str) -> Option<impl Iterator<Item = (&str, u32)>> {
        let api = self.read.as_ref()?.iter().find(|known| known.id == api)?;
        let any = api.operations.is_empty().then_some((ANY_OPERATION, 1));
        let closed = api.operations.iter().filter(|operation| !operation.open);
        Some(any.into_iter().chain(closed.map(|it| (it.id.as_str(), it.weight))))
    }

    /// Weights other than 1 where they are written.
    pub(super) fn weights(&self) -> &[(Place<'a>, Target)] {
        &self.weights
    }
}

/// The lines of hosts and paths: no two APIs may have the same.
type Doors = BTreeMap<(Option<String>, String), usize>;

fn api<'a>(
    place: &Place<'a>,
    apis: &mut Apis<'a>,
    doors: &mut Doors,
    log: &mut Log,
) -> Option<Api> {
    place.fields(log, "an API", |fields, log| {
        let id = fields.required("id").and_then(|place| apis.ids.take(&place, log));
        let host = fields.optional("host").map(|place| host(&place, log));
        let path = fields.optional("path").map(|place| path(&place, log));
        let mut ids = Ids::new("operation");
        let mut weights = Vec::new();
        let operations = fields
            .optional("operations")
            .map(|place| operations(&place, &mut ids, &mut weights, log));
        if let Some(id) = &id {
            apis.operations.insert(id.clone(), ids);
            let target = |operation| Target { api: id.clone(), operation: Some(operation) };
            apis.weights.extend(weights.into_iter().map(|(place, id)| (place, target(id))));
        }
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

/// Weights other than 1, where they stand and of which operation.
type Weights<'a> = Vec<(Place<'a>, String)>;

fn operations<'a>(
    place: &Place<'a>,
    ids: &mut Ids,
    weights: &mut Weights<'a>,
    log: &mut Log,
) -> Option<Vec<Operation>> {
    let places = place.list(log, "operations", MAX_OPERATIONS)?;
    if places.is_empty() {
        place.mistake(
            log,
            "expected operations, found an empty list: leave it out to let every call pass as one \
             operation",
        );
    }
    let mut matches = Matches::new();
    let read = |place: &Place<'a>| operation(place, ids, weights, &mut matches, log);
    all(places.iter().map(read))
}

/// The lines of methods and shapes of paths: no two operations of an API may have the same.
type Matches = BTreeMap<(Option<String>, String), usize>;

fn operation<'a>(
    place: &Place<'a>,
    ids: &mut Ids,
    weights: &mut Weights<'a>,
    matches: &mut Matches,
    log: &mut Log,
) -> Option<Operation> {
    let example = "an operation such as `{ id: health, method: GET, path: /health }`";
    place.fields(log, example, |fields, log| {
        let id = fields.required("id").and_then(|place| ids.take(&place, log));
        let method = fields.optional("method").map(|place| method(&place, log));
        let path = fields.required("path").and_then(|place| template(&place, log));
        let open = fields.optional("open").map(|place| place.truth(log));
        let weight_place = fields.optional("weight");
        let weight = weight_place.as_ref().map(|place| weight(place, log));
        if let (Some(Some(true)), Some(place)) = (open, &weight_place) {
            place.mistake(log, "an open operation is not counted, and so has no weight");
        } else if let (Some(id), Some(place), Some(Some(0 | 2..))) = (&id, weight_place, weight) {
            weights.push((place, id.clone()));
        }
        let method = method.map_or(Some(None), |name| name.map(Some))?;
        let path = path?;
        let template = (method.clone(), shape(&path));
        if let Some(line) = matches.insert(template, place.at().line) {
            let message = format!(
                "expected a method and path of its own, found those of the operation in line {line}"
            );
            place.mistake(log, message);
        }
        let (open, weight) = (open.unwrap_or(Some(false))?, weight.unwrap_or(Some(1))?);
        Some(Operation { id: id?, method, path, open, weight })
    })
}

fn weight(place: &Place<'_>, log: &mut Log) -> Option<u32> {
    place.number(log, &(0..=u64::from(MAX_WEIGHT))).and_then(|weight| u32::try_from(weight).ok())
}

fn method(place: &Place<'_>, log: &mut Log) -> Option<String> {
    place.parse(log, "an HTTP method such as GET, or none for any", |text| {
        let is_method = text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
            && (1..=MAX_NAME_BYTES).contains(&text.len());
        is_method.then(|| text.to_ascii_uppercase())
    })
}
