//! Which API and operation a request means.

use std::rc::Rc;

use tollgate_pricing::gate::{Api, GateCatalog, Operation};

use crate::request::Request;

/// The operation of an API that lists none.
const ANY_OPERATION: &str = "*";

/// An API and an operation by their ids, as reports name them.
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct RouteName {
    /// The API's id.
    pub api: String,
    /// The operation's id; `*` in an API that lists none.
    pub operation: String,
}

/// What a request meant.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its names.
    pub name: Rc<RouteName>,
    /// Passes without a key, and bills nothing.
    pub open: bool,
    /// What a call of it weighs.
    pub weight: u32,
}

/// A catalog's APIs, ready to match: the most specific first.
#[derive(Debug)]
pub struct Routes(Vec<Prefix>);

#[derive(Debug)]
struct Prefix {
    host: Option<Vec<u8>>,
    path: Vec<u8>,
    operations: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    method: Option<Vec<u8>>,
    path: Vec<u8>,
    route: Route,
}

impl Routes {
    /// Prepares a catalog's APIs.
    pub fn new(catalog: &GateCatalog) -> Self {
        let mut prefixes: Vec<Prefix> = catalog.apis.iter().map(Prefix::new).collect();
        // A named host before any host, then the longest path: the first match is the best.
        prefixes
            .sort_by_key(|prefix| (prefix.host.is_none(), std::cmp::Reverse(prefix.path.len())));
        Self(prefixes)
    }

    /// Whether any API is where the request goes, whatever the operation.
    pub fn covers(&self, request: &Request) -> bool {
        self.prefix(request).is_some()
    }

    /// The API and operation of a request.
    pub fn find(&self, request: &Request) -> Option<&Route> {
        let (prefix, rest) = self.prefix(request)?;
        let fits = |template: &&Template| {
            template.method.as_ref().is_none_or(|method| *method == request.method)
                && matches(&template.path, rest)
        };
        prefix.operations.iter().find(fits).map(|template| &template.route)
    }

    fn prefix<'a>(&self, request: &'a Request) -> Option<(&Prefix, &'a [u8])> {
        self.0.iter().find_map(|prefix| {
            let host_fits = prefix.host.as_ref().is_none_or(|host| *host == request.host);
            prefix.rest(&request.path).filter(|_| host_fits).map(|rest| (prefix, rest))
        })
    }
}

impl Prefix {
    fn new(api: &Api) -> Self {
        let any = Operation {
            id: ANY_OPERATION.to_owned(),
            method: None,
            path: "/*".to_owned(),
            open: false,
            weight: 1,
        };
        let operations = match api.operations.as_slice() {
            [] => vec![Template::new(api, &any)],
            listed => listed.iter().map(|operation| Template::new(api, operation)).collect(),
        };
        Self {
            host: api.host.as_ref().map(|host| host.clone().into_bytes()),
            path: api.path.trim_end_matches('/').as_bytes().to_vec(),
            operations,
        }
    }

    /// What follows the prefix, if the path has it as whole segments.
    fn rest<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        path.strip_prefix(self.path.as_slice())
            .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

impl Template {
    fn new(api: &Api, operation: &Operation) -> Self {
        let name = RouteName { api: api.id.clone(), operation: operation.id.clone() };
        Self {
            method: operation.method.as_ref().map(|method| method.clone().into_bytes()),
            path: operation.path.clone().into_bytes(),
            route: Route { name: Rc::new(name), open: operation.open, weight: operation.weight },
        }
    }
}

/// Whether a path fits a template: `{name}` is one segment that is not empty, a final `*` is
/// whatever follows. A slash at the end makes no difference.
fn matches(template: &[u8], path: &[u8]) -> bool {
    let mut path = segments(path);
    for expected in segments(template) {
        if expected == b"*" {
            return true;
        }
        match path.next() {
            Some(found) if is_name(expected) && !found.is_empty() => {}
            Some(found) if found == expected => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let whole = (!path.is_empty()).then_some(path);
    whole.into_iter().flat_map(|path| path.split(|byte| *byte == b'/'))
}

fn is_name(segment: &[u8]) -> bool {
    segment.starts_with(b"{") && segment.ends_with(b"}")
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::gate::{Answers, KeyPlaces};
    use tollgate_pricing::key::KeySecrets;

    use super::*;

    fn operation(id: &str, method: Option<&str>, path: &str) -> Operation {
        let method = method.map(str::to_owned);
        Operation {
            id: id.to_owned(),
            method,
            path: path.to_owned(),
            open: id == "health",
            weight: 1,
        }
    }

    fn api(id: &str, host: Option<&str>, path: &str, operations: Vec<Operation>) -> Api {
        Api { id: id.to_owned(), host: host.map(str::to_owned), path: path.to_owned(), operations }
    }

    fn routes() -> Routes {
        let address = vec![
            operation("validate", Some("POST"), "/validate"),
            operation("get", Some("GET"), "/{id}"),
            operation("files", None, "/files/*"),
            operation("health", Some("GET"), "/health/live"),
            operation("list", Some("GET"), "/"),
        ];
        Routes::new(&GateCatalog {
            revision: 1,
            secrets: KeySecrets::derive(&[0; 32]),
            key: KeyPlaces { header: "x-api-key".to_owned(), query: None, imported: false },
            max_stale_seconds: 900,
            answers: Answers::default(),
            apis: vec![
                api("all", None, "/", vec![]),
                api("address", None, "/address", address),
                api("deep", None, "/address/deep", vec![]),
                api("named", Some("api.example.com"), "/", vec![]),
            ],
            products: vec![],
        })
    }

    #[test]
    fn the_most_specific_api_then_its_first_operation() {
        let routes = routes();
        let check = |method: &str, host: &str, path: &str, expected: &str| {
            let request = Request {
                method: method.into(),
                host: host.into(),
                path: path.into(),
                ..Request::default()
            };
            let found = routes.find(&request).map_or("none".to_owned(), |route| {
                format!(
                    "{}.{}{}",
                    route.name.api,
                    route.name.operation,
                    ["", "!"][usize::from(route.open)]
                )
            });
            assert_eq!(found, expected, "{method} {path}");
        };
        check("POST", "", "/address/validate", "address.validate");
        check("POST", "", "/address/validate/", "address.validate");
        check("PUT", "", "/address/validate", "none");
        check("GET", "", "/address/17", "address.get");
        check("GET", "", "/address/17/x", "none");
        check("GET", "", "/address", "address.list");
        check("GET", "", "/address/", "address.list");
        check("GET", "", "/address/health/live", "address.health!");
        check("PUT", "", "/address/files", "address.files");
        check("PUT", "", "/address/files/a/b", "address.files");
        check("GET", "", "/address/deep/x", "deep.*");
        check("GET", "", "/addresses", "all.*");
        check("GET", "", "/", "all.*");
        check("GET", "api.example.com", "/address/17", "named.*");
        check("OPTIONS", "", "*", "none");
        check("GET", "", "", "all.*");
    }
}
